"""A migration only adds: the version before goes on beside it, and may come back (OPERATOR 1)."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import sqlalchemy as sa
from alembic import op
from alembic.script import ScriptDirectory

from app.migrate import OWN, alembic_config, build_index
from tests.support.additive import faults_of

REVISIONS = {
    branch: [*ScriptDirectory.from_config(alembic_config()).walk_revisions(head=f"{branch}@head")]
    for branch in OWN
}


def test_no_later_migration_takes_away_what_the_version_before_needs() -> None:
    found = {
        script.revision: faults_of(
            script.module.upgrade, unused_since=getattr(script.module, "unused_since", None)
        )
        for branch in OWN
        for script in REVISIONS[branch]
        if script.down_revision
    }
    assert {revision: faults for revision, faults in found.items() if faults} == {}


@pytest.mark.parametrize("branch", OWN)
def test_a_revision_is_named_by_its_branch_and_sorts_behind_those_before(branch: str) -> None:
    """By that a version knows a newer one's, which it has not."""
    names = [script.revision for script in reversed(REVISIONS[branch])]
    assert all(name.startswith(f"{branch}_") for name in names)
    assert all(earlier < later for earlier, later in pairwise(names))


def column(*, nullable: bool, default: str | None = None) -> sa.Column[str]:
    return sa.Column("note", sa.Text(), nullable=nullable, server_default=default)


def make_and_use() -> None:
    op.create_table("notes", sa.Column("id", sa.Uuid()), schema="spark")
    op.create_index("ix", "notes", ["id"], unique=True, schema="spark")
    op.create_primary_key("pk", "notes", ["id"], schema="spark")


def add_and_build() -> None:
    op.add_column("uploads", column(nullable=True))
    build_index("ix", "uploads", ["note"])


ADDED: dict[str, Callable[[], None]] = {
    "a table": make_and_use,
    "a column": lambda: op.add_column("uploads", column(nullable=True)),
    "one with a default": lambda: op.add_column("uploads", column(nullable=False, default="")),
    "an index": lambda: build_index("ix", "uploads", ["state"]),
}
TAKEN: dict[str, tuple[str, Callable[[], None]]] = {
    "a table": ("drops", lambda: op.drop_table("uploads")),
    "a column": ("drops", lambda: op.drop_column("uploads", "state")),
    "a key": ("drops", lambda: op.drop_constraint("pk", "uploads")),
    "by its text": ("drops", lambda: op.execute("alter table uploads\n drop state")),
    "a name": ("renames", lambda: op.rename_table("uploads", "files")),
    "a column's name": (
        "renames",
        lambda: op.alter_column("uploads", "state", new_column_name="is"),
    ),
    "a type": ("changes a type", lambda: op.alter_column("uploads", "size", type_=sa.Text())),
    "null": ("demands a value", lambda: op.alter_column("uploads", "state", nullable=False)),
    "inserts": ("demands a value", lambda: op.add_column("uploads", column(nullable=False))),
    "values": ("narrows", lambda: op.create_check_constraint("ck", "uploads", "size > 0")),
    "two of one": ("narrows", lambda: op.create_unique_constraint("uq", "uploads", ["size"])),
    "a second try": ("builds an index beside something else", add_and_build),
    "writes": (
        "locks while it builds an index",
        lambda: op.create_index("ix", "uploads", ["state"]),
    ),
}


@pytest.mark.parametrize("upgrade", ADDED.values(), ids=ADDED)
def test_what_only_adds_is_taken(upgrade: Callable[[], None]) -> None:
    assert faults_of(upgrade) == set()


@pytest.mark.parametrize(("fault", "upgrade"), TAKEN.values(), ids=TAKEN)
def test_what_takes_something_away_is_noticed(fault: str, upgrade: Callable[[], None]) -> None:
    assert faults_of(upgrade) == {fault}


@pytest.mark.parametrize(("release", "found"), [("0.0.9", set()), ("999.0.0", {"drops"})])
def test_what_no_released_version_uses_any_more_may_go(release: str, found: set[str]) -> None:
    assert faults_of(lambda: op.drop_table("uploads"), unused_since=release) == found
