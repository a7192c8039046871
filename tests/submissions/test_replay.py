"""Processing a kept delivery again: what comes of each kind, and what the inbox says then (R9)."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Row, delete, select, update

from app.clock import new_id, utc_now
from app.database import Sessions
from app.deliveries.rehearsal import Rehearsal
from app.errors import (
    AccountInactiveError,
    FileMissingError,
    IdempotencyConflictError,
    JsonInvalidError,
    NotFoundError,
    NotReplayableError,
    StudentNotFoundError,
)
from app.models import InboxDelivery, LmsIntegration, QuestTaskCompletion
from app.submissions.record import SubmissionOutcome
from app.submissions.rehearse import rehearse_replay
from app.submissions.replay import replay_delivery
from tests.support.bodies import Part, form
from tests.support.problems import assert_problem
from tests.support.running import Running
from tests.support.samples import pdf, png
from tests.support.spark import (
    FORM,
    Assignment,
    SignedIn,
    Spark,
    declared,
    encoded,
    submission,
)
from tests.support.stored import NOTHING, ONCE, audited, deliveries_of, kept, total_xp

PICTURE = Part("file1", png(), filename="gauge.png", content_type="image/png")
REPORT = Part("file2", pdf(), filename="report.pdf", content_type="application/pdf")

Replay = Callable[[UUID], Awaitable[SubmissionOutcome]]
Rehearse = Callable[[UUID], Awaitable[Rehearsal]]


@pytest.fixture
def replay(server: Running) -> Replay:
    async def process_again(delivery_id: UUID) -> SubmissionOutcome:
        intake = server.app.state.resources.intake
        return await replay_delivery(
            intake,
            delivery_id,
            caller="command",
            now=utc_now(),
            new_id=new_id,
        )

    return process_again


@pytest.fixture
def rehearse(server: Running) -> Rehearse:
    async def foresee(delivery_id: UUID) -> Rehearsal:
        intake = server.app.state.resources.intake
        return await rehearse_replay(intake, delivery_id, caller="command", now=utc_now())

    return foresee


async def only_delivery(sessions: Sessions, raw: bytes) -> Row[Any]:
    [delivery] = await deliveries_of(sessions, raw)
    return delivery


async def link(sessions: Sessions, student: SignedIn, spark_user_id: str) -> None:
    """As if the student had entered under this name."""
    async with sessions() as session, session.begin():
        await session.execute(
            update(LmsIntegration)
            .where(LmsIntegration.user_id == student.user_id)
            .values(lms_user_id=spark_user_id)
        )


# ---------------------------------------------------------------------------- the cause is gone


async def test_a_submission_of_an_unknown_student_is_recorded_once_the_student_signed_in(
    spark: Spark, assignment: Assignment, sessions: Sessions, replay: Replay
) -> None:
    unknown = SignedIn(f"late_{uuid4().hex}", str(uuid4()), "", "")
    raw = encoded(submission(unknown, assignment))
    assert_problem(await spark.submit(raw), 404, "user_not_found")
    before = await only_delivery(sessions, raw)
    assert (before.user_id, before.replayed_at) == (None, None)
    student = await spark.sign_in(sub=unknown.spark_user_id)

    recorded = await replay(before.id)

    assert (recorded.body["revision"], recorded.body["xp_awarded"]) == (1, 100)
    assert await kept(sessions, student.user_id) == ONCE
    after = await only_delivery(sessions, raw)
    assert (after.id, after.received_at, after.message) == (before.id, before.received_at, raw)
    assert (after.status, after.code) == (200, None)
    assert str(after.user_id) == student.user_id
    assert str(after.submission_id) == recorded.body["submission_id"]
    assert after.replayed_at is not None


@pytest.mark.parametrize("days", [1, 29])
async def test_a_stale_message_is_accepted_late_with_the_time_it_names(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    replay: Replay,
    days: int,
) -> None:
    said_at = datetime.now(tz=UTC) - timedelta(days=days)
    raw = encoded(submission(student, assignment, submitted_at=said_at.isoformat()))
    assert_problem(await spark.submit(raw), 400, "timestamp_too_old")
    await replay((await only_delivery(sessions, raw)).id)
    assert (await only_delivery(sessions, raw)).status == 200
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(QuestTaskCompletion.completed_at).where(
                QuestTaskCompletion.user_id == student.user_id
            )
        )
        assert found.scalar_one() == said_at


async def test_a_stale_attempt_under_standard_webhooks_is_accepted_late(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, replay: Replay
) -> None:
    raw = encoded(submission(student, assignment))
    old = spark.sign_v1(raw, at=datetime.now(tz=UTC) - timedelta(hours=1))
    assert_problem(await spark.post(raw, old), 400, "timestamp_too_old")
    await replay((await only_delivery(sessions, raw)).id)
    assert await kept(sessions, student.user_id) == ONCE
    again = await spark.post(raw, spark.sign_v1(raw, webhook_id=old["webhook-id"]))
    assert again.headers["idempotent-replayed"] == "true"


async def test_after_a_replay_the_senders_retry_is_answered_from_it(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, replay: Replay
) -> None:
    said_at = datetime.now(tz=UTC) - timedelta(days=1)
    raw = encoded(submission(student, assignment, submitted_at=said_at.isoformat()))
    await spark.submit(raw)
    recorded = await replay((await only_delivery(sessions, raw)).id)
    retry = await spark.submit(raw)
    assert retry.headers["idempotent-replayed"] == "true"
    assert retry.json()["submission_id"] == recorded.body["submission_id"]


async def test_twenty_replays_and_retries_at_once_do_everything_once(
    spark: Spark, assignment: Assignment, sessions: Sessions, replay: Replay
) -> None:
    unknown = SignedIn(f"late_{uuid4().hex}", str(uuid4()), "", "")
    raw = encoded(submission(unknown, assignment))
    await spark.submit(raw)
    [delivery] = await deliveries_of(sessions, raw)
    student = await spark.sign_in(sub=unknown.spark_user_id)
    replays = asyncio.gather(*(replay(delivery.id) for _ in range(10)))
    retries = asyncio.gather(*(spark.submit(raw) for _ in range(10)))
    recorded, answers = await replays, await retries
    bodies = [one.body for one in recorded] + [answer.json() for answer in answers]
    assert len({body["submission_id"] for body in bodies}) == 1
    assert sorted(body["xp_awarded"] for body in bodies) == [0] * 19 + [100]
    assert await kept(sessions, student.user_id) == ONCE
    assert await total_xp(sessions, student.user_id) == 100


# ---------------------------------------------------------------------------- it is not


async def test_a_replay_that_fails_again_says_so_in_the_same_row(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, replay: Replay
) -> None:
    name = f"late_{uuid4().hex}"
    raw = encoded(submission(student, assignment, spark_user_id=name))
    await spark.submit(raw)
    delivery = await only_delivery(sessions, raw)
    with pytest.raises(StudentNotFoundError):
        await replay(delivery.id)
    again = await only_delivery(sessions, raw)
    assert (again.status, again.code) == (404, "user_not_found")
    assert again.replayed_at is not None

    await link(sessions, student, name)
    async with sessions() as session, session.begin():
        await session.execute(
            update(LmsIntegration)
            .where(LmsIntegration.user_id == student.user_id)
            .values(sync_status="paused")
        )
    with pytest.raises(AccountInactiveError):
        await replay(delivery.id)
    last = await only_delivery(sessions, raw)
    assert (last.status, last.code, last.message) == (403, "account_inactive", raw)
    assert await kept(sessions, student.user_id) == NOTHING


async def test_what_is_no_json_stays_no_json(
    spark: Spark, sessions: Sessions, replay: Replay
) -> None:
    raw = b"{" + uuid4().hex.encode()
    await spark.submit(raw)
    with pytest.raises(JsonInvalidError):
        await replay((await only_delivery(sessions, raw)).id)


async def test_json_whose_files_never_came_is_not_recorded_without_them(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, replay: Replay
) -> None:
    raw = encoded(submission(student, assignment, files=declared(PICTURE)))
    await spark.submit(raw)
    with pytest.raises(FileMissingError):
        await replay((await only_delivery(sessions, raw)).id)
    assert await kept(sessions, student.user_id) == NOTHING


async def test_other_content_under_a_used_key_is_not_answered_with_the_first_one(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, replay: Replay
) -> None:
    key = uuid4().hex
    first, other = (encoded(submission(student, assignment)) for _ in range(2))
    for raw in (first, other):
        await spark.post(raw, spark.sign_v1(raw, webhook_id=key))
    with pytest.raises(IdempotencyConflictError):
        await replay((await only_delivery(sessions, other)).id)
    delivery = await only_delivery(sessions, other)
    assert (delivery.status, delivery.submission_id) == (422, None)
    assert await kept(sessions, student.user_id) == ONCE


# ---------------------------------------------------------------------------- answered before


async def test_a_success_is_answered_again_and_keeps_whose_it_is(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, replay: Replay
) -> None:
    raw = encoded(submission(student, assignment))
    first = (await spark.submit(raw)).json()
    delivery = await only_delivery(sessions, raw)
    recorded = await replay(delivery.id)
    assert recorded.is_replay
    assert recorded.body | {"request_id": first["request_id"]} == first | {
        "duplicate": True,
        "xp_awarded": 0,
    }
    again = await only_delivery(sessions, raw)
    assert (again.status, again.user_id, again.submission_id, again.message) == (
        *(200, delivery.user_id, delivery.submission_id, raw),
    )
    assert again.replayed_at is not None


async def test_a_success_whose_student_is_paused_now_keeps_what_was_recorded(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, replay: Replay
) -> None:
    raw = encoded(submission(student, assignment))
    await spark.submit(raw)
    delivery = await only_delivery(sessions, raw)
    async with sessions() as session, session.begin():
        await session.execute(
            update(LmsIntegration)
            .where(LmsIntegration.user_id == student.user_id)
            .values(sync_status="paused")
        )
    assert (await replay(delivery.id)).is_replay
    assert await kept(sessions, student.user_id) == ONCE


async def test_the_text_of_a_repeated_delivery_is_found_with_the_first(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, replay: Replay
) -> None:
    raw = encoded(submission(student, assignment))
    for _ in range(2):
        await spark.submit(raw)
    _, second = await deliveries_of(sessions, raw)
    assert second.message is None
    assert (await replay(second.id)).is_replay


async def test_without_its_text_a_delivery_is_not_replayable(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, replay: Replay
) -> None:
    raw = encoded(submission(student, assignment))
    for _ in range(2):
        await spark.submit(raw)
    first, second = await deliveries_of(sessions, raw)
    async with sessions() as session, session.begin():
        await session.execute(delete(InboxDelivery).where(InboxDelivery.id == first.id))
    with pytest.raises(NotReplayableError):
        await replay(second.id)
    with pytest.raises(NotFoundError):
        await replay(first.id)


# ---------------------------------------------------------------------------- a dry run


async def test_a_dry_run_foresees_what_a_replay_does(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    rehearse: Rehearse,
    replay: Replay,
) -> None:
    """However late, and nothing is written but who asked."""
    said_at = datetime.now(tz=UTC) - timedelta(days=1)
    raw = encoded(submission(student, assignment, submitted_at=said_at.isoformat()))
    await spark.submit(raw)
    before = await only_delivery(sessions, raw)
    foreseen = await rehearse(before.id)
    assert (foreseen.would, foreseen.problems) == ("create", [])
    assert await only_delivery(sessions, raw) == before
    assert await kept(sessions, student.user_id) == NOTHING
    *_, (caller, action, detail) = await audited(sessions, student.user_id)
    assert (caller, action) == ("command", "sensitive_read")
    assert detail == {"delivery_id": str(before.id)}
    await replay(before.id)
    assert (await rehearse(before.id)).would == "duplicate"


async def test_a_dry_run_tells_why_a_replay_would_be_refused(
    spark: Spark, student: SignedIn, sessions: Sessions, rehearse: Rehearse
) -> None:
    unknown = Assignment(uuid4(), f"unknown_{uuid4().hex}", f"course_{uuid4().hex}")
    raw = encoded(submission(student, unknown))
    await spark.submit(raw)
    foreseen = await rehearse((await only_delivery(sessions, raw)).id)
    assert foreseen.would == "refuse"
    assert [problem.code for problem in foreseen.problems] == ["assignment_not_found"]


async def test_a_form_has_no_dry_run(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    rehearse: Rehearse,
) -> None:
    payload = submission(student, assignment)
    await spark.submit_form(payload, PICTURE)
    delivery = await only_delivery(sessions, encoded(payload))
    with pytest.raises(NotReplayableError):
        await rehearse(delivery.id)


# ---------------------------------------------------------------------------- forms


async def test_an_answered_form_is_answered_again(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, replay: Replay
) -> None:
    raw = encoded(submission(student, assignment))
    first = await spark.send_form(form(Part("metadata", raw), PICTURE), signature=spark.sign(raw))
    recorded = await replay((await only_delivery(sessions, raw)).id)
    assert recorded.is_replay
    assert recorded.body["files"] == first.json()["files"]
    assert await kept(sessions, student.user_id) == ONCE


@pytest.mark.parametrize("files", [(PICTURE,), ()], ids=["with-files", "text-alone"])
async def test_a_refused_form_is_not_replayable_and_its_row_stays_as_it_was(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    replay: Replay,
    files: tuple[Part, ...],
) -> None:
    """Nobody knows what else the form would have brought."""
    name = f"late_{uuid4().hex}"
    raw = encoded(submission(student, assignment, spark_user_id=name))
    await spark.send_form(form(Part("metadata", raw), *files), signature=spark.sign(raw))
    await link(sessions, student, name)
    before = await only_delivery(sessions, raw)
    with pytest.raises(NotReplayableError):
        await replay(before.id)
    assert await only_delivery(sessions, raw) == before
    assert await kept(sessions, student.user_id) == NOTHING


async def test_a_form_refused_for_other_files_is_not_replayable(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, replay: Replay
) -> None:
    """Its metadata were answered, but with files that it did not bring."""
    raw = encoded(submission(student, assignment))
    for file in (PICTURE, REPORT):
        await spark.send_form(form(Part("metadata", raw), file), signature=spark.sign(raw))
    accepted, refused = await deliveries_of(sessions, raw)
    with pytest.raises(NotReplayableError):
        await replay(refused.id)
    assert (await replay(accepted.id)).is_replay
    _, after = await deliveries_of(sessions, raw)
    assert after == refused


async def test_a_form_that_was_answered_by_its_key_is_answered_again(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, replay: Replay
) -> None:
    key, payload = uuid4().hex, submission(student, assignment, files=declared(PICTURE))
    first = encoded(payload)
    second = encoded(payload | {"submitted_at": datetime.now(tz=UTC).isoformat()})
    for raw in (first, second):
        body = form(Part("metadata", raw), PICTURE)
        await spark.post(body, spark.sign_v1(raw, webhook_id=key), media_type=FORM)
    assert (await replay((await only_delivery(sessions, second)).id)).is_replay


async def test_an_unknown_delivery_is_not_found(replay: Replay) -> None:
    with pytest.raises(NotFoundError):
        await replay(uuid4())
