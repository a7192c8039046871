"""Evidence files in an S3 bucket."""
