"""Why is this homework missing? Each step with a tick or a cross, and the button that mends it."""

import re
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

from app.database import Sessions
from tests.conftest import create_assignment
from tests.support.bodies import Part
from tests.support.console import at_console
from tests.support.running import Running
from tests.support.samples import mp4
from tests.support.spark import Assignment, SignedIn, Spark, submission
from tests.support.stored import audited

PATH = "/console/explain"


@pytest.fixture
async def operator(server: Running, sessions: Sessions) -> AsyncIterator[httpx.AsyncClient]:
    async with at_console(server.url, sessions) as signed_in:
        yield signed_in


def of(student: SignedIn, assignment: Assignment) -> dict[str, str]:
    return {
        "student": student.spark_user_id,
        "assignment": assignment.spark_assignment_id,
        "course": "",
        "request": "",
    }


async def steps(browser: httpx.AsyncClient, query: dict[str, str]) -> dict[str, bool]:
    """Each by its title, and whether it has a tick."""
    answer = await browser.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    found = re.findall(r'<li class="(done|wrong)">.*?<h3>(\w[\w ]*?)<', answer.text, re.DOTALL)
    return {title: mark == "done" for mark, title in found}


async def test_a_recorded_homework_has_ticks_and_is_audited(
    operator: httpx.AsyncClient,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
) -> None:
    await spark.submit(submission(student, assignment))
    found = await steps(operator, of(student, assignment))
    expected = ("Student", "Assignment", "Enrolment", "Deliveries", "Evidence")
    assert found == dict.fromkeys(expected, True)
    text = (await operator.get(PATH, params=of(student, assignment))).text
    assert "“Weather”, task “Research”" in text
    assert "the only one of this id in the student&#39;s organisations" in text
    assert f"{student.spark_user_id[0]}…@example.com" in text
    details = [detail for *_, detail in await audited(sessions, student.user_id)]
    assert {"what": "explain"} in details


async def test_it_says_that_a_picture_may_tell_its_place(
    operator: httpx.AsyncClient, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    part = Part("f", mp4(), filename="rain.mp4")
    await spark.submit_form(submission(student, assignment), part)
    text = (await operator.get(PATH, params=of(student, assignment))).text
    assert "0 private, 1 picture or video stored with its place, if it has one;" in text


async def test_what_keeps_it_out_has_a_cross_and_its_button_mends_it(
    operator: httpx.AsyncClient, spark: Spark, student: SignedIn, sessions: Sessions
) -> None:
    unknown = Assignment(uuid4(), f"lost_{uuid4().hex}", f"course_{uuid4().hex}")
    await spark.submit(submission(student, unknown))
    asked = of(student, unknown)
    found = await steps(operator, asked)
    assert found == {"Student": True, "Assignment": False, "Deliveries": False}
    await create_assignment(sessions, spark_assignment_id=unknown.spark_assignment_id)
    text = (await operator.get(PATH, params=asked)).text
    [replay] = re.findall(r'action="(/console/deliveries/[^"]+/replay)"', text)
    assert (await operator.post(replay)).status_code == 303
    assert all((await steps(operator, asked)).values())


async def test_a_request_is_explained_by_its_id(
    operator: httpx.AsyncClient, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    answer = (await spark.submit(submission(student, assignment))).json()
    found = await steps(operator, {"request": answer["request_id"]})
    assert found["Request"]
    assert found["Evidence"]
    assert await steps(operator, {"request": str(uuid4())}) == {"Request": False}


@pytest.mark.parametrize(
    ("query", "missing"),
    [({"student": "x"}, "student and an assignment"), ({"assignment": "x"}, "both a student")],
    ids=str,
)
async def test_half_a_question_is_answered_with_what_is_missing(
    operator: httpx.AsyncClient, query: dict[str, str], missing: str
) -> None:
    answer = await operator.get(PATH, params=query)
    assert answer.status_code == 400
    assert missing in answer.text


async def test_without_a_question_it_says_what_to_ask(operator: httpx.AsyncClient) -> None:
    answer = await operator.get(PATH)
    assert answer.status_code == 200
    assert "Whose homework, for what?" in answer.text
