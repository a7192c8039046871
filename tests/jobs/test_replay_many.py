"""What an outage refused is processed again in bulk: counted first, then by jobs (DESIGN R9)."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import Row, select

from app.database import Sessions
from app.models import AuditEntry, Job
from app.settings import Settings
from tests.conftest import create_assignment
from tests.support import commands
from tests.support.bodies import Part
from tests.support.commands import run_on
from tests.support.problems import assert_problem
from tests.support.samples import png
from tests.support.spark import Assignment, SignedIn, Spark, submission
from tests.support.stored import audited
from tests.support.work import Work, forget_jobs

REPLAY = "/internal/v1/deliveries/replay"
NOT_FOUND = "assignment_not_found"

Order = Callable[..., Awaitable[httpx.Response]]
Counts = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def order(browser: httpx.AsyncClient, main_app: dict[str, str]) -> Order:
    async def send(**asked: Any) -> httpx.Response:
        return await browser.post(REPLAY, json=asked, headers=main_app)

    return send


@pytest.fixture
def counts(order: Order) -> Counts:
    async def ask(**asked: Any) -> dict[str, Any]:
        answer = await order(**asked)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    return ask


@pytest.fixture
async def lost(spark: Spark, sessions: Sessions) -> Assignment:
    """For which three students handed in too early, one of them a form; no other test's work."""
    await forget_jobs(sessions)
    unknown = Assignment(uuid4(), f"lost_{uuid4().hex}", f"course_{uuid4().hex}")
    for _ in range(2):
        await spark.submit(submission(await spark.sign_in(), unknown))
    picture = Part("file1", png(), filename="gauge.png")
    await spark.submit_form(submission(await spark.sign_in(), unknown), picture)
    return unknown


async def jobs(sessions: Sessions) -> Sequence[Row[Any]]:
    async with sessions() as session, session.begin():
        found = await session.execute(select(Job).where(Job.kind == "replay").order_by(Job.run_at))
        return found.all()


def said(counts: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(each[name] for name in names) for each in counts]


async def test_it_is_counted_then_ordered_once_and_followed(
    lost: Assignment, sessions: Sessions, counts: Counts, work: Work
) -> None:
    of = {"spark_assignment_id": lost.spark_assignment_id}
    names = ("code", "deliveries", "replayable", "queued")
    before = await counts(**of)
    assert said(before["items"], *names) == [(NOT_FOUND, 3, 2, 0)]
    assert (before["outcomes"], await jobs(sessions)) == ([], [])
    for _ in range(2):
        ordered = await counts(**of, apply=True)
        assert said(ordered["items"], *names) == [(NOT_FOUND, 3, 2, 2)]
    queued = await jobs(sessions)
    assert [job.key for job in queued] == sorted(job.key for job in queued)  # the oldest first
    await create_assignment(sessions, spark_assignment_id=lost.spark_assignment_id)
    assert await work() == 2
    after = await counts(**of)
    assert said(after["items"], *names) == [(NOT_FOUND, 1, 0, 0)]
    assert said(after["outcomes"], "code", "deliveries") == [(None, 2)]


async def test_what_is_refused_again_is_told(lost: Assignment, counts: Counts, work: Work) -> None:
    of = {"spark_assignment_id": lost.spark_assignment_id}
    await counts(**of, codes=[NOT_FOUND], apply=True)
    await work()
    after = await counts(**of)
    assert said(after["items"], "code", "queued") == [(NOT_FOUND, 0)]
    assert said(after["outcomes"], "code", "deliveries") == [(NOT_FOUND, 2)]


async def test_filters_narrow_together(
    spark: Spark, lost: Assignment, counts: Counts, student: SignedIn
) -> None:
    of = {"spark_assignment_id": lost.spark_assignment_id}
    await spark.submit(submission(student, lost, submission_text=...))
    codes = [(NOT_FOUND, 3), ("content_missing", 1)]
    assert said((await counts(**of))["items"], "code", "deliveries") == codes
    now = datetime.now(tz=UTC)
    for narrow, number in (
        ({"codes": ["content_missing"]}, 1),
        ({"codes": [NOT_FOUND, "content_missing"]}, 4),
        ({"codes": ["internal_error"]}, 0),
        ({"spark_user_id": student.spark_user_id}, 1),
        ({"received_from": (now - timedelta(hours=1)).isoformat()}, 4),
        ({"received_to": (now - timedelta(hours=1)).isoformat()}, 0),
    ):
        items = (await counts(**of, **narrow))["items"]
        assert sum(item["deliveries"] for item in items) == number, narrow


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"apply": True},
        {"codes": None},
        {"codes": []},
        {"codes": ["' OR 1=1"]},
        {"code": NOT_FOUND},
        {"received_from": "yesterday"},
        {"received_from": "2026-02-01", "received_to": "2026-01-01"},
    ],
    ids=str,
)
async def test_an_order_names_what_it_means(order: Order, asked: dict[str, Any]) -> None:
    assert_problem(await order(**asked), 400, "field_invalid")


async def test_the_order_and_each_replay_are_audited(
    spark: Spark,
    student: SignedIn,
    lost: Assignment,
    sessions: Sessions,
    counts: Counts,
    work: Work,
) -> None:
    """Not whom it was about: an erasure would not find that."""
    await spark.submit(submission(student, lost))
    await counts(spark_user_id=student.spark_user_id, codes=[NOT_FOUND], apply=True)
    await work()
    [*_, (caller, action, detail)] = await audited(sessions, student.user_id)
    assert (caller, action) == ("INTERNAL_API_KEYS[0]", "sensitive_update")
    assert detail.keys() == {"delivery_id"}
    async with sessions() as session, session.begin():
        orders = select(AuditEntry).where(AuditEntry.detail["what"].astext == "replay")
        found = await session.execute(orders.order_by(AuditEntry.occurred_at.desc()).limit(1))
        bulk = found.one()
    assert bulk.caller == "INTERNAL_API_KEYS[0]"
    assert bulk.detail.keys() == {"what", "bulk", "codes"}


async def test_the_command_counts_and_orders(
    settings: Settings, lost: Assignment, sessions: Sessions, work: Work
) -> None:
    command, today = run_on(settings), datetime.now(tz=UTC).date()
    yesterday = str(today - timedelta(days=1))  # when it came, where midnight was in between
    await work()
    asked = ("replay", "--code", NOT_FOUND, "--since", yesterday, "--until", str(today))
    counted = await command(*asked)
    assert counted.exit_code == 0, counted.output
    assert f"  {NOT_FOUND}: " in counted.output
    assert "--apply would replay " in counted.output
    assert await jobs(sessions) == []
    ordered = await command(*asked, "--apply")
    assert ordered.exit_code == 0, ordered.output
    assert len(await jobs(sessions)) >= 2
    await work()
    assert f"  {NOT_FOUND}\n" in (await command(*asked)).output  # as replayed ones


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ((), "Name at least one filter"),
        (("--since", "yesterday"), "it must be an ISO 8601 date or moment"),
        (("--code", "no code"), "String should match pattern"),
    ],
)
async def test_the_command_says_what_it_wants(
    settings: Settings, words: tuple[str, ...], hint: str
) -> None:
    refused = await run_on(settings)("replay", *words)
    assert refused.exit_code == 1
    assert hint in refused.output


async def test_an_unknown_delivery_is_named_in_a_sentence(settings: Settings) -> None:
    refused = await run_on(settings)("replay", str(uuid4()))
    assert (refused.exit_code, refused.stdout, refused.stderr) == (1, "", commands.NOT_FOUND)
