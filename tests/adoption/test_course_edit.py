"""A teacher's edit of a course deletes all its templates, to make them anew (ADOPTION #20)."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from app.settings import Settings
from tests.support.beside import Beside, serve_beside
from tests.support.beside_spark import handed_in, titles
from tests.support.courses import Course, course, items, synced
from tests.support.people import EVE
from tests.support.spark import Assignment, Spark

KEPT = """
with gone as (delete from course_quest_tasks where quest_id = :quest_id returning *)
insert into course_quest_tasks (quest_id, title, pillar, xp_value, order_index)
select quest_id, ' ' || upper(title) || ' ', pillar, 70, 9 - order_index from gone
"""
IN_TEMPLATE_TASKS = """
with gone as (delete from course_quest_tasks where quest_id = :quest_id returning *)
insert into quest_template_tasks (quest_id, title, pillar, xp_value, order_index)
select quest_id, title, pillar, 70, order_index from gone
"""
DELETED = "delete from course_quest_tasks where quest_id = :quest_id"
EDITS = {"kept": KEPT, "in-template-tasks": IN_TEMPLATE_TASKS, "deleted": DELETED}
TEMPLATES = (
    "select title, xp_value from course_quest_tasks where quest_id = :quest_id order by title"
)


@pytest.fixture
async def beside(settings: Settings) -> AsyncIterator[Beside]:
    async with serve_beside(settings, "spark_service") as running:
        yield running


@pytest.fixture
def spark(beside: Beside) -> Spark:
    return beside.spark


@pytest.fixture
def payload() -> Course:
    return course("one", "two")


@pytest.fixture
async def quest_id(spark: Spark, payload: Course) -> str:
    """Of the course, in which Eve is enrolled."""
    quest_id = await synced(spark, payload)
    await sign_in(spark, payload)
    return quest_id


async def sign_in(spark: Spark, payload: Course) -> None:
    courses = [payload["spark_course_id"]]
    await spark.launch_code(sub="spark_eve", email=None, courses=courses)


def work(payload: Course, quest_id: str, name: str) -> Assignment:
    return Assignment(UUID(quest_id), name, payload["spark_course_id"])


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("first", ["homework", "sync", "sign-in"])
async def test_20_assignments_are_found_again_by_their_titles(
    beside: Beside, spark: Spark, payload: Course, quest_id: str, edit: str, first: str
) -> None:
    one, two = (work(payload, quest_id, name) for name in ("one", "two"))
    before = await handed_in(spark, "eve", one)
    await beside.rows(EDITS[edit], quest_id=quest_id)
    if first == "sync":
        await synced(spark, payload)
    if first == "sign-in":
        await beside.rows("update user_quests set is_active = false where user_id = :id", id=EVE)
        await sign_in(spark, payload)
    after = await handed_in(spark, "eve", one)
    other = await handed_in(spark, "eve", two)
    assert (after["task_id"], after["revision"], after["xp_awarded"]) == (before["task_id"], 2, 0)
    assert other["xp_awarded"] == 100  # as her own copy says
    for _ in range(2):
        await synced(spark, payload)
        xp = 100 if edit == "deleted" else 70
        assert await beside.rows(TEMPLATES, quest_id=quest_id) == [("Do one", xp), ("Do two", xp)]
        assert await titles(beside, EVE, quest_id) == ["Do one", "Do two"]
    again = await handed_in(spark, "eve", two, submission_text="Again.")
    assert (again["task_id"], again["revision"]) == (other["task_id"], 2)


async def test_20_a_renamed_task_is_one_of_the_main_apps_own(
    beside: Beside, spark: Spark, payload: Course, quest_id: str
) -> None:
    before = await handed_in(spark, "eve", work(payload, quest_id, "one"))
    await beside.rows(KEPT, quest_id=quest_id)
    rename = "update course_quest_tasks set title = 'Renamed' where upper(btrim(title)) = 'DO ONE'"
    await beside.rows(rename)
    after = await handed_in(spark, "eve", work(payload, quest_id, "one"))
    assert after["task_id"] == before["task_id"]
    await synced(spark, payload)
    assert await titles(beside, EVE, quest_id) == ["Do one", "Do two", "Renamed"]


async def test_20_of_equal_titles_each_keeps_its_own(
    beside: Beside, spark: Spark, payload: Course
) -> None:
    payload |= {"assignments": items("one", "two", title="Quiz")}
    quest_id = await synced(spark, payload)
    await sign_in(spark, payload)
    works = [work(payload, quest_id, name) for name in ("one", "two")]
    before = [(await handed_in(spark, "eve", each))["task_id"] for each in works]
    same = KEPT.replace("9 - order_index", "order_index")
    await beside.rows(same, quest_id=quest_id)
    await synced(spark, payload)
    assert [(await handed_in(spark, "eve", each))["task_id"] for each in works] == before
    assert await titles(beside, EVE, quest_id) == ["Quiz", "Quiz"]


async def test_20_who_asks_before_anything_comes_is_told_of_no_other_task(
    beside: Beside, spark: Spark, payload: Course, quest_id: str
) -> None:
    await handed_in(spark, "eve", work(payload, quest_id, "one"))
    await beside.rows(KEPT, quest_id=quest_id)
    asked = {"spark_user_id": "spark_eve", "spark_assignment_id": "two"}
    answer = await beside.spark.browser.get(
        "/internal/v1/explain", params=asked, headers=beside.key
    )
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    assert told["assignment"]["found"]
    assert told["task"]["task_id"] is None
