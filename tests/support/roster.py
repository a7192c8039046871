"""Courses and rosters as Spark sends them."""

import json
import secrets
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from tests.support.spark import Assignment, SignedIn, Spark

ROSTER = "/spark/webhook/roster"
COUNTS = dict.fromkeys(("enrolled", "dropped", "users_created", "unchanged", "errors"), 0)


@dataclass(frozen=True)
class Course:
    """A synced course with one assignment."""

    quest_id: UUID
    spark_course_id: str
    spark_org_id: str
    assignment: Assignment

    def signed_in(self, student: str) -> SignedIn:
        """A student who is only known by name."""
        return SignedIn(student, "", "", "")


def new_student() -> str:
    return f"student_{secrets.token_hex(6)}"


async def sync_course(spark: Spark, *, course_id: str = "", org_id: str = "24") -> Course:
    course_id = course_id or f"course_{secrets.token_hex(6)}"
    raw = json.dumps(
        {
            "spark_org_id": org_id,
            "spark_course_id": course_id,
            "course_title": "Weather",
            "assignments": [{"spark_assignment_id": "essay", "title": "Essay"}],
        }
    ).encode()
    answer = await _post(spark, "/spark/webhook/course", raw, signature=spark.sign(raw))
    quest_id = UUID(answer.json()["quest_id"])
    return Course(quest_id, course_id, org_id, Assignment(quest_id, "essay", course_id))


def entry(student: str, action: str = "enroll", **more: Any) -> dict[str, Any]:
    return {"spark_user_id": student, "action": action, **more}


def roster(course: Course, *entries: dict[str, Any]) -> dict[str, Any]:
    """A change to `...` leaves a field out."""
    return {
        "spark_org_id": course.spark_org_id,
        "spark_course_id": course.spark_course_id,
        "entries": [_without_gaps(each) for each in entries],
    }


async def send(
    spark: Spark, payload: dict[str, Any] | bytes, *, signature: str | None = None, **query: str
) -> httpx.Response:
    raw = payload
    if isinstance(raw, dict):
        raw = json.dumps(_without_gaps(raw)).encode()
    return await _post(spark, ROSTER, raw, signature=signature or spark.sign(raw), **query)


def counts(answer: httpx.Response) -> dict[str, int]:
    """Of an answer 200."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["success"]
    return {name: body[name] for name in COUNTS if name != "errors"} | {
        "errors": len(body["errors"])
    }


def _without_gaps(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not ...}


async def _post(
    spark: Spark, path: str, raw: bytes, *, signature: str, **query: str
) -> httpx.Response:
    return await spark.browser.post(
        path,
        content=raw,
        params=query,
        headers={"Content-Type": "application/json", "X-Spark-Signature": signature},
    )
