"""The main app's database, as it is in August or was in December 2025, before we move in and after.

Made of `tests/adoption/*.sql` once for a server, and then copied.
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import asyncpg  # type: ignore[import-untyped]
from pydantic import SecretStr
from sqlalchemy import make_url

from app.adoption.adopt import Part, apply, look
from app.database import create_engine, open_sessions
from app.settings import Settings
from tests.support.kinds import ORGANIZATION

SQL = Path(__file__).parents[1] / "adoption"
OWNER = "optio_owner"  # what the hosted platform calls postgres
SERVICE: Literal["spark_service"] = "spark_service"  # docs/deploy/spark_service.sql
TURN = 7_265_737_462  # the advisory lock under which a template is made
HOSTED = "00_hosted.sql"
TESTS = "tests"  # the application_name whose rows BESIDE completes
BESIDE = Path(__file__).with_suffix(".sql")

Shape = Literal["2026_08", "2025_12"]
SHAPES: dict[Shape, Sequence[str]] = {
    "2026_08": ("10_optio_2026_08.sql", "20_rows.sql", "30_grade_sync.sql"),
    "2025_12": ("10_optio_2026_08.sql", "15_optio_2025_12.sql", "30_grade_sync.sql"),
}


@asynccontextmanager
async def main_app_database(
    settings: Settings, shape: Shape = "2026_08"
) -> AsyncIterator[Settings]:
    """The settings with such a database, as its owner; gone afterwards."""
    found = await copy_main_app(settings, shape)
    try:
        yield found
    finally:
        await drop(found, settings)


async def copy_main_app(settings: Settings, shape: Shape) -> Settings:
    """The same, for whoever drops it."""
    server = by_owner(address_of(settings))
    template, name = f"optio_{shape}", f"optio_{secrets.token_hex(8)}"
    await make_template(server, template, partial(_fill, SHAPES[shape]))
    await _run(server, f"create database {name} template {template} owner {OWNER}")
    await _run(server, _search_path(name))
    address = SecretStr(_as(OWNER, _address(server, name)))
    return settings.model_copy(update={"database_url": address})


async def drop(made: Settings, settings: Settings) -> None:
    """That database, by way of the one of `settings`."""
    name = make_url(address_of(made)).database
    await _run(by_owner(address_of(settings)), f"drop database {name} with (force)")


async def adopt(found: Settings, *parts: Part) -> None:
    """As `adopt --apply` does."""
    engine = create_engine(found)
    sessions = open_sessions(engine, at_once=2)
    findings = await look(sessions, parts, ORGANIZATION)
    assert [each for each in findings if each.mark == "refuse"] == []
    assert await apply(sessions, findings, parts, print) == []
    await engine.dispose()


async def complete_rows(found: Settings) -> None:
    """Of what tests write into it by themselves, from now on."""
    await _run(address_of(found), BESIDE.read_text())


async def make_template(
    server: str, template: str, fill: Callable[[str], Awaitable[object]]
) -> None:
    """Filled at its address, once for a server, under a name of its own until it is whole."""
    guard = await asyncpg.connect(_driver(_address(server, "postgres")))  # one lock for all
    try:
        await guard.execute("select pg_advisory_lock($1)", TURN)
        if await guard.fetchval("select 1 from pg_database where datname = $1", template):
            return
        draft = f"{template}_{secrets.token_hex(4)}"
        await guard.execute(f"create database {draft}")
        await fill(_address(server, draft))
        await guard.execute(f"alter database {draft} rename to {template}")
    finally:
        await guard.close()


async def _fill(files: Sequence[str], address: str) -> None:
    await _run(address, (SQL / HOSTED).read_text())
    await _run(address, f"grant set on parameter deadlock_timeout to {OWNER}")  # tests set it
    for file in files:
        await _run(_as(OWNER, address), (SQL / file).read_text())


async def _run(address: str, script: str) -> None:
    connection = await asyncpg.connect(_driver(address))
    try:
        await connection.execute(script)
    finally:
        await connection.close()


def _search_path(name: str) -> str:
    """As 00_hosted.sql sets it; a copy of a database has no settings of its own."""
    return f'alter database {name} set search_path = "$user", public, extensions'


def address_of(settings: Settings) -> str:
    assert settings.database_url
    return settings.database_url.get_secret_value()


def by_owner(address: str) -> str:
    """The same for whoever may do everything there, if this is the service's own role."""
    return _as(OWNER, address) if make_url(address).username == SERVICE else address


def _address(server: str, database: str) -> str:
    return make_url(server).set(database=database).render_as_string(hide_password=False)


def _as(role: str, address: str) -> str:
    url = make_url(address).set(username=role, password=role)
    return url.render_as_string(hide_password=False)


def _driver(address: str) -> str:
    return address.replace("postgresql+asyncpg://", "postgresql://")
