"""Indexes on the main app's tables, built while it goes on working (`concurrently`)."""

from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import Index, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex

from app.database import Session

_INDEXES = text(
    """
    select c.relname as name, i.indrelid::regclass::text as table_name,
        array(select pg_get_indexdef(i.indexrelid, place, true)
              from generate_series(1, i.indnkeyatts) place) as keys,
        i.indisunique and i.indimmediate as is_unique,
        i.indpred is null and am.amname = 'btree' as is_plain
    from pg_index i
    join pg_class c on c.oid = i.indexrelid
    join pg_am am on am.oid = c.relam
    where c.relnamespace = 'public'::regnamespace and i.indisvalid
    """
)


class LiveIndex(NamedTuple):
    """One that may be used. `is_plain`: a B-tree over all rows."""

    name: str
    table_name: str
    keys: list[str]
    is_unique: bool
    is_plain: bool


async def read_indexes(session: Session) -> list[LiveIndex]:
    return [LiveIndex(*row) for row in await session.execute(_INDEXES)]


def ddl_of(index: Index) -> str:
    """Its statement, for the inside of no transaction."""
    made = str(CreateIndex(index).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
    return " ".join(made.replace(" INDEX ", " INDEX CONCURRENTLY ", 1).split())


async def build_index(outside: Session, name: str, ddl: str) -> None:
    """For one that is missing: what a build left that was ended is dropped first. One that fails
    leaves nothing: a unique index refuses rows before it is valid.

    `outside` of a transaction. It waits for transactions of the main app, and none waits for it.
    """
    drop = text(f"drop index concurrently if exists {name}")
    await outside.execute(drop)
    try:
        await outside.execute(text(ddl))
    except DBAPIError:
        with suppress(DBAPIError):
            await outside.execute(drop)
        raise
