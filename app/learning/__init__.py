"""Enrolment, tasks, XP, and which task an assignment means."""
