"""A course of the predecessor, which knew no organisations, goes on as one of ours (#21)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.settings import Settings
from tests.support.beside import Beside, serve_beside
from tests.support.beside_spark import (
    RAIN,
    RAIN_QUEST,
    handed_in,
    map_predecessors_course,
    titles,
)
from tests.support.courses import Course, course, items, synced
from tests.support.people import BEN, BENS_RAIN

OURS = (
    "select spark_org_id, quest_id::text from spark.courses where spark_course_id = 'weather_101'"
)


@pytest.fixture
async def beside(settings: Settings) -> AsyncIterator[Beside]:
    async with serve_beside(settings, "spark_service") as running:
        await map_predecessors_course(running)
        yield running


def weather(org: Any) -> Course:
    assignments = items("rain", title="Measure rain") + items("wind", title="Draw a wind rose")
    return course(
        spark_org_id=org, spark_course_id="weather_101", assignments=assignments + items("snow")
    )


@pytest.mark.parametrize("org", ["24", ...], ids=["#21-with", "#21-without"])
async def test_its_first_message_goes_on_with_its_quest(beside: Beside, org: Any) -> None:
    handed = await handed_in(beside.spark, "ben", RAIN)
    for _ in range(2):
        assert await synced(beside.spark, weather(org)) == RAIN_QUEST
    assert await beside.rows(OURS) == [("" if org is ... else org, RAIN_QUEST)]
    again = await handed_in(beside.spark, "ben", RAIN, submission_text="Again.")
    assert (again["task_id"], again["completion_id"]) == (BENS_RAIN, handed["completion_id"])
    assert again["xp_awarded"] == 0
    assert await titles(beside, BEN, RAIN_QUEST) == [
        *("Do snow", "Draw a wind rose", "Measure rain", "Measure rain")
    ]


async def test_another_organisations_course_of_that_id_is_its_own(beside: Beside) -> None:
    assert await synced(beside.spark, weather("24")) == RAIN_QUEST
    assert await synced(beside.spark, weather("25")) != RAIN_QUEST


async def test_of_two_organisations_at_once_one_goes_on_with_it(beside: Beside) -> None:
    orgs = ["24", "25"] * 4
    quests = await asyncio.gather(*(synced(beside.spark, weather(org)) for org in orgs))
    by_org = set(zip(orgs, quests, strict=True))
    assert len(by_org) == 2
    assert RAIN_QUEST in quests
