"""While somebody adopts, the main app goes on; and what was ended half-way goes on later."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest
from pydantic import SecretStr
from sqlalchemy import event, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.adoption.adopt import AnotherAdoptsError, Part, apply, look
from app.database import create_engine
from app.migrate import PAUSES_SECONDS
from app.settings import Settings
from tests.support.adopted import main_app_database
from tests.support.commands import run_on
from tests.support.databases import execute
from tests.support.fault_proxy import ALWAYS, Act, Aim, run_proxy
from tests.support.patience import patient
from tests.support.processes import environment
from tests.support.schema_dump import dump_schema

LONG = "update users set bio = 'long' where first_name = 'Ann'"
SHORT = "update users set last_active = now() where first_name = 'Ben'"
READ = "select count(*) from users"


@asynccontextmanager
async def main_app_works(found: Settings) -> AsyncIterator[AsyncConnection]:
    """A transaction of the main app that stays open: a report, or a forgotten terminal."""
    engine = create_engine(found)
    async with engine.connect() as connection:
        await connection.execute(text("set application_name = 'main app'"))
        await connection.execute(text(LONG))
        yield connection
    await engine.dispose()


@asynccontextmanager
async def adopting(found: Settings, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "adopt", "--apply", *words),
        env=os.environ | environment(found),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def applying(
    found: Settings, *parts: Part
) -> AsyncIterator[tuple[asyncio.Task[object], list[str]]]:
    """An adoption on its way, and what it has told."""
    told: list[str] = []
    engine = create_engine(found)
    plan = await look(engine.connect, parts, found.optio_organization_id)
    adoption = asyncio.create_task(apply(engine.connect, plan, parts, told.append))
    yield adoption, told
    await adoption
    await engine.dispose()


@pytest.mark.parametrize("parts", [(), ("alter",)], ids=["schema", "alter"])
async def test_a_long_transaction_makes_no_user_wait_for_us(
    found: Settings, parts: tuple[Part, ...]
) -> None:
    await execute(found, "alter table users drop column last_logout_at" if parts else "select 1")
    waits = []
    async with main_app_works(found) as long, applying(found, *parts) as (adoption, told):
        while not told:
            started = time.monotonic()
            await execute(found, SHORT)
            await execute(found, READ)
            waits.append(time.monotonic() - started)
        assert not adoption.done()
        await long.rollback()
    assert max(waits) < patient(3)
    assert "users: process " in told[0]
    assert " of optio_owner (main app), in a transaction for " in told[0]
    assert told[0].endswith(" Trying again in 1 s (2 of 5).")
    assert await execute(found, "select count(*) from spark.adoption") == [(1,)]


async def test_a_transaction_that_meets_us_is_not_ended_in_our_place(found: Settings) -> None:
    """It has `users`, we have `quests`: in a deadlock PostgreSQL ends whoever looks first."""
    waiting = "select count(*) from pg_locks where not granted and relation = 'users'::regclass"
    async with main_app_works(found) as long, applying(found):
        while await execute(found, waiting) == [(0,)]:
            pass
        await long.execute(text("update quests set updated_at = now()"))
        await long.commit()
    assert await execute(found, "select count(*) from spark.adoption") == [(1,)]


@pytest.mark.soak
async def test_after_five_tries_it_gives_up_and_has_changed_nothing(found: Settings) -> None:
    before = await dump_schema(found)
    async with main_app_works(found):
        done = await run_on(found)("adopt", "--apply")
    assert done.exit_code == 1
    assert done.stderr.count("Trying again") == len(PAUSES_SECONDS)
    assert "Nothing of this step was done. Run it again when that has ended." in done.stderr
    assert await dump_schema(found) == before


async def test_killed_while_it_waits_it_can_be_run_again(found: Settings) -> None:
    before = await dump_schema(found)
    async with main_app_works(found), adopting(found) as adoption:
        assert adoption.stderr
        await adoption.stderr.readline()
        adoption.send_signal(signal.SIGKILL)
        await adoption.wait()
        assert await dump_schema(found) == before
    async with adopting(found, "--json") as adoption:
        output, errors = await adoption.communicate()
    assert adoption.returncode == 0
    assert {"mark", "subject", "text", "next_step"} == set(json.loads(output)[0])
    assert errors.decode().endswith("Done. What comes next stands in docs/adoption.md.\n")


@pytest.mark.soak
async def test_killed_while_an_index_is_built_it_leaves_nobody_at_work(found: Settings) -> None:
    """The server would go on until the main app's transaction ends."""
    assert (await run_on(found)("adopt", "--apply")).exit_code == 0
    at_work = "select count(*) from pg_locks where locktype = 'advisory' and classid = 1"
    async with main_app_works(found):
        async with adopting(found, "--indexes") as adoption:
            assert adoption.stderr
            assert await adoption.stderr.readline() == b"Building ix_users_email_lower.\n"
            assert await execute(found, at_work) == [(1,)]
        while await execute(found, at_work) == [(1,)]:
            pass
    assert (await run_on(found)("adopt", "--apply", "--indexes")).exit_code == 0
    made = "select indisvalid from pg_index where indexrelid = 'ix_users_email_lower'::regclass"
    assert await execute(found, made) == [(True,)]


async def test_locks_are_kept_for_a_few_questions(found: Settings) -> None:
    """However far away the server is: from an office each takes a tenth of a second."""
    asked: list[str] = []
    engine = create_engine(found)
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    plan = await look(engine.connect, (), found.optio_organization_id)
    await apply(engine.connect, plan, (), print)
    await engine.dispose()
    [locked] = [place for place, asks in enumerate(asked) if asks.startswith("lock table")]
    assert len(asked) - locked < 10


EVERYTHING = ("adopt", "--apply", "--alter", "--indexes", "--courses")
OLDER = (
    "alter table user_quest_tasks drop column due_date",
    "alter table users drop column last_logout_at",
    "alter table quest_task_completions drop constraint quest_task_completions_user_id_task_id_key",
)
MAPPED = "select count(*), count(distinct course_id) from spark.assignments"


@pytest.mark.parametrize("every", [25, pytest.param(9, marks=pytest.mark.soak)])
async def test_cut_off_at_any_statement_it_can_be_run_again(
    settings: Settings, found: Settings, every: int
) -> None:
    """Behind each so many-th message to the database, further on each time, until none is left."""
    async with main_app_database(settings) as another:
        whole = another.model_copy(update={"optio_organization_id": found.optio_organization_id})
        for database in (whole, found):
            for statement in OLDER:
                await execute(database, statement)
        assert (await run_on(whole)(*EVERYTHING)).exit_code == 0
        assert await _run_and_cut(found, every=every) >= 5
        assert await execute(found, MAPPED) == await execute(whole, MAPPED) == [(2, 1)]
        made = await dump_schema(whole, "public", "spark")
        assert await dump_schema(found, "public", "spark") == made


async def _run_and_cut(found: Settings, *, every: int) -> int:
    assert found.database_url
    url = make_url(found.database_url.get_secret_value())
    for cuts in count():
        async with run_proxy(str(url.host), url.port or 5432) as proxy:
            through = url.set(host="127.0.0.1", port=proxy.port)
            proxied = SecretStr(through.render_as_string(hide_password=False))
            act = Act.LOSE_ANSWER if cuts % 2 else Act.LOSE_REQUEST
            aim = proxy.aim(Aim(act, b"", skip=every * (cuts + 1), times=ALWAYS))
            done = await run_on(found.model_copy(update={"database_url": proxied}))(*EVERYTHING)
            if done.exit_code == 0:
                assert aim.hits == 0
                return cuts
            assert done.exit_code == 1
    raise AssertionError


async def test_two_at_once_end_with_one_adoption(found: Settings) -> None:
    engine = create_engine(found)
    plan = await look(engine.connect, ["indexes"], found.optio_organization_id)
    each = [apply(engine.connect, plan, ["indexes"], str) for _ in range(2)]
    ended = await asyncio.gather(*each, return_exceptions=True)
    await engine.dispose()
    assert [type(end) for end in ended if end] == [AnotherAdoptsError]
    assert await execute(found, "select count(*) from spark.adoption") == [(1,)]
    assert "nothing to do" in (await run_on(found)("adopt", "--apply", "--indexes")).stdout
