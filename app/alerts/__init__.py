"""Telling operators, before a teacher does, what went wrong and what to do (OUTBOUND 7)."""
