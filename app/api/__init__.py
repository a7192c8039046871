"""Who calls us: HTTP in, HTTP out. No SQL and no S3 here."""
