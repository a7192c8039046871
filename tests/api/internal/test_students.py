"""From a Spark id to a student, and what this service knows of one: no name, no address."""

from typing import Any
from uuid import UUID, uuid4

import httpx
from sqlalchemy import delete

from app.database import Sessions
from app.models import LmsIntegration
from tests.support.courses import course, synced
from tests.support.evidence import body_of
from tests.support.problems import assert_problem
from tests.support.spark import SignedIn, Spark

STUDENTS = "/internal/v1/students"


async def _find(
    browser: httpx.AsyncClient, main_app: dict[str, str], spark_user_id: str
) -> list[dict[str, Any]]:
    query = {"spark_user_id": spark_user_id}
    items: list[dict[str, Any]] = body_of(
        await browser.get(STUDENTS, params=query, headers=main_app)
    )["items"]
    return items


async def test_a_student_is_found_by_the_spark_id_with_courses_and_sessions(
    browser: httpx.AsyncClient, main_app: dict[str, str], spark: Spark
) -> None:
    message = course()
    quest_id = await synced(spark, message)
    student = await spark.sign_in(courses=[message["spark_course_id"]])
    [found] = await _find(browser, main_app, student.spark_user_id)
    assert found.keys() == {"user_id", "link", "courses", "sessions"}
    assert found["user_id"] == student.user_id
    assert found["link"]["spark_user_id"] == student.spark_user_id
    assert found["link"]["status"] == "active"
    [enrolled] = found["courses"]
    assert (enrolled["quest_id"], enrolled["is_active"]) == (quest_id, True)
    assert enrolled["spark_course_id"] == message["spark_course_id"]
    [alive] = found["sessions"]
    one = await browser.get(f"{STUDENTS}/{student.user_id}", headers=main_app)
    assert body_of(one) == found

    revoke = f"/internal/v1/sessions/{alive['id']}/revoke"
    assert (await browser.post(revoke, headers=main_app)).status_code == 204
    [found] = await _find(browser, main_app, student.spark_user_id)
    assert found["sessions"] == []


async def test_who_is_not_linked_is_found_by_the_user_id_alone(
    browser: httpx.AsyncClient, main_app: dict[str, str], student: SignedIn, sessions: Sessions
) -> None:
    async with sessions() as session, session.begin():
        whose = LmsIntegration.user_id == UUID(student.user_id)
        await session.execute(delete(LmsIntegration).where(whose))
    assert await _find(browser, main_app, student.spark_user_id) == []
    one = await browser.get(f"{STUDENTS}/{student.user_id}", headers=main_app)
    assert (body_of(one)["link"], body_of(one)["courses"]) == (None, [])
    nobody = await browser.get(f"{STUDENTS}/{uuid4()}", headers=main_app)
    assert_problem(nobody, 404, "not_found")


async def test_whom_to_find_has_to_be_said(
    browser: httpx.AsyncClient, main_app: dict[str, str]
) -> None:
    for query in ({}, {"spark_user_id": ""}, {"spark_user_id": "x", "name": "x"}):
        answer = await browser.get(STUDENTS, params=query, headers=main_app)
        assert_problem(answer, 400, "field_invalid")
