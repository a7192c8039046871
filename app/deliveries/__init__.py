"""Deliveries of Spark: who signed them, what they say, and the inbox that keeps them."""
