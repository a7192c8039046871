"""The Spark integration service: students enter Optio from Spark, homework becomes evidence."""

__version__ = "0.1.0"  # as in pyproject.toml; nothing is installed as a package
