"""What in a migration the version before could not work with (DESIGN R28)."""

import re
from collections.abc import Callable, Iterator
from io import StringIO

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from app import __version__

FAULTS = {
    "drops": r"\bdrop\b",
    "renames": r"\brename\b",
    "changes a type": r"\balter column \S+ type\b",
    "demands a value": r"\bset not null\b|\badd column (?!.*\bdefault\b).*\bnot null\b",
    "narrows": r"\badd (constraint \S+ )?(check|unique|foreign key|primary key|exclude)\b"
    r"|\bcreate unique index\b",
    "locks while it builds an index": r"\bcreate (unique )?index (?!concurrently\b)",
}
MADE = re.compile(r"\bcreate table (\S+)")
OF = re.compile(r"\b(?:alter table|on) (?:only )?([\w.]+)")
BUILT = re.compile(r"create (unique )?index concurrently\b")
BUILDING = re.compile(rf"{BUILT.pattern}|set lock_timeout\b|commit$|begin$|$")
BESIDE = "builds an index beside something else"  # which a second try would do twice
LEFT_OVER = "drop index concurrently if exists"  # what a build left that was ended


def faults_of(upgrade: Callable[[], None], *, unused_since: str | None = None) -> set[str]:
    """`unused_since` is the release with which the last use went of what a migration removes."""
    statements = _statements(upgrade)
    found = {fault for statement in statements for fault in _judge(statement)}
    if any(map(BUILT.match, statements)) and not all(map(BUILDING.match, statements)):
        found.add(BESIDE)
    if unused_since is not None and _number(unused_since) < _number(__version__):
        found &= {"locks while it builds an index", BESIDE}
    return found


def _judge(statement: str) -> Iterator[str]:
    for fault, pattern in FAULTS.items():
        if re.search(pattern, statement):
            yield fault


def _statements(upgrade: Callable[[], None]) -> list[str]:
    """Those about what was there before."""
    written = StringIO()
    options = {"as_sql": True, "output_buffer": written, "has_own_transactions": True}
    context = MigrationContext.configure(dialect_name="postgresql", opts=options)
    with Operations.context(context):
        upgrade()
    statements = [" ".join(part.lower().split()) for part in written.getvalue().split(";\n")]
    made = {name for each in statements for name in MADE.findall(each)}
    return [
        each
        for each in statements
        if not each.startswith(LEFT_OVER) and made.isdisjoint(OF.findall(each)[:1])
    ]


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
