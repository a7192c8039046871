"""A database of a test's own, on the server of the run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.engine import make_url

from app.database import create_engine
from app.settings import Settings


@asynccontextmanager
async def empty_database(settings: Settings) -> AsyncIterator[Settings]:
    """The same settings, with a database that holds nothing yet."""
    name = f"empty_{uuid4().hex}"
    await execute(settings, f"create database {name}")
    assert settings.database_url
    url = make_url(settings.database_url.get_secret_value()).set(database=name)
    address = SecretStr(url.render_as_string(hide_password=False))
    try:
        yield settings.model_copy(update={"database_url": address})
    finally:
        await execute(settings, f"drop database {name} with (force)")


async def execute(settings: Settings, statement: str) -> list[tuple[object, ...]]:
    """One statement, outside of a transaction."""
    engine = create_engine(settings)
    async with engine.connect() as connection:
        outside = await connection.execution_options(isolation_level="AUTOCOMMIT")
        result = await outside.execute(text(statement))
        rows = [tuple(row) for row in result] if result.returns_rows else []
    await engine.dispose()
    return rows
