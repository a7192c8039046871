"""The picker: a page on which a teacher chooses work for an assignment of Spark's (OUTBOUND 6)."""
