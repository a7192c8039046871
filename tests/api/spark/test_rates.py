"""How often a webhook may fail: refused ones are slowed down, signed ones never are."""

import httpx

from app.settings import Settings
from tests.api.spark.conftest import spark_at
from tests.support.problems import assert_problem
from tests.support.spark import SUBMISSION, Assignment, SignedIn, submission

WRONG = "0" * 64


async def test_wrong_signatures_past_the_limit_wait_and_signed_messages_do_not(
    settings: Settings, student: SignedIn, assignment: Assignment
) -> None:
    """P226, P230, P232"""
    async with spark_at(settings, rate_limit_webhook_failures=3) as lms:
        for _ in range(3):
            answer = await lms.submit(submission(student, assignment), signature=WRONG)
            assert_problem(answer, 401, "signature_invalid")
        for _ in range(2):
            answer = await lms.submit(submission(student, assignment), signature=WRONG)
            problem = assert_problem(answer, 429, "rate_limited")
            assert answer.headers["retry-after"] == str(problem["retry_after"])
        assert (await lms.submit(submission(student, assignment))).status_code == 200


async def test_what_an_authenticated_sender_gets_wrong_is_not_counted(
    settings: Settings, student: SignedIn, assignment: Assignment
) -> None:
    """A 429 makes old senders drop homework (DESIGN R14)."""
    async with spark_at(settings, rate_limit_webhook_failures=1) as lms:
        for _ in range(3):
            answer = await lms.submit(submission(student, assignment, submitted_at=...))
            assert_problem(answer, 400, "field_missing")


async def test_signed_messages_have_a_generous_limit_of_their_own(
    settings: Settings, student: SignedIn, assignment: Assignment
) -> None:
    """P226. Where a minute of the counter ends in between it estimates, and one more may pass."""
    async with spark_at(settings, rate_limit_webhook=2) as lms:
        answers = [await lms.submit(submission(student, assignment)) for _ in range(4)]
    taken = [answer.status_code for answer in answers].index(429)
    assert {answer.status_code for answer in answers[:taken]} == {200}
    assert taken in {2, 3}
    assert_problem(answers[taken], 429, "rate_limited")


async def test_invented_addresses_do_not_escape_the_limit(settings: Settings) -> None:
    """P227"""
    async with spark_at(settings, rate_limit_webhook_failures=1) as lms:
        statuses = [
            (await _knock(lms.browser, {"X-Forwarded-For": f"192.0.2.{number}"})).status_code
            for number in range(3)
        ]
    assert statuses == [401, 429, 429]


async def _knock(browser: httpx.AsyncClient, headers: dict[str, str]) -> httpx.Response:
    return await browser.post(
        SUBMISSION, content=b"{}", headers={"Content-Type": "application/json", **headers}
    )
