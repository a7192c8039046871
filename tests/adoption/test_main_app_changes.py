"""Whatever the main app changes under us is named: by /readyz, by doctor, in the log."""

import asyncio
import json
import re
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from app.adoption.watch_schema import AGAIN_SECONDS, COMPARED_SECONDS
from app.settings import Settings
from tests.support.adopted import SERVICE, main_app_database
from tests.support.beside import serve_beside
from tests.support.commands import run_on
from tests.support.databases import empty_database, execute
from tests.support.main_app import adopted, blind, change, for_now
from tests.support.patience import patient
from tests.support.processes import environment, serve_elsewhere
from tests.support.programs import Ended, run_program
from tests.support.running import run_app

PROJECT = Path(__file__).parents[2]
BLOCKS = "evidence_document_blocks"
KEY = "user_skill_xp_user_id_pillar_key"

# What the main app does, and what is named then.
SEEN_AT_THE_DOOR = {
    "drops a column": ("alter table quests drop description", "quests.description"),
    "renames a column": (
        "alter table quests rename lms_course_id to course_id",
        "quests.lms_course_id",
    ),
    "retypes a column": (
        f"alter table {BLOCKS} alter content type text",
        f"{BLOCKS}.content",
    ),
    "makes a column mandatory": (
        "delete from users where email is null; alter table users alter last_name set not null",
        "users.last_name",
    ),
    "adds a mandatory column": (
        (
            "delete from lms_sessions; delete from lms_integrations;"
            " alter table lms_integrations add tenant text not null"
        ),
        "lms_integrations.tenant",
    ),
    "drops a unique key": (
        f"alter table user_skill_xp drop constraint {KEY}",
        "user_skill_xp (user_id, pillar)",
    ),
    "narrows a check": (
        (
            f"alter table {BLOCKS} drop constraint {BLOCKS}_block_type_check; alter table {BLOCKS}"
            " add check (block_type in ('text', 'image', 'document'))"
        ),
        f"{BLOCKS}.block_type",
    ),
    "revokes a right": (
        "revoke update on quests from optio_owner, anon, authenticated, service_role",
        "quests",
    ),
    "renames a table": ("alter table user_quests rename to enrolments", "user_quests"),
    "renames a table that is only read": (
        "alter table organizations rename to schools",
        "organizations",
    ),
}


async def read_readiness(service: Settings) -> httpx.Response:
    """Of a service that has just begun."""
    async with (
        run_app(service) as running,
        httpx.AsyncClient(base_url=running.url, trust_env=False) as browser,
    ):
        return await browser.get("/readyz")


async def doctor(service: Settings, *words: str) -> Ended:
    """As a process of its own, which knows of the database alone."""
    address = environment(service)["DATABASE_URL"]
    command = (sys.executable, "-m", "app", "doctor", *words)
    return await run_program(*command, env={"DATABASE_URL": address}, folder=PROJECT)


@pytest.mark.parametrize("act", SEEN_AT_THE_DOOR)
async def test_what_the_main_app_does_is_named_at_the_door(settings: Settings, act: str) -> None:
    statements, subject = SEEN_AT_THE_DOOR[act]
    async with adopted(settings) as found:
        await change(found, statements)
        answer = await read_readiness(found)
        examined = await run_on(found)("doctor")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "failed",
        "checks": {"database": True, "schema": False, "storage": True},
        "differences": [subject],
    }
    assert examined.exit_code == 1
    assert re.findall(r"^refuse   (.*?):", examined.output, re.MULTILINE) == [subject]


async def test_a_running_service_on_a_database_of_its_own_shows_none(
    server: object, browser: httpx.AsyncClient
) -> None:
    assert (await browser.get("/readyz")).json() == {
        "status": "ok",
        "checks": {"database": True, "schema": True, "storage": True},
        "differences": [],
    }


async def test_nothing_differs_for_the_role_that_the_grants_make(settings: Settings) -> None:
    async with serve_beside(settings, SERVICE) as beside:
        answer = await beside.spark.browser.get("/readyz")
    assert (answer.status_code, answer.json()["differences"]) == (200, [])


async def test_a_table_that_is_being_changed_is_not_waited_for(settings: Settings) -> None:
    async with (
        adopted(settings) as found,
        for_now(found, "alter table quests drop description"),
        asyncio.timeout(patient(10)),
    ):
        assert (await read_readiness(found)).json()["checks"]["database"]


@pytest.mark.soak
async def test_what_was_just_being_changed_is_compared_soon(settings: Settings) -> None:
    drop = "alter table quests drop description"
    async with adopted(settings) as found, AsyncExitStack() as later:
        async with for_now(found, drop):
            running = await later.enter_async_context(run_app(found))
            client = httpx.AsyncClient(base_url=running.url, trust_env=False)
            browser = await later.enter_async_context(client)
            assert (await browser.get("/readyz")).status_code == 200
        await change(found, drop)
        async with asyncio.timeout(AGAIN_SECONDS + patient(2)):
            while (await browser.get("/readyz")).status_code == 200:  # noqa: ASYNC110 - as a host asks
                await asyncio.sleep(1)


@pytest.mark.soak
@pytest.mark.timeout(patient(COMPARED_SECONDS + 60))
async def test_a_running_service_names_it_within_a_minute(settings: Settings) -> None:
    async with (
        adopted(settings) as found,
        run_app(found) as running,
        httpx.AsyncClient(base_url=running.url, trust_env=False) as browser,
    ):
        assert (await browser.get("/readyz")).status_code == 200
        await change(found, "alter table quests drop description")
        async with asyncio.timeout(COMPARED_SECONDS + patient(2)):
            while (await browser.get("/readyz")).status_code == 200:  # noqa: ASYNC110 - as a host asks
                await asyncio.sleep(1)
        assert (await browser.get("/readyz")).json()["differences"] == ["quests.description"]


async def test_doctor_fails_for_programs_only_where_something_differs(settings: Settings) -> None:
    async with main_app_database(settings) as found:
        before = await doctor(found, "--json")
        await change(found, "alter table quests drop description")
        after = await doctor(found, "--json")
        in_words = await run_on(found)("doctor")
    assert (before.code, after.code, in_words.exit_code) == (0, 1, 1)
    marks = {finding["mark"] for finding in json.loads(before.output)}
    assert marks == {"ok", "adapt", "data", "would"}
    refused = [one for one in json.loads(after.output) if one["mark"] == "refuse"]
    assert [(one["subject"], one["text"]) for one in refused] == [
        ("quests.description", "is missing, must be text")
    ]
    assert "refuse   quests.description: is missing, must be text\n" in in_words.output
    assert refused[0]["next_step"] in in_words.output


async def test_doctor_knows_each_kind_of_database(settings: Settings) -> None:
    async def first_of(service: Settings) -> tuple[int, str]:
        examined = await run_on(service)("doctor")
        return examined.exit_code, examined.output.partition("\n")[0]

    assert await first_of(settings) == (0, "ok       schema spark: all migrations are applied")
    async with adopted(settings) as found:
        assert await first_of(found) == (0, "ok       schema spark: all migrations are applied")
        await execute(found, "update spark.alembic_version set version_num = 'spark_0000'")
        assert await first_of(found) == (1, "refuse   schema spark: a migration is missing")
    async with empty_database(settings) as empty:
        code, words = await first_of(empty)
        assert (code, words.split(":")[0]) == (1, "refuse   database")


async def test_doctor_brings_the_findings_of_each_room(settings: Settings) -> None:
    async with adopted(settings) as found:
        examined = await run_on(found)("doctor")
        without = found.model_copy(update={"optio_organization_id": None})
        unnamed = await run_on(without)("doctor")
    for line in (
        "ok       quests: ",
        "ok       bucket ",
        "adapt    lms_integrations.organization_id: is mandatory: OPTIO_ORGANIZATION_ID = Optio",
        "data     lms_integrations: users with several Spark ids: 1;",
    ):
        assert f"\n{line}" in examined.output
    assert (examined.exit_code, unnamed.exit_code) == (0, 1)
    assert "refuse   lms_integrations.organization_id: " in unnamed.output


@pytest.mark.parametrize(
    "command",
    [
        "serve --port 0",
        pytest.param("worker", marks=pytest.mark.soak),
        pytest.param("uvicorn", marks=pytest.mark.soak),
    ],
)
async def test_a_service_that_row_security_blinds_does_not_start(
    settings: Settings, command: str
) -> None:
    words = ["-m", "app", *command.split()]
    if command == "uvicorn":
        words = ["-m", "uvicorn", "--factory", "app.main:create_app", "--port", "0"]
    async with adopted(settings) as found, blind(found, settings) as service:
        ended = await run_program(sys.executable, *words, env=environment(service), folder=PROJECT)
        assert ended.code == 1
        assert "The service does not start: role blind_" in ended.errors
        assert (
            "may not bypass row security, which hides rows of course_quest_tasks, " in ended.errors
        )
        assert ended.errors.endswith(" bypassrls`.\n")
        assert "Traceback" not in ended.errors
        answer = await read_readiness(service)  # had the database been away at its start
    assert (answer.status_code, answer.json()["differences"]) == (503, ["row security"])


async def test_a_service_starts_while_the_database_is_away(settings: Settings) -> None:
    away = SecretStr("postgresql://optio_owner@127.0.0.1:9/optio")
    async with (
        serve_elsewhere(settings.model_copy(update={"database_url": away})) as address,
        httpx.AsyncClient(base_url=address, trust_env=False) as browser,
    ):
        assert (await browser.get("/readyz")).json() == {
            "status": "failed",
            "checks": {"database": False, "schema": False, "storage": True},
            "differences": [],
        }


async def test_what_differs_is_one_line_of_the_log(settings: Settings) -> None:
    async with adopted(settings) as found:
        await change(found, "alter table quests drop description")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app", "serve", "--port", "0"),
            cwd=PROJECT,
            env=environment(found),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout
        async with asyncio.timeout(patient(60)):
            lines = [await process.stdout.readline()]
            while not lines[-1].startswith(b"Serving on "):
                lines.append(await process.stdout.readline())
            address = lines[-1].decode().removeprefix("Serving on ").strip()
            async with httpx.AsyncClient(base_url=address, trust_env=False) as browser:
                assert (await browser.get("/readyz")).status_code == 503
                assert (await browser.get("/readyz")).status_code == 503
            process.terminate()
            rest, _ = await process.communicate()
    told = [
        json.loads(line) for line in b"".join([*lines, rest]).splitlines() if b"differs" in line
    ]
    assert [(one["event"], one["differences"]) for one in told] == [
        ("schema_differs", ["quests.description"])
    ]
