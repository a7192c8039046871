"""What each table holds, and how long it is kept: both pages of rules as one list for people."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from app.privacy.holdings import HOLDINGS, NOTHING
from app.privacy.retention import rules
from app.settings import Settings

Rules = list[tuple[str, timedelta]]


def list_keeping(settings: Settings) -> Iterator[tuple[str, str, str, Rules]]:
    """Of each table its name, what it holds, how long that stays by itself, and its rules."""
    holdings = {holding.table: holding.what for holding in HOLDINGS} | dict(NOTHING)
    kept = rules(settings)
    for table, what in holdings.items():
        found: Any = table.__table__
        of_it = [(rule.name, rule.kept) for rule in kept if rule.table is table]
        stays = "for good" if table in NOTHING else "as long as the student"
        yield f"{found.schema or 'public'}.{found.name}", what, stays, of_it
