"""Courses as Spark announces them, and what becomes of them here."""

import json
import secrets
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import Row, select

from app.database import Sessions
from app.models import CourseQuestTask, SparkAssignment, SparkCourse, UserQuest, UserQuestTask
from tests.support.spark import Assignment, SignedIn, Spark, submission

COURSE = "/spark/webhook/course"

Course = dict[str, Any]


def items(*names: str, **changes: Any) -> list[dict[str, Any]]:
    """Assignments by these ids; the changes are everyone's."""
    return [
        {"spark_assignment_id": name, "title": f"Do {name}", "description": f"How to {name}"}
        | changes
        for name in names
    ]


def course(*assignments: str, **changes: Any) -> Course:
    """A course and an organisation of its own, with assignments by these ids. A change to `...`
    leaves a field out.
    """
    payload = {
        "spark_org_id": f"org_{secrets.token_hex(6)}",
        "spark_course_id": f"course_{secrets.token_hex(6)}",
        "course_title": "Weather",
        "course_description": "Wind and water.",
        "assignments": items(*assignments),
    } | changes
    return {name: value for name, value in payload.items() if value is not ...}


async def sync(spark: Spark, payload: Course | bytes, **query: str) -> httpx.Response:
    """Signed as the predecessor's senders do."""
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return await send(spark, raw, {"X-Spark-Signature": spark.sign(raw)}, **query)


async def send(spark: Spark, raw: bytes, headers: dict[str, str], **query: str) -> httpx.Response:
    return await spark.browser.post(
        COURSE,
        content=raw,
        params=query,
        headers={"Content-Type": "application/json"} | headers,
    )


async def synced(spark: Spark, payload: Course) -> str:
    """The quest of a course that was accepted."""
    answer = await sync(spark, payload)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["quest_id"])


async def templates(sessions: Sessions, quest_id: str) -> list[Row[Any]]:
    """The quest's template tasks in order, each with its assignment."""
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(
                SparkAssignment.spark_assignment_id,
                SparkAssignment.due_date,
                SparkAssignment.retired_at,
                CourseQuestTask.__table__,
            )
            .join(SparkAssignment, SparkAssignment.task_id == CourseQuestTask.id)
            .where(CourseQuestTask.quest_id == UUID(quest_id))
            .order_by(CourseQuestTask.order_index, CourseQuestTask.created_at)
        )
        return list(found.all())


async def course_rows(sessions: Sessions, course_id: str) -> list[Row[Any]]:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(SparkCourse).where(SparkCourse.spark_course_id == course_id)
        )
        return list(found.all())


async def tasks_of(sessions: Sessions, student: SignedIn, quest_id: str) -> list[Row[Any]]:
    """The student's own copies, in order."""
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(UserQuestTask)
            .where(
                UserQuestTask.user_id == UUID(student.user_id),
                UserQuestTask.quest_id == UUID(quest_id),
            )
            .order_by(UserQuestTask.order_index, UserQuestTask.created_at, UserQuestTask.title)
        )
        return list(found.all())


async def titles_of(sessions: Sessions, student: SignedIn, quest_id: str) -> list[str]:
    return [task.title for task in await tasks_of(sessions, student, quest_id)]


async def enrolments_of(sessions: Sessions, student: SignedIn) -> dict[str, bool]:
    """By quest, whether each is active."""
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(UserQuest.quest_id, UserQuest.is_active).where(
                UserQuest.user_id == UUID(student.user_id)
            )
        )
        return {str(row.quest_id): row.is_active for row in found}


def hand_in(student: SignedIn, payload: Course, name: str, **changes: Any) -> dict[str, Any]:
    where = Assignment(UUID(int=0), name, payload["spark_course_id"])
    return submission(student, where, **changes)
