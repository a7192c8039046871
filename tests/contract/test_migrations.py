"""The schema grows by migrations only; a start with an old one says so."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import httpx
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from app.database import alembic_config, create_engine, migrate
from app.models import Table
from app.settings import Settings
from tests.support.databases import empty_database, execute
from tests.support.running import run_app

HOSTED_ROLES = ("anon", "authenticated")
ACTS = ("select from {}", "insert into {} default values", "delete from {}", "truncate {}")
WAITING = (
    "from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    " and query ilike '%create table user_activity_events%'"
)


@pytest.fixture
async def empty(settings: Settings) -> AsyncIterator[Settings]:
    async with empty_database(settings) as own:
        yield own


@pytest.fixture
async def hosted(empty: Settings) -> Settings:
    """As a host makes a database: the roles of its data API get every new table of `public`."""
    for role in HOSTED_ROLES:
        await execute(
            empty,
            f"do $$ begin create role {role}; exception when duplicate_object then null; end $$",
        )
    await execute(
        empty,
        "alter default privileges in schema public"
        f" grant all on tables to {', '.join(HOSTED_ROLES)}",
    )
    return empty


async def _start_migration(settings: Settings) -> asyncio.subprocess.Process:
    assert settings.database_url
    environment = {"DATABASE_URL": settings.database_url.get_secret_value()}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "migrate", env=os.environ | environment
    )


async def _tables(settings: Settings) -> set[object]:
    found = await execute(
        settings,
        "select table_schema || '.' || table_name from information_schema.tables"
        " where table_schema in ('public', 'spark')",
    )
    return {row[0] for row in found}


def _alembic(settings: Settings, act: str, *arguments: str) -> None:
    config = alembic_config()
    config.attributes["settings"] = settings
    getattr(command, act)(config, *arguments)


async def test_migrations_make_what_the_models_say_and_take_it_back(empty: Settings) -> None:
    await asyncio.to_thread(migrate, empty)
    assert {"public.users", "spark.uploads"} <= await _tables(empty)
    await asyncio.to_thread(_alembic, empty, "check")
    await asyncio.to_thread(_alembic, empty, "downgrade", "base")
    assert await _tables(empty) == {"spark.alembic_version"}
    await asyncio.to_thread(migrate, empty)


async def test_a_column_without_its_migration_is_noticed(empty: Settings) -> None:
    await asyncio.to_thread(migrate, empty)
    await execute(empty, "alter table users drop column total_xp")
    with pytest.raises(CommandError):
        await asyncio.to_thread(_alembic, empty, "check")


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(alembic_config()).get_heads()) == 1


@pytest.mark.parametrize("role", HOSTED_ROLES, ids="P278 {}".format)
async def test_the_hosted_data_api_reads_and_writes_no_table(hosted: Settings, role: str) -> None:
    await execute(hosted, "create table somebody_elses ()")
    await asyncio.to_thread(migrate, hosted)
    engine = create_engine(hosted)
    async with engine.connect() as connection:
        await connection.execute(text(f"set role {role}"))
        await connection.execute(text("select from somebody_elses"))
        await connection.commit()
        for table in Table.metadata.sorted_tables:
            for act in ACTS:
                with pytest.raises(ProgrammingError, match="permission denied"):
                    await connection.execute(text(act.format(table.fullname)))
                await connection.rollback()
    await engine.dispose()


@pytest.mark.parametrize("row", ["P263"])
async def test_a_migration_that_was_killed_half_way_is_run_again(empty: Settings, row: str) -> None:
    """All of it is one transaction: what stops it in the middle leaves nothing of it."""
    engine = create_engine(empty)
    async with engine.connect() as blocker:
        await blocker.execute(text("create table user_activity_events ()"))
        migration = await _start_migration(empty)
        while not await execute(empty, f"select pg_terminate_backend(pid) {WAITING}"):
            assert migration.returncode is None
        assert await migration.wait() == 1
        await blocker.rollback()
    await engine.dispose()
    assert await _tables(empty) == set()
    assert await (await _start_migration(empty)).wait() == 0


@pytest.mark.parametrize("row", ["P264"])
async def test_two_instances_that_migrate_at_once_take_turns(empty: Settings, row: str) -> None:
    both = [await _start_migration(empty) for _ in range(2)]
    assert [await migration.wait() for migration in both] == [0, 0]
    assert await execute(empty, "select version_num from spark.alembic_version") == [("0010",)]


@pytest.mark.parametrize("row", ["P265"])
async def test_an_old_schema_is_not_ready(empty: Settings, row: str) -> None:
    async with (
        run_app(empty) as running,
        httpx.AsyncClient(base_url=running.url, trust_env=False) as browser,
    ):
        answer = await browser.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"] == {"database": True, "schema": False, "storage": True}
        await asyncio.to_thread(migrate, empty)
        assert (await browser.get("/readyz")).status_code == 200
