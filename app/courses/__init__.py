"""What Spark says about its courses: their assignments, and who takes part."""
