"""The Spark integration service: students enter Optio from Spark, homework becomes evidence."""

__version__ = "1.1.0"  # of the package and both contracts; nothing is installed as a package
