"""The inbox: what each kind of delivery leaves in it, and for how long."""

import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Row, func, update

from app.api.dependencies import Resources
from app.database import Sessions
from app.models import IdempotencyKey, InboxDelivery
from app.worker import sweep
from tests.support.bodies import Part, form
from tests.support.problems import assert_problem
from tests.support.running import Running
from tests.support.samples import pdf, png
from tests.support.spark import (
    FORM,
    SUBMISSION,
    Assignment,
    SignedIn,
    Spark,
    declared,
    encoded,
    submission,
)
from tests.support.stored import deliveries_of, eventually, is_claimed
from tests.support.wire import connect

PICTURE = Part("file1", png(), filename="rain-gauge-of-ada.png", content_type="image/png")
REPORT = Part("file2", pdf(), filename="report.pdf", content_type="application/pdf")
PAGE = Part("page", b"<html><body>hello", filename="page.html", content_type="text/html")


async def only_delivery(sessions: Sessions, raw: bytes) -> Row[Any]:
    [delivery] = await deliveries_of(sessions, raw)
    return delivery


def outcome(delivery: Row[Any]) -> tuple[int, str | None]:
    return delivery.status, delivery.code


# ---------------------------------------------------------------------------- successes


async def test_a_success_is_kept_with_exactly_the_signed_text_and_its_submission(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = encoded(submission(student, assignment)) + b" \n"
    answer = await spark.submit(raw)
    delivery = await only_delivery(sessions, raw)
    assert outcome(delivery) == (200, None)
    assert (delivery.route, delivery.media_type) == (SUBMISSION, "application/json")
    assert (delivery.message, delivery.webhook_id) == (raw, None)
    assert (delivery.body_bytes, delivery.file_count) == (len(raw), 0)
    assert (str(delivery.user_id), delivery.spark_user_id) == (
        student.user_id,
        student.spark_user_id,
    )
    assert delivery.spark_assignment_id == assignment.spark_assignment_id
    assert delivery.spark_course_id == assignment.spark_course_id
    assert str(delivery.submission_id) == answer.json()["submission_id"]
    assert delivery.replayed_at is None
    age = datetime.now(tz=UTC) - delivery.received_at
    assert timedelta() < age < timedelta(minutes=1)


async def test_a_form_is_kept_by_its_metadata_and_counted_with_its_files(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = encoded(submission(student, assignment))
    await spark.send_form(form(PICTURE, Part("metadata", raw), REPORT), signature=spark.sign(raw))
    delivery = await only_delivery(sessions, raw)
    size = len(raw) + len(PICTURE.content) + len(REPORT.content)
    assert (delivery.media_type, delivery.message) == ("multipart/form-data", raw)
    assert (delivery.body_bytes, delivery.file_count) == (size, 2)


async def test_a_standard_webhook_is_kept_with_its_id(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = encoded(submission(student, assignment))
    headers = spark.sign_v1(raw)
    await spark.post(raw, headers)
    assert (await only_delivery(sessions, raw)).webhook_id == headers["webhook-id"]


async def test_a_duplicate_is_kept_with_its_own_text_and_the_first_submission(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    payload = submission(student, assignment)
    first = await spark.submit(payload)
    raw = encoded(payload | {"submitted_at": datetime.now(tz=UTC).isoformat()})
    assert (await spark.submit(raw)).json()["duplicate"]
    delivery = await only_delivery(sessions, raw)
    assert (outcome(delivery), delivery.message) == ((200, None), raw)
    assert str(delivery.submission_id) == first.json()["submission_id"]


async def test_a_repeated_delivery_has_a_row_of_its_own_and_keeps_the_text_once(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = encoded(submission(student, assignment))
    for _ in range(3):
        answer = await spark.submit(raw)
    deliveries = await deliveries_of(sessions, raw)
    assert [outcome(delivery) for delivery in deliveries] == [(200, None)] * 3
    assert [delivery.message for delivery in deliveries] == [raw, None, None]
    assert {str(row.submission_id) for row in deliveries} == {answer.json()["submission_id"]}
    assert {str(row.user_id) for row in deliveries} == {student.user_id}


@pytest.mark.parametrize("is_declared", [False, True], ids=["read", "R1-not-read"])
async def test_a_repeated_form_counts_what_was_read_of_it(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    is_declared: bool,
) -> None:
    files = declared(PICTURE) if is_declared else ...
    raw = encoded(submission(student, assignment, files=files))
    body = form(Part("metadata", raw), PICTURE)
    for _ in range(2):
        await spark.send_form(body, signature=spark.sign(raw))
    _, again = await deliveries_of(sessions, raw)
    read = (0, 0) if is_declared else (1, len(PICTURE.content))
    assert (again.file_count, again.body_bytes - len(raw)) == read


@pytest.mark.parametrize("kind", ["webhook-id", "Idempotency-Key"])
async def test_a_message_known_by_its_key_alone_keeps_its_own_text(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, kind: str
) -> None:
    key = secrets.token_hex(8)
    payload = submission(student, assignment)
    first = encoded(payload)
    second = encoded(payload | {"submitted_at": datetime.now(tz=UTC).isoformat()})
    for raw in (first, second):
        headers = {"X-Spark-Signature": spark.sign(raw), "Idempotency-Key": key}
        answer = await spark.post(
            raw, spark.sign_v1(raw, webhook_id=key) if kind == "webhook-id" else headers
        )
    assert answer.headers["idempotent-replayed"] == "true"
    delivery = await only_delivery(sessions, second)
    assert (outcome(delivery), delivery.message) == ((200, None), second)


# ---------------------------------------------------------------------------- refusals


Spoil = Callable[[dict[str, Any]], dict[str, Any]]


def changed(**changes: Any) -> Spoil:
    return lambda payload: payload | changes


STALE = (datetime.now(tz=UTC) - timedelta(hours=1)).isoformat()
REFUSED: dict[str, tuple[Spoil, int, str]] = {
    "unknown-student": (changed(spark_user_id="nobody"), 404, "user_not_found"),
    "unknown-assignment": (
        changed(spark_assignment_id="nothing", spark_course_id=None),
        400,
        "assignment_not_found",
    ),
    "stale": (changed(submitted_at=STALE), 400, "timestamp_too_old"),
    "no-content": (changed(submission_text=" "), 400, "content_missing"),
    "missing-files": (changed(files=declared(PICTURE)), 400, "file_missing"),
    "file-urls": (changed(submission_files=[{}]), 400, "url_not_allowed"),
    "no-time": (changed(submitted_at=None), 400, "field_missing"),
    "bad-text": (changed(submission_text=["A"]), 400, "field_invalid"),
}


@pytest.mark.parametrize(("spoil", "status", "code"), REFUSED.values(), ids=REFUSED)
async def test_a_refusal_is_kept_with_its_text_and_its_reason(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    spoil: Spoil,
    status: int,
    code: str,
) -> None:
    payload = spoil(submission(student, assignment))
    raw = encoded(payload)
    assert_problem(await spark.submit(raw), status, code)
    delivery = await only_delivery(sessions, raw)
    assert (outcome(delivery), delivery.message) == ((status, code), raw)
    assert delivery.submission_id is None
    ids = (delivery.spark_user_id, delivery.spark_assignment_id, delivery.spark_course_id)
    assert ids == (
        payload["spark_user_id"],
        payload["spark_assignment_id"],
        payload.get("spark_course_id"),
    )


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"spark_user_id": None}, ("spark_assignment_id",)),
        ({"spark_assignment_id": "x" * 256}, ("spark_user_id",)),
        ({"spark_user_id": 4.2, "spark_assignment_id": []}, ()),
        ({"submitted_at": "soon", "spark_course_id": "x" * 256}, ("spark_user_id",)),
    ],
)
async def test_a_refusal_is_found_by_what_can_be_read_of_it(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    changes: dict[str, object],
    kept: tuple[str, ...],
) -> None:
    payload = submission(student, assignment) | changes
    raw = encoded(payload)
    answer = await spark.submit(raw)
    assert answer.status_code == 400, answer.text
    delivery = (await only_delivery(sessions, raw))._mapping
    for name in ("spark_user_id", "spark_assignment_id", "spark_course_id"):
        expected = None if name in changes else payload.get(name)
        assert delivery[name] == expected, name
    assert all(delivery[name] for name in kept)


@pytest.mark.parametrize("raw", [b"{", b"", b"\xff\0"], ids=["cut", "empty", "binary"])
async def test_what_is_no_json_is_kept_as_it_is(
    spark: Spark, sessions: Sessions, raw: bytes
) -> None:
    raw += secrets.token_hex(8).encode() if raw else b""
    answer = await spark.submit(raw)
    assert_problem(answer, 400, "json_invalid")
    delivery = (await deliveries_of(sessions, raw))[-1]
    assert (outcome(delivery), delivery.message) == ((400, "json_invalid"), raw)
    assert delivery.spark_user_id is None


async def test_a_stale_attempt_is_kept_before_it_is_read(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = encoded(submission(student, assignment))
    old = datetime.now(tz=UTC) - timedelta(minutes=6)
    assert_problem(await spark.post(raw, spark.sign_v1(raw, at=old)), 400, "timestamp_too_old")
    assert outcome(await only_delivery(sessions, raw)) == (400, "timestamp_too_old")


async def test_a_conflict_is_kept_beside_the_success(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = encoded(submission(student, assignment))
    for file in (PICTURE, REPORT):
        await spark.send_form(form(Part("metadata", raw), file), signature=spark.sign(raw))
    first, second = await deliveries_of(sessions, raw)
    assert outcome(first) == (200, None)
    assert (outcome(second), second.submission_id) == ((422, "idempotency_conflict"), None)


async def test_a_refused_form_counts_all_its_files(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = encoded(submission(student, assignment))
    body = form(Part("metadata", raw), PICTURE, PAGE, REPORT)
    await spark.send_form(body, signature=spark.sign(raw))
    delivery = await only_delivery(sessions, raw)
    size = sum(len(part.content) for part in (PICTURE, PAGE, REPORT))
    assert outcome(delivery) == (400, "file_type_not_allowed")
    assert (delivery.file_count, delivery.body_bytes) == (3, len(raw) + size)
    assert str(delivery.user_id) == student.user_id


async def test_every_attempt_of_a_refused_message_is_kept_with_its_text(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    """Only then each can be explained and processed again by itself."""
    raw = encoded(submission(student, assignment, spark_user_id="nobody"))
    for _ in range(2):
        await spark.submit(raw)
    assert [row.message for row in await deliveries_of(sessions, raw)] == [raw, raw]


async def test_a_client_that_leaves_in_the_middle_is_seen_in_the_inbox(
    server: Running, spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = encoded(submission(student, assignment))
    body = form(Part("metadata", raw), PICTURE)
    async with connect(server) as wire:
        await wire.send_head(
            f"Content-Type: {FORM}",
            f"Content-Length: {len(body)}",
            f"X-Spark-Signature: {spark.sign(raw)}",
        )
        await wire.send(body[:-50])
        await eventually(lambda: is_claimed(sessions, raw))

    async def is_kept() -> bool:
        return bool(await deliveries_of(sessions, raw))

    await eventually(is_kept)
    assert (await only_delivery(sessions, raw)).message == raw


@pytest.mark.parametrize("signature", ["0" * 64, ""])
async def test_what_is_not_authentic_is_not_kept(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, signature: str
) -> None:
    raw = encoded(submission(student, assignment))
    await spark.submit(raw, signature=signature)
    await spark.send_form(form(Part("metadata", raw), PICTURE), signature=signature)
    assert await deliveries_of(sessions, raw) == []


async def test_nothing_personal_is_kept_beside_the_signed_text(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    text = f"My grandmother measured it. {secrets.token_hex(8)}"
    raw = encoded(submission(student, assignment, submission_text=text, grade=12.34))
    await spark.send_form(form(Part("metadata", raw), PICTURE, PAGE), signature=spark.sign(raw))
    delivery = (await only_delivery(sessions, raw))._asdict()
    assert delivery.pop("message") == raw
    rest = json.dumps(delivery, default=str)
    for personal in (text, "12.34", "rain-gauge-of-ada", "page.html", "example.com"):
        assert personal not in rest


# ---------------------------------------------------------------------------- retention


async def age(sessions: Sessions, raw: bytes, days: int) -> None:
    """As if these signed bytes had come that many days ago."""
    digest = hashlib.sha256(raw).digest()
    then = func.now() - func.make_interval(0, 0, 0, days)
    async with sessions() as session, session.begin():
        await session.execute(
            update(InboxDelivery).where(InboxDelivery.digest == digest).values(received_at=then)
        )
        await session.execute(
            update(IdempotencyKey).where(IdempotencyKey.key == digest).values(created_at=then)
        )


@pytest.fixture
def resources(server: Running) -> Resources:
    opened: Resources = server.app.state.resources
    return opened


async def test_a_delivery_is_forgotten_after_its_days(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    resources: Resources,
) -> None:
    old, young = (encoded(submission(student, assignment)) for _ in range(2))
    for raw, days in ((old, 31), (young, 29)):
        await spark.submit(raw)
        await age(sessions, raw, days)
    removed = await sweep(resources)
    assert removed["deliveries"] >= 1
    assert await deliveries_of(sessions, old) == []
    assert len(await deliveries_of(sessions, young)) == 1


async def test_how_long_deliveries_are_kept_is_a_setting(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    resources: Resources,
) -> None:
    raw = encoded(submission(student, assignment))
    await spark.submit(raw)
    await age(sessions, raw, 8)
    settings = resources.settings.model_copy(update={"inbox_retention_days": 7})
    await sweep(replace(resources, settings=settings))
    assert await deliveries_of(sessions, raw) == []


@pytest.mark.parametrize(("days", "is_replay"), [(29, True), (31, False)])
async def test_a_key_is_forgotten_after_thirty_days_and_the_content_is_not(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    resources: Resources,
    *,
    days: int,
    is_replay: bool,
) -> None:
    raw = encoded(submission(student, assignment))
    first = await spark.submit(raw)
    await age(sessions, raw, days)
    removed = await sweep(resources)
    assert is_replay or removed["idempotency_keys"] >= 1
    again = await spark.submit(raw)
    assert again.json()["duplicate"]
    assert ("idempotent-replayed" in again.headers) == is_replay
    assert UUID(again.json()["submission_id"]) == UUID(first.json()["submission_id"])
