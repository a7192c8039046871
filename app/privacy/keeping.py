"""What each table holds, and how long it is kept: both pages of rules as one list for people."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from app.privacy.holdings import HOLDINGS, NOTHING
from app.privacy.retention import Rule, rules
from app.settings import Settings

Rules = list[tuple[str, timedelta]]

# By the moment from which it counts; by any other from when it was made.
_SINCE = {
    "expires_at": " after their end",
    "ended_at": " after it was sent",
    "died_at": " after that",
}


def list_keeping(settings: Settings) -> Iterator[tuple[str, str, str, Rules]]:
    """Of each table its name, what it holds, how long that stays by itself, and its rules."""
    holdings = {holding.table: holding.what for holding in HOLDINGS} | dict(NOTHING)
    expiring = {holding.table for holding in HOLDINGS if holding.expires}
    days = settings.submission_retention_days
    kept = rules(settings)
    for table, what in holdings.items():
        of_it = [(rule.name, rule.kept) for rule in kept if rule.table is table]
        if days is not None and table in expiring:
            of_it.append(("from Spark", timedelta(days=days)))
        stays = "for good" if table in NOTHING else "as long as the student"
        yield name_of(table), what, stays, of_it


def name_of(table: Any) -> str:
    return f"{table.__table__.schema or 'public'}.{table.__table__.name}"


def say_kept(table: Any, kept: Sequence[Rule]) -> list[str]:
    """How long rows of it stay, for people: a line for each rule."""
    return [_say_rule(rule) for rule in kept if rule.table is table]


def _say_rule(rule: Rule) -> str:
    what = f"{rule.what}: " if rule.what else ""
    long = f"{rule.kept.days} days" if rule.kept.days > 1 else f"{_hours(rule.kept)} hours"
    since = _SINCE.get(rule.moments[0].key, "") if rule.moments else ""
    by = f" (`{rule.setting}`)" if rule.setting else ""
    return f"{what}{long}{since}{by}".replace(" 1 hours", " 1 hour")


def _hours(kept: timedelta) -> int:
    return kept // timedelta(hours=1)
