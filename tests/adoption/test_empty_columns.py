"""Rows that the main app's columns allow and ours do not: nothing in them fails an act."""

# ruff: noqa: S608 - no value comes from outside

from collections.abc import AsyncIterator
from http import HTTPStatus

import httpx
import pytest
from sqlalchemy import text as sql

from app.models import Table
from app.settings import Settings
from tests.support.beside import Beside, serve_beside
from tests.support.beside_spark import (
    ESSAY,
    RAIN,
    RAIN_QUEST,
    handed_in,
    looking,
    map_predecessors_course,
)
from tests.support.evidence import as_read, body_of, text, texts
from tests.support.people import ANN, ANNS_DOCUMENT, ANNS_TASK, BEN, BENS_RAIN, EVE, EVES_TASK, FINN
from tests.support.roster import entry, send

MAY_BE_NULL = """
select table_name, column_name from information_schema.columns
where table_schema = 'public' and is_nullable = 'YES'
"""
# Without these an account is no student's, and a quest nobody's.
MATTERS = {("users", "role"), ("quests", "quest_type"), ("quests", "is_active")}
DATED_BY_TRIGGER = (
    "alter table user_task_evidence_documents {} trigger evidence_documents_updated_at"
)
# By table: what its columns take.
ODD = {
    "user_quest_tasks": "pillar = 'Creativity', xp_value = 0, order_index = -3,"
    " subject_xp_distribution = '[7]', diploma_subjects = 'null', approval_status = 'rejected'",
    "course_quest_tasks": "subject_xp_distribution = '[7]', title = '', order_index = -1",
    "user_skill_xp": "pillar = case pillar when 'stem' then 'Creativity' else pillar end",
    "quest_task_completions": "user_quest_task_id = null, evidence_text = '',"
    " evidence_url = 'ftp://x', is_confidential = true, diploma_status = 'merged'",
    "user_task_evidence_documents": "status = 'draft', is_confidential = true",
    "user_quests": "status = 'available', completed_at = now(), archived_at = now()",
    "quests": "archived_at = now(), metadata = '[]'",
    "users": "first_name = null, last_name = null, display_name = null, portfolio_slug = null",
}
WEB = {"url": "https://a.example"}
READ = [
    *(
        f"/internal/v1/{name}"
        for name in ("courses", "submissions", "activity", "events", "grades")
    ),
    *(
        path.format(of)
        for of in (ANN, BEN, EVE, FINN)
        for path in (
            *("/internal/v1/completions?user_id={}", "/internal/v1/students/{}"),
            *("/internal/v1/students/{}/xp", "/internal/v1/students/{}/export"),
        )
    ),
    *(f"/internal/v1/completions/f1000000-0000-4000-8000-00000000000{last}" for last in "123"),
    *(
        f"/internal/v1/explain?spark_user_id=spark_{name}&spark_assignment_id={work}"
        for name, work in (("ann", "essay_1"), ("ben", "rain"), ("eve", "essay_1"))
    ),
]


@pytest.fixture
async def beside(settings: Settings) -> AsyncIterator[Beside]:
    async with serve_beside(settings, "spark_service") as running:
        await map_predecessors_course(running)
        yield running


async def empty(beside: Beside) -> None:
    """Null in every column that ours would not have empty."""
    async with looking(beside) as sessions, sessions() as session, session.begin():
        await session.execute(sql(DATED_BY_TRIGGER.format("disable")))
        for table, column in (await session.execute(sql(MAY_BE_NULL))).all():
            ours = Table.metadata.tables.get(table)
            is_ours = ours is not None and column in ours.c and not ours.c[column].nullable
            if is_ours and (table, column) not in MATTERS:
                await session.execute(sql(f"update {table} set {column} = null"))
        await session.execute(sql(DATED_BY_TRIGGER.format("enable")))


async def make_odd(beside: Beside) -> None:
    for table, columns in ODD.items():
        await beside.rows(f"update {table} set {columns}")


async def lose(beside: Beside) -> None:
    """Completions still name their documents, and copies their templates."""
    await beside.rows("delete from user_task_evidence_documents")
    await beside.rows("delete from course_quest_tasks where quest_id = :id", id=RAIN_QUEST)


@pytest.mark.parametrize("change", [empty, make_odd, lose], ids=["left-out", "odd", "gone"])
async def test_no_act_fails_at_what_the_main_apps_columns_allow(
    beside: Beside, change: object
) -> None:
    assert callable(change)
    await change(beside)
    failed = await fails_to_read(beside)
    for name in ("ann", "ben", "eve", "eve2"):
        token = beside.spark.launch_token(sub=f"spark_{name}", email=None, courses=["weather_101"])
        assert (await beside.spark.launch(token)).status_code == HTTPStatus.FOUND
        for work in (ESSAY, RAIN):
            await handed_in(beside.spark, name, work)
            await handed_in(beside.spark, name, work, submission_text="Written anew.")
    for who, task in ((ANN, ANNS_TASK), (EVE, EVES_TASK)):
        desk = beside.desk(task, who)
        blocks = [as_read(block) for block in (await desk.read())["blocks"]]
        await desk.saved(*blocks, text("more"), status="completed")
    for action in ("drop", "enroll"):
        roster = {"spark_course_id": "weather_101", "entries": [entry("spark_ben", action)]}
        assert (await send(beside.spark, roster)).json()["errors"] == []
    failed += await fails_to_read(beside)
    path = f"/internal/v1/students/{EVE}"
    erased = await beside.spark.browser.delete(path, headers=beside.key)
    assert (failed, erased.status_code) == ([], HTTPStatus.OK)


async def fails_to_read(beside: Beside) -> list[str]:
    async def ask(path: str) -> httpx.Response:
        return await beside.spark.browser.get(path, headers=beside.key)

    return [path for path in READ if (await ask(path)).status_code != HTTPStatus.OK]


async def test_a_moment_that_nobody_wrote_down_is_the_first_of_all(beside: Beside) -> None:
    await empty(beside)
    desk = beside.desk(ANNS_TASK, ANN)
    read = await desk.read()
    assert {block["created_at"] for block in read["blocks"]} == {"2000-01-01T00:00:00Z"}
    kept = [as_read(block) for block in read["blocks"]]
    moment = read["document"]["updated_at"]
    body_of(await desk.save(*kept, text("mine"), updated_at=moment))
    assert texts(await desk.read()) == [*texts(read), "mine"]


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        pytest.param('"Words."', {"text": "Words."}, id="a text"),
        pytest.param('[{"url": "https://a.example"}]', {"items": [WEB]}, id="a list"),
        pytest.param("null", {}, id="nothing"),
        pytest.param("7", {}, id="a number"),
    ],
)
async def test_content_that_is_no_object_is_shown_as_one(
    beside: Beside, stored: str, shown: dict[str, object]
) -> None:
    await beside.rows(
        "update evidence_document_blocks set content = cast(:stored as jsonb)"
        " where document_id = :id and order_index = 0",
        stored=stored,
        id=ANNS_DOCUMENT,
    )
    desk = beside.desk(ANNS_TASK, ANN)
    read = await desk.read()
    assert read["blocks"][0]["content"] == shown
    kept = [as_read(block) for block in read["blocks"]]
    await desk.saved(*kept, version=read["version"])
    assert (await desk.read())["blocks"][0]["content"] == shown


async def test_a_task_worth_less_than_nothing_pays_nothing(beside: Beside) -> None:
    await beside.rows("update user_quest_tasks set xp_value = -5 where id = :id", id=BENS_RAIN)
    assert (await handed_in(beside.spark, "ben", RAIN))["xp_awarded"] == 0
