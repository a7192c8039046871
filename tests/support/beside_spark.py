"""Spark and its courses in the main app's database: homework there, and what it leaves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from app.adoption.map_courses import map_courses
from app.database import Sessions, create_engine, open_sessions
from tests.support.beside import Beside
from tests.support.spark import Assignment, SignedIn, Spark, submission

ESSAY_QUEST = "b0000000-0000-4000-8000-000000000001"  # one assignment, one quest
RAIN_QUEST = "b0000000-0000-4000-8000-000000000002"  # a course
ESSAY = Assignment(UUID(ESSAY_QUEST), "essay_1", "no_course")
RAIN = Assignment(UUID(RAIN_QUEST), "rain", "weather_101")
WIND = Assignment(UUID(RAIN_QUEST), "wind", "weather_101")


@asynccontextmanager
async def looking(beside: Beside) -> AsyncIterator[Sessions]:
    """The database, as the main app has it."""
    engine = create_engine(beside.main_app)
    yield open_sessions(engine, at_once=1)
    await engine.dispose()


async def map_predecessors_course(beside: Beside) -> None:
    """As `adopt --courses` does."""
    async with looking(beside) as sessions:
        await map_courses(sessions, print)


async def handed_in(
    spark: Spark, name: str, assignment: Assignment, **changes: Any
) -> dict[str, Any]:
    """The answer to homework of `spark_NAME`."""
    student = SignedIn(f"spark_{name}", "", "", "")
    answer = await spark.submit(submission(student, assignment) | changes)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def enrolments(beside: Beside, user_id: str, quest_id: str) -> list[bool | None]:
    """Whether each is active, the one that counts last where they began at once."""
    found = await beside.rows(
        "select is_active from user_quests where user_id = :user_id and quest_id = :quest_id"
        " order by id desc",
        user_id=user_id,
        quest_id=quest_id,
    )
    return [is_active for (is_active,) in found]


async def titles(beside: Beside, user_id: str, quest_id: str) -> list[str]:
    """Of the student's tasks in the quest, whichever enrolment they belong to."""
    found = await beside.rows(
        "select title from user_quest_tasks where user_id = :user_id and quest_id = :quest_id"
        " order by title",
        user_id=user_id,
        quest_id=quest_id,
    )
    return [title for (title,) in found]
