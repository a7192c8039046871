"""Courses from Spark (CONTRACT 8): synced, entered, handed in for (FAULTS P092, P167-P169)."""

import json
import secrets
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import select

from app.database import Sessions
from app.models import (
    CourseQuestTask,
    UserQuest,
    UserQuestTask,
)
from tests.support.spark import Assignment, SignedIn, Spark, submission

COURSE = "/spark/webhook/course"


def course(*assignments: str, **changes: Any) -> dict[str, Any]:
    """A course of its own, with these assignments by id; a change to `...` leaves a field out."""
    payload = {
        "spark_org_id": "24",
        "spark_course_id": f"course_{secrets.token_hex(6)}",
        "course_title": "Weather",
        "course_description": "Wind and water.",
        "assignments": [
            {"spark_assignment_id": name, "title": f"Do {name}", "description": f"How to {name}"}
            for name in assignments
        ],
    } | changes
    return {name: value for name, value in payload.items() if value is not ...}


async def sync(spark: Spark, payload: dict[str, Any] | bytes, **query: str) -> httpx.Response:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return await spark.browser.post(
        COURSE,
        content=raw,
        params=query,
        headers={"Content-Type": "application/json", "X-Spark-Signature": spark.sign(raw)},
    )


async def templates(sessions: Sessions, quest_id: str) -> list[tuple[str, bool]]:
    """Titles in order, and whether each is required."""
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(CourseQuestTask.title, CourseQuestTask.is_required)
            .where(CourseQuestTask.quest_id == UUID(quest_id))
            .order_by(CourseQuestTask.is_required.desc(), CourseQuestTask.order_index)
        )
        return [(row.title, row.is_required) for row in found]


async def tasks_of(sessions: Sessions, student: SignedIn, quest_id: str) -> list[str]:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(UserQuestTask.title)
            .where(
                UserQuestTask.user_id == UUID(student.user_id),
                UserQuestTask.quest_id == UUID(quest_id),
            )
            .order_by(UserQuestTask.order_index)
        )
        return list(found.scalars())


def hand_in(
    student: SignedIn, payload: dict[str, Any], name: str, **changes: Any
) -> dict[str, Any]:
    where = Assignment(UUID(int=0), name, payload["spark_course_id"])
    return submission(student, where, **changes)


async def test_a_course_is_synced_entered_and_handed_in_for(
    spark: Spark, sessions: Sessions
) -> None:
    payload = course("one", "two", "three")
    synced = (await sync(spark, payload)).json()
    assert synced["success"] is True
    assert synced["task_count"] == 3
    assert synced["message"] == "Quest 'Weather' synced successfully"
    student = await spark.sign_in(courses=[payload["spark_course_id"]])
    assert await tasks_of(sessions, student, synced["quest_id"]) == ["Do one", "Do two", "Do three"]
    answers = [
        (await spark.submit(hand_in(student, payload, name))).json() for name in ("two", "one")
    ]
    assert [answer["quest_id"] for answer in answers] == [synced["quest_id"]] * 2
    assert len({answer["task_id"] for answer in answers}) == 2
    assert [answer["xp_awarded"] for answer in answers] == [100, 100]
    last = (await spark.submit(hand_in(student, payload, "three"))).json()
    async with sessions() as session, session.begin():
        enrolment = await session.execute(
            select(UserQuest.completed_at).where(UserQuest.user_id == UUID(student.user_id))
        )
        assert enrolment.scalar_one() is not None
    assert last["xp_awarded"] == 100
