"""Scores on their way from Optio to Spark's gradebook."""
