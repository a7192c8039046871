"""Enrolments and tasks that the main app makes as well (ADOPTION #5, #25)."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.settings import Settings
from tests.support.beside import Beside, serve_beside
from tests.support.beside_spark import (
    ESSAY,
    ESSAY_QUEST,
    RAIN,
    RAIN_QUEST,
    WIND,
    enrolments,
    handed_in,
    map_predecessors_course,
    titles,
)
from tests.support.people import ANNS_NEW_ESSAY, BEN, BENS_RAIN, EVE
from tests.support.roster import entry, send
from tests.support.spark import Spark

FAILED = "select event_data from user_activity_events where event_type = 'spark_enrolment_failed'"

ENDS_ONE = """
update user_quests q set is_active = q.id <> t.user_quest_id,
  completed_at = case when q.id = t.user_quest_id then now() end
from user_quest_tasks t
where t.id = :task and q.quest_id = t.quest_id and q.user_id = t.user_id
"""


@pytest.fixture
async def beside(settings: Settings) -> AsyncIterator[Beside]:
    async with serve_beside(settings, "spark_service", complete_quests=None) as running:
        await map_predecessors_course(running)
        yield running


@pytest.fixture
def spark(beside: Beside) -> Spark:
    return beside.spark


async def test_25_homework_goes_to_the_active_enrolment(beside: Beside, spark: Spark) -> None:
    body = await handed_in(spark, "ann", ESSAY)
    assert body["task_id"] == ANNS_NEW_ESSAY


async def test_25_a_revision_stays_where_the_first_one_is(beside: Beside, spark: Spark) -> None:
    """The main app's student ends that enrolment, and has another one, which is open."""
    first = await handed_in(spark, "ann", ESSAY)
    await beside.rows(ENDS_ONE, task=first["task_id"])
    again = await handed_in(spark, "ann", ESSAY, submission_text="Written anew.")
    assert (again["task_id"], again["revision"]) == (first["task_id"], 2)
    assert again["xp_awarded"] == 0


async def test_25_a_sign_in_wakes_one_enrolment_and_makes_none(
    beside: Beside, spark: Spark
) -> None:
    for _ in range(2):
        await spark.launch_code(sub="spark_ben", email=None, courses=["weather_101"])
    assert await enrolments(beside, BEN, RAIN_QUEST) == [True, True]
    assert await titles(beside, BEN, RAIN_QUEST) == ["Measure rain", "Measure rain"]
    await beside.rows("update user_quests set is_active = null where user_id = :id", id=BEN)
    await spark.launch_code(sub="spark_ben", email=None, courses=["weather_101"])
    assert await enrolments(beside, BEN, RAIN_QUEST) == [None, True]
    assert await beside.rows(FAILED) == []


async def test_25_a_copy_that_is_there_twice_is_enough(beside: Beside, spark: Spark) -> None:
    body = await handed_in(spark, "ben", RAIN)
    assert body["task_id"] == BENS_RAIN
    assert await titles(beside, BEN, RAIN_QUEST) == ["Measure rain", "Measure rain"]
    for _ in range(2):
        await handed_in(spark, "ben", WIND)
    assert await titles(beside, BEN, RAIN_QUEST) == ["Draw a wind rose", *["Measure rain"] * 2]


async def test_25_a_roster_drops_every_enrolment_and_wakes_one(
    beside: Beside, spark: Spark
) -> None:
    for action, active in (("drop", [False, False]), ("enroll", [False, True])):
        roster = {"spark_course_id": "weather_101", "entries": [entry("spark_ben", action)]}
        answer = await send(spark, roster)
        assert answer.status_code == 200, answer.text
        assert answer.json()["errors"] == []
        assert await enrolments(beside, BEN, RAIN_QUEST) == active


@pytest.mark.parametrize("name", ["ann", "ben"])
async def test_25_whoever_asks_is_told_of_one(beside: Beside, spark: Spark, name: str) -> None:
    assignment = {"ann": "essay_1", "ben": "rain"}[name]
    asked = {"spark_user_id": f"spark_{name}", "spark_assignment_id": assignment}
    path = "/internal/v1/explain"
    answer = await beside.spark.browser.get(path, params=asked, headers=beside.key)
    assert answer.status_code == 200, answer.text
    assert answer.json()["enrolment"]["active"]


async def test_5_many_at_once_enrol_a_student_once(beside: Beside, spark: Spark) -> None:
    """Of one child with two Spark ids, so that nothing but the account keeps them apart."""
    names = ("eve", "eve2") * 4
    launches = [
        spark.launch_code(sub=f"spark_{name}", email=None, courses=["weather_101"])
        for name in names
    ]
    work = [handed_in(spark, name, WIND) for name in names]
    _, *bodies = await asyncio.gather(asyncio.gather(*launches), *work)
    assert await enrolments(beside, EVE, RAIN_QUEST) == [True]
    assert await titles(beside, EVE, RAIN_QUEST) == ["Draw a wind rose", "Measure rain"]
    assert len({body["completion_id"] for body in bodies}) == 1
    assert sum(body["xp_awarded"] for body in bodies) == 100
    assert await beside.rows(FAILED) == []


async def test_5_a_template_without_order_comes_last(beside: Beside, spark: Spark) -> None:
    body = await handed_in(spark, "ben", ESSAY)
    assert body["xp_awarded"] == 150
    assert await titles(beside, BEN, ESSAY_QUEST) == ["Read it aloud", "Write the essay"]
