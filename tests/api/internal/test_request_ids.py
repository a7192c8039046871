"""Somebody names a `request_id`: what it was, and why it failed, is found (DESIGN R37)."""

import json
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, update

from app.database import Sessions
from app.models import ActivityEvent, InboxDelivery
from tests.support import courses, roster
from tests.support.canaries import CANARIES
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, SignedIn, Spark, encoded, submission
from tests.support.stored import eventually

INTERNAL = "/internal/v1"
COURSE = "/spark/webhook/course"
HTML = {"Accept": "text/html"}
UNKNOWN = "essay_that_no_course_has"
FACTS = ("link", "assignment", "enrolment", "task", "submission")
Answer = dict[str, Any]


class Helpdesk:
    """Knows a request id and nothing else."""

    def __init__(self, browser: httpx.AsyncClient, key: dict[str, str]) -> None:
        self._browser = browser
        self._key = key

    async def ask(self, route: str, **query: str) -> Answer:
        answer = await self._browser.get(f"{INTERNAL}/{route}", params=query, headers=self._key)
        assert answer.status_code == 200, answer.text
        body: Answer = answer.json()
        return body

    async def deliveries(self, request_id: object, **query: str) -> list[Answer]:
        page = await self.ask("deliveries", request_id=str(request_id), **query)
        items: list[Answer] = page["items"]
        return items

    async def explain(self, request_id: object) -> Answer:
        return await self.ask("explain", request_id=str(request_id))

    async def activity(self, request_id: object, **query: str) -> Answer:
        data: Answer = (await self.ask("activity", request_id=str(request_id), **query))["data"]
        return data

    async def failure(self, request_id: object) -> Answer:
        """Failures are written behind the answer."""

        async def is_written() -> bool:
            return bool((await self.activity(request_id))["events"])

        await eventually(is_written)
        [event] = (await self.activity(request_id))["events"]
        failed: Answer = event
        return failed


@pytest.fixture
def helpdesk(browser: httpx.AsyncClient, main_app: dict[str, str]) -> Helpdesk:
    return Helpdesk(browser, main_app)


def logged(request_id: object) -> Answer:
    lines = [json.loads(line) for line in CANARIES.lines if str(request_id) in line]
    [line] = [line for line in lines if line["event"] == "request"]
    found: Answer = line
    return found


# ---------------------------------------------------------------------------- refusals


async def test_the_reason_of_a_401_is_found_by_its_request_id(
    helpdesk: Helpdesk, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    answer = await spark.submit(submission(student, assignment), signature="0" * 64)
    request_id = assert_problem(answer, 401, "signature_invalid")["request_id"]
    event = await helpdesk.failure(request_id)
    assert event["event_type"] == "spark_webhook_invalid_signature"
    assert event["event_data"]["request_id"] == request_id
    assert event["event_data"]["error_message"] == "Signature invalid"
    assert await helpdesk.deliveries(request_id) == []
    explained = await helpdesk.explain(request_id)
    assert explained["event"] == event
    [sentence] = explained["summary"]
    assert sentence.endswith(" failed: signature invalid.")
    assert "`hint`" in explained["next"]
    assert (explained["delivery"], explained["deliveries"]) == (None, [])
    assert [explained[name] for name in FACTS] == [None] * len(FACTS)
    line = logged(request_id)
    assert (line["status"], line["code"]) == (401, "signature_invalid")


async def test_the_reason_of_a_400_is_found_by_its_request_id(
    helpdesk: Helpdesk, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    early = submission(student, assignment, spark_assignment_id=UNKNOWN, spark_course_id=...)
    answer = await spark.submit(early)
    request_id = assert_problem(answer, 400, "assignment_not_found")["request_id"]
    [delivery] = await helpdesk.deliveries(request_id)
    assert (delivery["request_id"], delivery["status"]) == (request_id, 400)
    assert delivery["code"] == "assignment_not_found"
    assert (await helpdesk.failure(request_id))["event_data"]["error_type"] == "quest_not_found"
    explained = await helpdesk.explain(request_id)
    assert (explained["delivery"], explained["event"]) == (delivery, None)
    assert explained["spark_user_id"] == student.spark_user_id
    assert explained["spark_assignment_id"] == UNKNOWN
    assert explained["link"]["user_id"] == student.user_id
    assert explained["deliveries"] == [delivery]
    assert explained["summary"][0].endswith(
        " was refused: the assignment was not known. It is waiting for the course."
    )
    assert explained["next"] == ("Let Spark sync the course, then it is processed again by itself.")
    line = logged(request_id)
    assert (line["status"], line["code"]) == (400, "assignment_not_found")


async def course_refused(spark: Spark, _: SignedIn) -> httpx.Response:
    return await courses.sync(spark, {"spark_course_id": "c"})


async def roster_refused(spark: Spark, _: SignedIn) -> httpx.Response:
    return await roster.send(spark, {"entries": []})


async def unreadable(spark: Spark, _: SignedIn) -> httpx.Response:
    return await spark.submit(b"no JSON")


@pytest.mark.parametrize("refuse", [course_refused, roster_refused, unreadable])
async def test_a_delivery_that_names_no_homework_is_explained_alone(
    helpdesk: Helpdesk,
    spark: Spark,
    student: SignedIn,
    refuse: Callable[[Spark, SignedIn], Awaitable[httpx.Response]],
) -> None:
    answer = await refuse(spark, student)
    assert answer.status_code == 400, answer.text
    [delivery] = await helpdesk.deliveries(answer.json()["request_id"])
    assert delivery["code"] == answer.json()["code"]
    explained = await helpdesk.explain(answer.json()["request_id"])
    assert explained["delivery"] == delivery
    [sentence] = explained["summary"]
    assert " was refused: " in sentence
    assert explained["next"].startswith("Let Spark send a right message")
    assert [explained[name] for name in FACTS] == [None] * len(FACTS)


async def launch(spark: Spark, _: SignedIn) -> httpx.Response:
    return await spark.launch("a.b.c")


async def launch_of_a_browser(spark: Spark, _: SignedIn) -> httpx.Response:
    return await spark.browser.get("/spark/sso", params={"token": "a.b.c"}, headers=HTML)


async def unknown_code(spark: Spark, _: SignedIn) -> httpx.Response:
    return await spark.exchange(uuid4().hex)


async def used_code(spark: Spark, _: SignedIn) -> httpx.Response:
    code = await spark.launch_code()
    await spark.exchange(code)
    return await spark.exchange(code)


async def test_a_student_need_only_read_out_the_reference(
    helpdesk: Helpdesk, spark: Spark, student: SignedIn
) -> None:
    """INTEGRATOR 22: of the page, the end of the id."""
    page = await launch_of_a_browser(spark, student)
    [reference] = re.findall(r"<dt>Reference</dt><dd>(\w{8})</dd>", page.text)
    await helpdesk.failure(page.headers["x-request-id"])
    found = await helpdesk.explain(reference)
    assert found["event"]["event_data"]["request_id"] == page.headers["x-request-id"]
    assert "launch token invalid" in found["summary"][0]
    unknown = await helpdesk.explain(reference[::-1])
    assert unknown["event"] is None


@pytest.mark.parametrize(
    ("refuse", "code", "reason"),
    [
        (launch, "token_invalid", "launch token invalid"),
        (launch_of_a_browser, "token_invalid", "launch token invalid"),
        (unknown_code, "code_invalid", "authorization code invalid"),
        (used_code, "code_used", "authorization code already used"),
    ],
)
async def test_a_sign_in_that_failed_is_found_by_its_request_id(
    helpdesk: Helpdesk,
    spark: Spark,
    student: SignedIn,
    refuse: Callable[[Spark, SignedIn], Awaitable[httpx.Response]],
    code: str,
    reason: str,
) -> None:
    answer = await refuse(spark, student)
    assert answer.status_code == 401, answer.text
    request_id = answer.headers["x-request-id"]
    is_page = answer.headers["content-type"].startswith("text/html")
    assert (request_id[-8:] if is_page else request_id) in answer.text
    event = await helpdesk.failure(request_id)
    explained = await helpdesk.explain(request_id)
    assert explained["event"] == event | {"user_name": None}
    assert explained["summary"][0].endswith(f" failed: {reason}.")
    assert explained["next"].startswith("Let the student click in Spark again")
    assert (logged(request_id)["status"], logged(request_id)["code"]) == (401, code)


async def test_a_request_that_is_not_kept_has_its_code_in_the_log(
    helpdesk: Helpdesk, browser: httpx.AsyncClient
) -> None:
    for path, status, code in (
        ("/nowhere", 404, "route_not_found"),
        (f"{INTERNAL}/deliveries", 401, "unauthorized"),
    ):
        answer = await browser.get(path)
        assert answer.status_code == status
        request_id = answer.json()["request_id"]
        assert logged(request_id)["code"] == code
        explained = await helpdesk.explain(request_id)
        assert explained["summary"] == ["Nothing is kept of a request with this id."]
        assert "log" in explained["next"]
        assert (explained["delivery"], explained["event"]) == (None, None)
    assert logged((await browser.get("/healthz")).headers["x-request-id"])["code"] is None


# ---------------------------------------------------------------------------- successes, replays


async def test_a_success_is_found_by_its_request_id(
    helpdesk: Helpdesk, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    """Each delivery of a message has its own."""
    message = submission(student, assignment)
    for step in ("Nothing is missing", "Look at what was handed in before"):
        request_id = (await spark.submit(message)).json()["request_id"]
        [delivery] = await helpdesk.deliveries(request_id)
        assert (delivery["request_id"], delivery["code"]) == (request_id, None)
        explained = await helpdesk.explain(request_id)
        assert explained["delivery"] == delivery
        assert explained["summary"][0].endswith(" was taken.")
        assert explained["next"].startswith(step)
        assert (await helpdesk.activity(request_id))["events"] == []


async def test_a_replay_leaves_a_delivery_its_request_id(
    helpdesk: Helpdesk,
    spark: Spark,
    main_app: dict[str, str],
    student: SignedIn,
    assignment: Assignment,
) -> None:
    early = submission(student, assignment, spark_assignment_id=UNKNOWN, spark_course_id=...)
    told = (await spark.submit(early)).json()["request_id"]
    [delivery] = await helpdesk.deliveries(told)
    replay = f"{INTERNAL}/deliveries/{delivery['id']}/replay"
    replayed = (await spark.browser.post(replay, headers=main_app)).json()["request_id"]
    [after] = await helpdesk.deliveries(told)
    assert after["replayed_at"]
    assert await helpdesk.deliveries(replayed) == []
    assert logged(replayed)["code"] == "assignment_not_found"
    explained = await helpdesk.explain(told)
    assert " was processed again at " in explained["summary"][0]


async def test_what_is_refused_of_an_erased_student_is_found_without_the_student(
    helpdesk: Helpdesk,
    spark: Spark,
    main_app: dict[str, str],
    student: SignedIn,
    assignment: Assignment,
) -> None:
    path = f"{INTERNAL}/students/{student.user_id}"
    assert (await spark.browser.delete(path, headers=main_app)).status_code == 200
    answer = await spark.submit(submission(student, assignment))
    request_id = assert_problem(answer, 404, "user_not_found")["request_id"]
    explained = await helpdesk.explain(request_id)
    assert explained["delivery"]["code"] == "user_not_found"
    assert student.spark_user_id not in json.dumps(explained)


# ---------------------------------------------------------------------------- filters


async def test_a_standard_webhook_is_found_by_its_id(
    helpdesk: Helpdesk, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = encoded(submission(student, assignment))
    headers = spark.sign_v1(raw)
    ids = [(await spark.post(raw, headers)).json()["request_id"] for _ in range(2)]
    asked = {"webhook_id": headers["webhook-id"]}
    items = (await helpdesk.ask("deliveries", **asked))["items"]
    assert [item["request_id"] for item in items] == ids[::-1]
    assert {item["webhook_id"] for item in items} == {headers["webhook-id"]}
    [both] = await helpdesk.deliveries(ids[0], **asked)
    assert both == items[1]
    assert await helpdesk.deliveries(ids[0], webhook_id="msg_of_somebody_else") == []


async def test_a_failure_is_found_however_old_and_counted_as_it_is_filtered(
    helpdesk: Helpdesk, spark: Spark, sessions: Sessions
) -> None:
    """Also under an id that a proxy gave to several."""
    trace = f"trace-{uuid4().hex}"
    for path, content in (("/spark/token", "{}"), (COURSE, "{}")):
        headers = {"X-Request-Id": trace, "Content-Type": "application/json"}
        await spark.browser.post(path, content=content, headers=headers)

    async def are_written() -> bool:
        return len((await helpdesk.activity(trace))["events"]) == 2

    await eventually(are_written)
    mine = update(ActivityEvent).where(ActivityEvent.event_data["request_id"].astext == trace)
    async with sessions() as session, session.begin():
        await session.execute(mine.values(created_at=func.now() - timedelta(days=80)))
    found = await helpdesk.activity(trace)
    assert (found["total_count"], found["summary"]["failed_count"]) == (2, 2)
    assert found["filters_applied"]["request_id"] == trace
    one = await helpdesk.activity(trace, event_type="spark_course_sync_failed", limit="1")
    assert [event["event_type"] for event in one["events"]] == ["spark_course_sync_failed"]
    assert one["total_count"] == one["summary"]["failed_count"] == 1
    assert (await helpdesk.activity(trace, status="success"))["total_count"] == 0
    assert (await helpdesk.activity(trace, limit="1"))["total_count"] == 2
    assert (await helpdesk.activity(trace, start_date="2026-01-01", end_date="2026-01-02"))[
        "events"
    ] == []


async def test_a_delivery_from_before_request_ids_were_kept_has_none(
    helpdesk: Helpdesk, spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> None:
    await spark.submit(submission(student, assignment))
    mine = InboxDelivery.spark_user_id == student.spark_user_id
    async with sessions() as session, session.begin():
        await session.execute(update(InboxDelivery).where(mine).values(request_id=None))
    [item] = (await helpdesk.ask("deliveries", spark_user_id=student.spark_user_id))["items"]
    assert item["request_id"] is None


@pytest.mark.parametrize(
    ("route", "query", "field"),
    [
        ("deliveries", {"request_id": "short"}, "request_id"),
        ("deliveries", {"request_id": "a" * 65}, "request_id"),
        ("deliveries", {"webhook_id": ""}, "webhook_id"),
        ("deliveries", {"webhook_id": "a" * 256}, "webhook_id"),
        ("activity", {"request_id": "' OR 1=1 --"}, "request_id"),
        ("explain", {"request_id": "a b c d e f"}, "request_id"),
        ("explain", {"request_id": "12345678", "spark_user_id": "student_42"}, "request_id"),
        ("explain", {"spark_user_id": "student_42"}, "spark_assignment_id"),
        ("explain", {"spark_assignment_id": "essay_1"}, "spark_user_id"),
        ("explain", {}, "spark_user_id"),
    ],
)
async def test_what_is_no_request_is_invalid(
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    route: str,
    query: dict[str, str],
    field: str,
) -> None:
    answer = await browser.get(f"{INTERNAL}/{route}", params=query, headers=main_app)
    problem = assert_problem(answer, 400, "field_invalid")
    assert problem["error"] == f"Invalid field: {field}"
