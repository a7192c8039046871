"""The Spark integration service: students enter Optio from Spark, homework becomes evidence."""
