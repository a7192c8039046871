"""`python -m app <command>`."""

from app.cli import commands

commands()
