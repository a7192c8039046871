"""Homework handed in at Spark becomes evidence: authenticate, receive, record."""
