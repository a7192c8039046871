"""Called by Spark, and by the student's browser that Spark sends."""
