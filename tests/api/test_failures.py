"""A refused request leaves time, route, reason and a hashed address (SECURITY promise 7)."""

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from app.models import ActivityEvent
from app.settings import Settings
from app.signing import sign
from tests.support.databases import ready_database
from tests.support.elsewhere import Elsewhere, run_elsewhere
from tests.support.running import Running
from tests.support.spark import SUBMISSION, Assignment, SignedIn, Spark, submission
from tests.support.stored import audited, eventually

ADDRESS, OTHER = "203.0.113.7", "2001:db8::7"
WITHOUT_SECRETS = {"jwt_secret_key": None, "spark_webhook_secret": None}


@pytest.fixture
async def own(settings: Settings) -> AsyncIterator[Settings]:
    """A database where nobody else fails, behind one proxy."""
    async with ready_database(settings) as empty:
        yield empty.model_copy(update={"trusted_proxy_hops": 1})


async def left_by(settings: Settings, *addresses: str, **changes: object) -> list[dict[str, Any]]:
    """All that was left by a process of its own, after an unsigned delivery from each address."""
    async with run_elsewhere(settings, **changes) as elsewhere:
        sessions = elsewhere.running.app.state.resources.sessions

        async def left() -> list[dict[str, Any]]:
            async with sessions() as session, session.begin():
                found = await session.execute(
                    select(ActivityEvent).order_by(ActivityEvent.created_at)
                )
                return [dict(row) for row in found.mappings()]

        before = len(await left())
        for number, address in enumerate(addresses, start=before + 1):
            await knock(elsewhere.spark.browser, address)

            async def written(number: int = number) -> bool:
                return len(await left()) == number

            await eventually(written)
        return (await left())[before:]


async def knock(browser: httpx.AsyncClient, address: str) -> None:
    headers = {"Content-Type": "application/json", "X-Forwarded-For": f"192.0.2.1, {address}"}
    answer = await browser.post(SUBMISSION, content=b"{}", headers=headers)
    assert answer.status_code in (401, 503)


async def hashes_left_by(settings: Settings, *addresses: str, **changes: object) -> list[str]:
    left = await left_by(settings, *addresses, **changes)
    return [event["event_data"]["address_hash"] for event in left]


async def test_a_refusal_leaves_a_hashed_address_and_no_other_trace_of_it(own: Settings) -> None:
    [left] = await left_by(own, ADDRESS)
    assert left["event_data"].keys() == {
        *("error_type", "error_message", "address_hash", "request_id")
    }
    assert re.fullmatch("[0-9a-f]{16}", left["event_data"]["address_hash"])
    assert left["page_url"] == SUBMISSION
    assert left["created_at"]
    assert ADDRESS not in repr(left)


async def test_an_address_has_one_hash_in_every_process(own: Settings) -> None:
    first, again, other = await hashes_left_by(own, ADDRESS, ADDRESS, OTHER)
    assert first == again != other
    assert await hashes_left_by(own, OTHER, ADDRESS) == [other, first]


async def test_without_its_own_key_no_list_of_addresses_finds_it(own: Settings) -> None:
    """Not even the secret itself is that key: it has other work."""
    assert own.jwt_secret_key
    [left] = await hashes_left_by(own, ADDRESS)
    assert left != hashlib.sha256(ADDRESS.encode()).hexdigest()[:16]
    assert left != sign(own.jwt_secret_key, ADDRESS.encode())[:16]
    by_webhook = await hashes_left_by(own, ADDRESS, jwt_secret_key=None)
    assert by_webhook != [left]


async def test_without_secrets_a_process_makes_its_own_key(own: Settings) -> None:
    first = await hashes_left_by(own, ADDRESS, ADDRESS, **WITHOUT_SECRETS)
    assert first[0] == first[1]
    assert first[0] not in await hashes_left_by(own, ADDRESS, **WITHOUT_SECRETS)


# ---------------------------------------------------------------------------- how many traces


LIMITS = ("rate_limit_sso", "rate_limit_token", "rate_limit_webhook_failures")


@pytest.fixture
async def limited(settings: Settings) -> AsyncIterator[Elsewhere]:
    async with run_elsewhere(settings, **dict.fromkeys(LIMITS, 5)) as elsewhere:
        yield elsewhere


async def events_of(running: Running, *answers: httpx.Response) -> list[dict[str, Any]]:
    """What these requests left, once it is written."""
    resources = running.app.state.resources
    await resources.failure_events.settle()
    request_ids = [answer.headers["x-request-id"] for answer in answers]
    async with resources.sessions() as session, session.begin():
        found = await session.execute(
            select(ActivityEvent.event_type, ActivityEvent.event_data).where(
                ActivityEvent.event_data["request_id"].astext.in_(request_ids)
            )
        )
        return [{"event_type": row.event_type, **row.event_data} for row in found]


ANONYMOUS: dict[str, Callable[[Spark], Awaitable[httpx.Response]]] = {
    "a launch token": lambda spark: spark.launch("x"),
    "a code": lambda spark: spark.exchange("x"),
    "a signature": lambda spark: spark.submit({}, signature="0" * 64),
}


@pytest.mark.parametrize("what", ANONYMOUS, ids="M5 {}".format)
async def test_who_is_answered_429_leaves_no_row(limited: Elsewhere, what: str) -> None:
    answers = [await ANONYMOUS[what](limited.spark) for _ in range(60)]
    told = [answer for answer in answers if answer.status_code == 401]
    assert 5 <= len(told) <= 10  # a minute may end in between
    assert len(await events_of(limited.running, *told)) == len(told)
    assert len(await events_of(limited.running, *answers)) == len(told)


@pytest.mark.parametrize("finding", ["M5"])
async def test_a_code_that_is_used_again_and_again_leaves_no_more_rows_either(
    limited: Elsewhere, finding: str
) -> None:
    """But what ends a session is told, however many failures there were before."""
    code, other = await limited.spark.launch_code(), await limited.spark.launch_code()
    signed_in = [await limited.spark.exchange(fresh) for fresh in (code, other)]
    answers = [await limited.spark.exchange(code) for _ in range(30)]
    told = [answer for answer in answers if answer.status_code == 401]
    assert 5 <= len(told) <= 10
    answers.append(await limited.spark.exchange(other))
    left = await events_of(limited.running, *answers)
    assert {event["event_type"] for event in left} == {"spark_token_code_reuse"}
    assert len(left) == len(told) + 1
    sessions = limited.running.app.state.resources.sessions
    for answer, times in zip(signed_in, (len(told), 1), strict=True):
        entries = await audited(sessions, answer.json()["user_id"])
        assert [entry[:2] for entry in entries] == [("/spark/token", "authn_token_reuse")] * times
        assert entries[-1][2].keys() == {"session_id", "request_id"}


@pytest.mark.parametrize("what", ANONYMOUS, ids="OPERATOR 15 {}".format)
async def test_what_is_answered_429_is_counted_in_one_row(own: Settings, what: str) -> None:
    async with run_elsewhere(own, **dict.fromkeys(LIMITS, 2)) as elsewhere:
        answers = [await ANONYMOUS[what](elsewhere.spark) for _ in range(20)]
        resources = elsewhere.running.app.state.resources
        resources.failure_events.put_counts()
        await resources.failure_events.settle()
        async with resources.sessions() as session, session.begin():
            found = await session.execute(
                select(ActivityEvent.event_data, ActivityEvent.page_url).where(
                    ActivityEvent.event_type == "spark_rate_limited"
                )
            )
            [(data, path)] = found.all()
    times = sum(answer.status_code == 429 for answer in answers)
    assert times >= 16  # a minute may end in between
    assert path == answers[0].request.url.path
    assert data == {
        "error_type": "rate_limited",
        "error_message": "Too many requests",
        "times": times,
    }


@pytest.mark.parametrize(
    ("ask", "event_type"),
    [
        (lambda spark: spark.launch("x"), "spark_sso_failed"),
        (lambda spark: spark.submit({}), "spark_webhook_failed"),
    ],
    ids=["OPERATOR 15 sign-in", "OPERATOR 15 webhook"],
)
async def test_what_is_503_is_no_fault_of_the_request(
    settings: Settings, ask: Callable[[Spark], Awaitable[httpx.Response]], event_type: str
) -> None:
    unset = {"spark_webhook_secret": None, "spark_sso_secret": None}
    async with run_elsewhere(settings, **unset) as elsewhere:
        answer = await ask(elsewhere.spark)
        assert answer.status_code == 503
        [left] = await events_of(elsewhere.running, answer)
    assert (left["event_type"], left["error_type"]) == (event_type, "unavailable")


# ---------------------------------------------------------------------------- what it was about


@pytest.mark.parametrize(
    ("event_type", "changes", "known"),
    [
        ("spark_webhook_replay_attack", {"submitted_at": "2026-01-02T03:04:05+01:00"}, True),
        ("spark_webhook_replay_attack", {"submitted_at": "2099-01-02T03:04:05+01:00"}, True),
        ("spark_webhook_failed", {"spark_user_id": "nobody"}, True),
        ("spark_webhook_failed", {"submission_text": ...}, True),
        ("spark_webhook_failed", {"spark_assignment_id": "a\0b"}, False),
        ("spark_webhook_failed", {"spark_assignment_id": "a" * 256}, False),
        ("spark_webhook_failed", {"spark_assignment_id": ["a"]}, False),
    ],
)
async def test_a_signed_message_that_is_refused_says_what_it_was_about(
    spark: Spark,
    server: Running,
    student: SignedIn,
    assignment: Assignment,
    event_type: str,
    changes: dict[str, Any],
    *,
    known: bool,
) -> None:
    """CONTRACT 9.1"""
    answer = await spark.submit(submission(student, assignment, **changes))
    assert answer.status_code in (400, 404)
    [left] = await events_of(server, answer)
    assert left["event_type"] == event_type
    assert left.get("spark_assignment_id") == (assignment.spark_assignment_id if known else None)
    said, told = changes.get("submitted_at"), left.get("submitted_at")
    assert (told and datetime.fromisoformat(told)) == (said and datetime.fromisoformat(said))


async def test_an_unsigned_message_says_nothing(
    limited: Elsewhere, student: SignedIn, assignment: Assignment
) -> None:
    """What anybody may have written is not repeated."""
    answer = await limited.spark.submit(submission(student, assignment), signature="0" * 64)
    [left] = await events_of(limited.running, answer)
    assert left.keys() == {
        *("event_type", "error_type", "error_message", "address_hash", "request_id")
    }
