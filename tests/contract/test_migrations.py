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

from app.database import create_engine
from app.migrate import (
    OWN,
    UnfitDatabaseError,
    alembic_config,
    migrate,
    newest_revisions,
    schema_is_current,
    upgrade,
)
from app.models import Table
from app.settings import Settings
from tests.support.commands import run_on
from tests.support.databases import empty_database, execute
from tests.support.running import run_app

HOSTED_ROLES = ("anon", "authenticated")
ACTS = ("select from {}", "insert into {} default values", "delete from {}", "truncate {}")
PUBLIC = (
    "select relname, relacl::text, pg_get_indexdef(oid),"
    " array(select attname || ' ' || atttypid::regtype || attnotnull from pg_attribute"
    " where attrelid = pg_class.oid and attnum > 0 order by attnum),"
    " array(select pg_get_constraintdef(oid) from pg_constraint where conrelid = pg_class.oid)"
    " from pg_class where relnamespace = 'public'::regnamespace order by relname"
)
ADOPT = "insert into spark.adoption (adopted_by, findings) values ('somebody', '[]')"
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
        *(sys.executable, "-m", "app", "migrate"), env=os.environ | environment
    )


async def _tables(settings: Settings) -> set[object]:
    found = await execute(
        settings,
        "select table_schema || '.' || table_name from information_schema.tables"
        " where table_schema in ('public', 'spark')",
    )
    return {row[0] for row in found}


async def _upgrade(settings: Settings, *branches: str) -> None:
    engine = create_engine(settings)
    async with engine.begin() as connection:
        await connection.run_sync(upgrade, *branches)
    await engine.dispose()


def _alembic(settings: Settings, act: str, *arguments: str) -> None:
    config = alembic_config()
    config.attributes["settings"] = settings
    getattr(command, act)(config, *arguments)


async def test_migrations_make_what_the_models_say_and_take_it_back(empty: Settings) -> None:
    await asyncio.to_thread(migrate, empty)
    assert {"public.users", "spark.uploads"} <= await _tables(empty)
    await asyncio.to_thread(_alembic, empty, "check")
    for branch in reversed(OWN):
        await asyncio.to_thread(_alembic, empty, "downgrade", f"{branch}@base")
    assert await _tables(empty) == {"spark.alembic_version"}
    await asyncio.to_thread(migrate, empty)


async def test_a_column_without_its_migration_is_noticed(empty: Settings) -> None:
    await asyncio.to_thread(migrate, empty)
    await execute(empty, "alter table users drop column total_xp")
    with pytest.raises(CommandError):
        await asyncio.to_thread(_alembic, empty, "check")


def test_each_branch_has_one_head_and_knows_nothing_of_the_other() -> None:
    migrations = ScriptDirectory.from_config(alembic_config())
    heads = [migrations.get_revision(f"{branch}@head") for branch in OWN]
    assert {head.revision for head in heads} == set(migrations.get_heads())
    assert all(script.dependencies is None for script in migrations.walk_revisions())


@pytest.mark.parametrize("role", HOSTED_ROLES, ids="P278 {}".format)
async def test_the_hosted_data_api_reads_and_writes_no_table(hosted: Settings, role: str) -> None:
    await execute(hosted, "create view somebody_elses as select")
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


@pytest.mark.soak
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


@pytest.mark.soak
@pytest.mark.parametrize("row", ["P264"])
async def test_two_instances_that_migrate_at_once_take_turns(empty: Settings, row: str) -> None:
    both = [await _start_migration(empty) for _ in range(2)]
    assert [await migration.wait() for migration in both] == [0, 0]
    assert len(await execute(empty, "select version_num from spark.alembic_version")) == len(OWN)


OPTIO = [f"create table {name} ()" for name in ("users", "quests", "user_quests", "badges")]
REFUSED = {
    "an Optio application": (OPTIO, ("Optio application", "python -m app adopt")),
    "another application": (
        ["create table users ()", *(f"create table t{number} ()" for number in range(9))],
        ("t0, t1, t2, t3, t4 and 5 more", "DATABASE_URL"),
    ),
    "a revision of the time before": (
        [
            "create schema spark",
            "create table spark.alembic_version as select '0010' as version_num",
        ],
        ("0010", "empty database"),
    ),
}


@pytest.mark.parametrize(("made", "told"), REFUSED.values(), ids=REFUSED)
async def test_a_database_that_is_not_ours_is_refused_and_left_alone(
    empty: Settings, made: list[str], told: tuple[str, ...]
) -> None:
    for statement in made:
        await execute(empty, statement)
    before = await _tables(empty)
    refused = await run_on(empty)("migrate")
    assert refused.exit_code == 1
    assert [words for words in told if words not in refused.stderr] == []
    assert await _tables(empty) == before


async def test_in_transaction_mode_nothing_is_migrated(empty: Settings) -> None:
    """The turn of whoever migrates would stay with a connection of the pooler's."""
    with pytest.raises(UnfitDatabaseError, match="port 5432"):
        await asyncio.to_thread(
            migrate, empty.model_copy(update={"database_transaction_pooler": True})
        )
    assert await _tables(empty) == set()


async def test_in_an_adopted_database_public_stays_as_it_is(hosted: Settings) -> None:
    """The main app's tables, here as our own branch makes them, with rights that it has granted."""
    await _upgrade(hosted, "optio")
    await execute(hosted, "delete from spark.alembic_version")
    await execute(hosted, "grant select on users to authenticated")
    before = await execute(hosted, PUBLIC)
    await _upgrade(hosted, "spark")
    with pytest.raises(UnfitDatabaseError, match="python -m app adopt"):
        await asyncio.to_thread(migrate, hosted)
    await execute(hosted, ADOPT)
    await asyncio.to_thread(migrate, hosted)
    assert await execute(hosted, PUBLIC) == before
    engine = create_engine(hosted)
    assert await schema_is_current(engine.connect, newest_revisions())
    await engine.dispose()


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
