"""The live catalogue beside what we need: what fits, what is adapted to, what stops us."""

from collections.abc import Sequence

from app.adoption.finding import Finding
from app.adoption.read_catalogue import Catalogue
from app.adoption.requirements import Key


def compare(catalogue: Catalogue) -> list[Finding]:
    """`ok` for each table that fits, `adapt` for what we do as the main app does, and `refuse` for
    each difference that stops an act. A subject is a table, a column or a fixed word.
    """
    raise NotImplementedError


def differences(catalogue: Catalogue) -> list[Finding]:
    """Those that stop an act: what `compare` marks `refuse`."""
    raise NotImplementedError


def missing_columns(catalogue: Catalogue) -> Sequence[tuple[str, str, str]]:
    """Table, column and type of what `adopt --alter` adds here, each nullable."""
    raise NotImplementedError


def missing_key(catalogue: Catalogue) -> tuple[str, Key] | None:
    """The unique key that `adopt --alter` adds, if the table is there without it."""
    raise NotImplementedError
