"""What the main app's tables lacked in December 2025 (ADOPTION 9.6), added when somebody asks."""

from functools import partial

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from app.adoption.build_index import build_index
from app.adoption.compare import missing_columns, missing_keys
from app.adoption.finding import Finding
from app.adoption.read_catalogue import Catalogue, read_catalogue
from app.adoption.requirements import Key
from app.adoption.short_locks import in_short_locks
from app.database import Session, Sessions
from app.migrate import Tell


async def plan_alterations(session: Session, catalogue: Catalogue) -> list[Finding]:
    """What `alter_tables` will do; and what refuses because of rows that are there."""
    columns = [
        Finding("would", f"{table}.{column}", _add(table, column, type_))
        for table, column, type_ in missing_columns(catalogue)
    ]
    return columns + [
        _refusal(table, key)
        if await session.scalar(text(f"select exists ({_list_twice(table, key)})"))
        else Finding("would", _subject(table, key), _add_key(table, key))
        for table, key in missing_keys(catalogue)
    ]


async def alter_tables(sessions: Sessions, outside: Session, tell: Tell) -> list[Finding]:
    """Add what is missing, a column at a time; refusals, if rows stand in a key's way."""
    async with sessions() as session, session.begin():
        catalogue = await read_catalogue(session)
    for table, column, type_ in missing_columns(catalogue):
        add = partial(_execute, statement=_add(table, column, type_))
        await in_short_locks(sessions, add, [table], "access exclusive", tell)
    refused = []
    for table, key in missing_keys(catalogue):
        tell(f"Building {_name(table, key)}.")
        try:
            await build_index(outside, _name(table, key), _add_key(table, key))
        except IntegrityError:
            refused.append(_refusal(table, key))
    return refused


def _execute(connection: Connection, statement: str) -> None:
    connection.execute(text(statement))


def _add(table: str, column: str, type_: str) -> str:
    """Without a default, so that no row is written."""
    return f"alter table public.{table} add column if not exists {column} {type_}"


def _add_key(table: str, key: Key) -> str:
    name = _name(table, key)
    return f"create unique index concurrently {name} on public.{table} ({', '.join(key)})"


def _name(table: str, key: Key) -> str:
    return "_".join(("uq", table, *key))


def _subject(table: str, key: Key) -> str:
    """As `compare` names it."""
    return f"{table} ({', '.join(key)})"


def _list_twice(table: str, key: Key) -> str:
    names = ", ".join(key)
    return (
        f"select {names}, count(*) from public.{table}"  # noqa: S608 - of the requirements' page
        f" group by {names} having count(*) > 1"
    )


def _refusal(table: str, key: Key) -> Finding:
    return Finding(
        "refuse",
        _subject(table, key),
        "is not unique, and rows stand in the way",
        f"The main app's team decides which stay. This lists them: {_list_twice(table, key)}",
    )
