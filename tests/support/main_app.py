"""An adopted database, and what the main app does there."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr
from sqlalchemy import make_url, text

from app.adoption.requirements import OURS, PUBLIC
from app.database import Session, create_engine
from app.settings import Settings
from tests.support.adopted import Shape, adopt, main_app_database
from tests.support.databases import execute
from tests.support.kinds import ORGANIZATION


@asynccontextmanager
async def adopted(settings: Settings, shape: Shape = "2026_08") -> AsyncIterator[Settings]:
    """The older shape with `--alter`."""
    async with main_app_database(settings, shape) as found:
        await (adopt(found) if shape == "2026_08" else adopt(found, "alter"))
        yield found.model_copy(update={"optio_organization_id": ORGANIZATION})


def as_superuser(found: Settings, settings: Settings) -> Settings:
    assert found.database_url
    assert settings.database_url
    name = make_url(found.database_url.get_secret_value()).database
    url = make_url(settings.database_url.get_secret_value()).set(database=name)
    return settings.model_copy(
        update={"database_url": SecretStr(url.render_as_string(hide_password=False))}
    )


@asynccontextmanager
async def for_now(found: Settings, change: str = "") -> AsyncIterator[Session]:
    """After that change, which is undone."""
    engine = create_engine(found)
    async with engine.connect() as session, session.begin() as transaction:
        for statement in filter(None, change.split("; ")):
            await session.execute(text(statement))
        yield session
        await transaction.rollback()
    await engine.dispose()


async def change(found: Settings, statements: str) -> None:
    for statement in statements.split(";"):
        await execute(found, statement)


def grants(role: str) -> list[str]:
    ours = [f"spark.{name}" for name in OURS]
    return [
        f"create role {role} bypassrls",
        f"grant usage on schema public, spark to {role}",
        f"grant select, insert, update, delete on {', '.join([*PUBLIC, *ours])} to {role}",
        f"grant usage on all sequences in schema spark to {role}",
        f"grant select, insert, update on diplomas, user_mastery to {role}",
        f"grant select on organizations to {role}",
        f"grant execute on all functions in schema spark to {role}",
    ]


@asynccontextmanager
async def blind(found: Settings, settings: Settings) -> AsyncIterator[Settings]:
    """The service as a role that sees what policies let it see."""
    role = f"blind_{secrets.token_hex(4)}"
    above = as_superuser(found, settings)
    for statement in (
        *grants(role),
        f"alter role {role} login nobypassrls password '{role}'",
        f"grant select on spark.alembic_version to {role}",
    ):
        await execute(above, statement)
    assert found.database_url
    url = make_url(found.database_url.get_secret_value()).set(username=role, password=role)
    try:
        address = SecretStr(url.render_as_string(hide_password=False))
        yield found.model_copy(update={"database_url": address})
    finally:
        await execute(above, f"drop owned by {role}")
        await execute(above, f"drop role {role}")
