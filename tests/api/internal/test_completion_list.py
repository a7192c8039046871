"""What a student has completed, in pages."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.database import Sessions
from tests.support.evidence import body_of, desk_of, tasks_of, text
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, SignedIn, Spark, submission

COMPLETIONS = "/internal/v1/completions"


@pytest.fixture
async def completed(
    browser: httpx.AsyncClient,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
) -> list[str]:
    """Two tasks, by homework and here: the ids of the tasks, and a classmate's is none of them."""
    body_of(await spark.submit(submission(await spark.sign_in(), assignment)))
    body_of(await spark.submit(submission(student, assignment)))
    tasks = (await tasks_of(sessions, student.user_id))[:2]
    desk = desk_of(browser, student, tasks[1])
    await desk.saved(text("a secret of mine"), status="completed")
    return tasks


async def _list(
    browser: httpx.AsyncClient, main_app: dict[str, str], **query: Any
) -> dict[str, Any]:
    return body_of(await browser.get(COMPLETIONS, params=query, headers=main_app))


async def test_a_students_completions_are_listed_as_they_are_read_one_by_one(
    browser: httpx.AsyncClient, main_app: dict[str, str], student: SignedIn, completed: list[str]
) -> None:
    page = await _list(browser, main_app, user_id=student.user_id)
    assert page["next_cursor"] is None
    assert [item["task_id"] for item in page["items"]] == completed[::-1]
    assert [item["revision"] for item in page["items"]] == [None, 1]
    for item in page["items"]:
        answer = await browser.get(f"{COMPLETIONS}/{item['id']}", headers=main_app)
        one = body_of(answer)
        del one["blocks"], one["files"]
        assert item == one


async def test_pages_and_filters_narrow_the_list(
    browser: httpx.AsyncClient, main_app: dict[str, str], student: SignedIn, completed: list[str]
) -> None:
    whose = {"user_id": student.user_id}
    first = await _list(browser, main_app, **whose, limit=1)
    rest = await _list(browser, main_app, **whose, limit=1, cursor=first["next_cursor"])
    items = [*first["items"], *rest["items"]]
    assert [item["task_id"] for item in items] == completed[::-1]
    assert rest["next_cursor"] is None
    last = max(datetime.fromisoformat(item["completed_at"]) for item in items)
    for query, count in (
        ({"quest_id": items[0]["quest_id"]}, 2),
        ({"quest_id": str(uuid4())}, 0),
        ({"since": last.isoformat()}, 1),
        ({"since": (last + timedelta(seconds=1)).isoformat()}, 0),
    ):
        assert len((await _list(browser, main_app, **whose, **query))["items"]) == count


async def test_whose_completions_has_to_be_said(
    browser: httpx.AsyncClient, main_app: dict[str, str]
) -> None:
    problem = assert_problem(await browser.get(COMPLETIONS, headers=main_app), 400, "field_invalid")
    assert (problem["error"], problem["hint"]) == ("Invalid field: user_id", "It is required.")
    assert (await _list(browser, main_app, user_id=str(uuid4())))["items"] == []
