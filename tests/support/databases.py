"""A database of a test's own, on the server of the run."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from uuid import uuid4

from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.engine import make_url

from app.database import Sessions, create_engine, open_sessions
from app.migrate import ALEMBIC_INI, migrate
from app.settings import Settings
from tests.support.adopted import (
    TESTS,
    address_of,
    adopt,
    by_owner,
    complete_rows,
    copy_main_app,
    drop,
    make_template,
)
from tests.support.kinds import IS_ADOPTED, SETTINGS
from tests.support.service_role import as_service, give_rights

MIGRATIONS = sorted((ALEMBIC_INI.parent / "migrations").rglob("*.py"))


@asynccontextmanager
async def ready_database(settings: Settings) -> AsyncIterator[Settings]:
    """The same settings, with a database that is ready to serve and has nobody in it: one of our
    own, or (DATABASE_KIND) an adopted one, as the service's own role.
    """
    made = await _make(settings, people=False)
    try:
        yield made
    finally:
        await drop(made, settings)


@contextmanager
def ready_database_apart(settings: Settings, *, people: bool) -> Iterator[Settings]:
    """The same where no event loop runs; if told so with the people of 20_rows.sql in it."""
    made = asyncio.run(_make(settings, people=people))
    try:
        yield made
    finally:
        asyncio.run(drop(made, settings))


async def _make(settings: Settings, *, people: bool) -> Settings:
    if not IS_ADOPTED:
        return await _create(settings, template=await _migrated(settings))
    found = await copy_main_app(settings, "2026_08")
    await adopt(found)
    await complete_rows(found)
    if not people:
        await execute(found, "truncate auth.users, quests, user_activity_events cascade")
    await give_rights(settings, found)
    return found.model_copy(update=SETTINGS | {"database_url": as_service(found)})


@asynccontextmanager
async def empty_database(settings: Settings) -> AsyncIterator[Settings]:
    """The same settings, with a database that holds nothing yet."""
    made = await _create(settings)
    try:
        yield made
    finally:
        await drop(made, settings)


async def _migrated(settings: Settings) -> str:
    """The template of what these migrations make."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in MIGRATIONS)).hexdigest()

    async def fill(address: str) -> None:
        await asyncio.to_thread(migrate, _at(address, settings))

    template = f"migrated_{digest[:16]}"
    await make_template(by_owner(address_of(settings)), template, fill)
    return template


async def _create(settings: Settings, template: str = "template1") -> Settings:
    name = f"empty_{uuid4().hex}"
    await execute(settings, f"create database {name} template {template}")
    url = make_url(by_owner(address_of(settings))).set(database=name)
    return _at(url.render_as_string(hide_password=False), settings)


def _at(address: str, settings: Settings) -> Settings:
    return settings.model_copy(update={"database_url": SecretStr(address)})


@asynccontextmanager
async def look_into(settings: Settings) -> AsyncIterator[Sessions]:
    """The database beside the service, to look at it, and to write what the main app writes."""
    url = make_url(by_owner(address_of(settings)))
    address = url.update_query_dict({"application_name": TESTS})
    engine = create_engine(_at(address.render_as_string(hide_password=False), settings))
    yield open_sessions(engine, at_once=settings.database_pool_size)
    await engine.dispose()


async def execute(settings: Settings, statement: str) -> list[tuple[object, ...]]:
    """One statement, outside of a transaction, as the database's owner."""
    engine = create_engine(_at(by_owner(address_of(settings)), settings))
    async with engine.connect() as connection:
        outside = await connection.execution_options(isolation_level="AUTOCOMMIT")
        result = await outside.execute(text(statement))
        rows = [tuple(row) for row in result] if result.returns_rows else []
    await engine.dispose()
    return rows
