"""What else the main app keeps of a student is exported and erased, or named (#15, #23)."""

import io
import json
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.settings import Settings
from tests.support.beside import Beside, serve_beside
from tests.support.people import ANN, BEN, EVE, FINN
from tests.support.problems import assert_problem
from tests.support.service_role import Role

STUDENTS = "/internal/v1/students"
SKILLS = """
create table public.user_skill_details (
    id uuid primary key default gen_random_uuid(), user_id uuid, skill text, seen date)
"""
ROLES: tuple[Role, ...] = ("optio_owner", "spark_service")


@pytest.fixture(params=ROLES)
async def beside(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Beside]:
    async with serve_beside(settings, request.param) as running:
        yield running


async def erase(beside: Beside, user_id: str) -> httpx.Response:
    return await beside.spark.browser.delete(f"{STUDENTS}/{user_id}", headers=beside.key)


async def left(beside: Beside, user_id: str, table: str = "diplomas") -> int:
    [(count,)] = await beside.rows(
        f"select count(*) from {table} where user_id = cast(:of as uuid)",  # noqa: S608 - ours
        of=user_id,
    )
    return int(count)


async def exported(beside: Beside, user_id: str) -> dict[str, Any]:
    """By table, what is in it, and the README."""
    answer = await beside.spark.browser.get(f"{STUDENTS}/{user_id}/export", headers=beside.key)
    assert answer.status_code == 200
    files = zipfile.ZipFile(io.BytesIO(answer.content))
    return {
        name: [json.loads(line) for line in files.read(name).decode().splitlines()]
        for name in files.namelist()
        if name.endswith(".jsonl")
    } | {"README": files.read("README.txt").decode()}


async def test_23_the_name_in_a_diploma_goes_with_the_student(beside: Beside) -> None:
    found = await exported(beside, EVE)
    [diploma] = found["public.diplomas.jsonl"]
    assert (diploma["user_id"], diploma["portfolio_slug"]) == (EVE, "eve-twice")
    assert "public.diplomas.jsonl: " in found["README"]
    assert "user_skill_details" not in found["README"]
    answer = await erase(beside, EVE)
    assert (answer.status_code, answer.json()["counts"]["public.diplomas"]) == (200, 1)
    assert await left(beside, EVE) == 0
    assert await left(beside, ANN) == 1


async def test_scores_for_another_platform_are_the_students_as_well(beside: Beside) -> None:
    found = (await exported(beside, ANN))["public.lms_grade_sync.jsonl"]
    assert [score["lms_platform"] for score in found] == ["canvas"] * 2
    await beside.rows("delete from feed_share_tokens")
    answer = await erase(beside, ANN)
    assert (answer.status_code, answer.json()["counts"]["public.lms_grade_sync"]) == (200, 2)


async def test_23_so_do_skills_where_that_table_is_there(settings: Settings) -> None:
    async with serve_beside(settings, "optio_owner") as beside:
        await beside.rows(SKILLS)
        await beside.rows(
            "insert into user_skill_details (user_id, skill, seen)"
            " select id, 'baking', current_date from users"
            " where id in (cast(:ben as uuid), cast(:eve as uuid))",
            ben=BEN,
            eve=EVE,
        )
        [skill] = (await exported(beside, BEN))["public.user_skill_details.jsonl"]
        assert (skill["user_id"], skill["skill"]) == (BEN, "baking")
        answer = await erase(beside, BEN)
        assert answer.json()["counts"]["public.user_skill_details"] == 1
        assert [await left(beside, who, "user_skill_details") for who in (BEN, EVE)] == [0, 1]


@pytest.mark.parametrize(
    ("student", "table"),
    [(FINN, "parental_consent_log"), (ANN, "feed_share_tokens")],
    ids=["15-consent", "15-shared"],
)
async def test_rows_that_keep_a_student_are_named_before_the_account_is_closed(
    beside: Beside, student: str, table: str
) -> None:
    status = "select deletion_status from users where id = cast(:of as uuid)"
    before = await beside.rows(status, of=student)
    problem = assert_problem(await erase(beside, student), 409, "referenced_elsewhere")
    assert problem["references"] == [{"table": f"public.{table}", "rows": 1}]
    assert f"public.{table} (1)" in str(problem["hint"])
    assert await beside.rows(status, of=student) == before
    assert await beside.rows("select count(*) from spark.erasures") == [(0,)]
    assert await left(beside, student) == 1
    await beside.rows(f"delete from {table}")  # noqa: S608 - ours
    erased = await erase(beside, student)
    assert (erased.status_code, erased.json()["completed_at"] is not None) == (200, True)
    assert await left(beside, student) == 0


async def test_15_a_row_of_anothers_that_names_the_students_work_counts_and_the_own_does_not(
    beside: Beside,
) -> None:
    """`merged_into` names a completion, and keeps it."""
    eves, anns = (f"f1000000-0000-4000-8000-00000000000{last}" for last in "21")
    merge = "update quest_task_completions set merged_into = :into where id = :id"
    await beside.rows(merge, id=eves, into=eves)
    await beside.rows(merge, id=anns, into=eves)
    problem = assert_problem(await erase(beside, EVE), 409, "referenced_elsewhere")
    assert problem["references"] == [{"table": "public.quest_task_completions", "rows": 1}]
    await beside.rows(merge, id=anns, into=None)
    assert (await erase(beside, EVE)).status_code == 200


async def test_15_what_is_further_away_is_named_and_the_erasure_goes_on_without_it(
    beside: Beside,
) -> None:
    """Of a row that would go with the student another one needs, that nobody counts."""
    await beside.rows("delete from feed_share_tokens")
    await beside.rows("create table praise (event_id uuid references learning_events (id))")
    await beside.rows("insert into praise select id from learning_events")
    for _ in range(2):
        problem = assert_problem(await erase(beside, ANN), 409, "referenced_elsewhere")
        assert "praise" in str(problem["hint"])
    await beside.rows("delete from praise")
    assert (await erase(beside, ANN)).json()["completed_at"]
