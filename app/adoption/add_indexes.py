"""Indexes that our own databases have and the main app's may lack. No act needs them."""

from collections.abc import Collection, Sequence

from sqlalchemy import Column, Index

from app.adoption.build_index import LiveIndex, build_index, ddl_of, read_indexes
from app.adoption.finding import Finding
from app.database import Session
from app.migrate import Tell
from app.models import SPARK, Table

OURS = [
    index
    for table in Table.metadata.sorted_tables
    if table.schema != SPARK
    for index in sorted(table.indexes, key=lambda index: str(index.name))
]


async def plan_indexes(session: Session, *, asked: bool) -> list[Finding]:
    missing = await _find_missing(session)
    if asked:
        return [Finding("would", _table(index), ddl_of(index)) for index in missing]
    if not missing:
        return []
    tables = ", ".join(dict.fromkeys(map(_table, missing)))
    text = f"{len(missing)} optional indexes are missing, on {tables}; every act works without"
    return [Finding("ok", "indexes", text, "`python -m app adopt --indexes` shows them")]


async def add_indexes(outside: Session, tell: Tell) -> int:
    """Build those that are missing, one after the other, and say how many they were."""
    missing = await _find_missing(outside)
    for index in missing:
        tell(f"Building {index.name}.")
        await build_index(outside, str(index.name), ddl_of(index))
    return len(missing)


async def _find_missing(session: Session) -> Sequence[Index]:
    live = await read_indexes(session)
    tables = {index.table_name for index in live}
    return [index for index in OURS if _table(index) in tables and not _stands_in(index, live)]


def _stands_in(index: Index, live: Collection[LiveIndex]) -> bool:
    """Whether it is there, or for a plain one another that begins with its columns."""
    keys = [part.name for part in index.expressions if isinstance(part, Column)]
    is_plain = len(keys) == len(index.expressions) and not index.dialect_kwargs
    return any(
        each.table_name == _table(index)
        and (
            each.name == index.name
            or (is_plain and each.is_plain and each.keys[: len(keys)] == keys)
        )
        for each in live
    )


def _table(index: Index) -> str:
    return index.table.name if index.table is not None else ""
