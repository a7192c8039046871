"""The submission webhook: both signatures, what a wrong one is told, and late retries (C, E)."""

import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import insert, update

from app.database import Sessions
from app.models import IdempotencyKey, InboxDelivery
from app.settings import Settings
from app.signing import sign
from tests.support.bodies import Part, form
from tests.support.elsewhere import run_elsewhere
from tests.support.problems import assert_problem
from tests.support.running import Running
from tests.support.samples import png
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
from tests.support.stored import NOTHING, ONCE, deliveries_of, kept
from tests.support.wire import connect

PICTURE = Part("file1", png(), filename="gauge.png", content_type="image/png")
MEBIBYTE = 1024 * 1024


def ago(**time: float) -> datetime:
    return datetime.now(tz=UTC) - timedelta(**time)


# ---------------------------------------------------------------------------- Standard Webhooks


async def test_p067_a_message_signed_by_the_standard_library_is_accepted(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = encoded(submission(student, assignment))
    answer = await spark.post(raw, spark.sign_v1(raw))
    assert answer.status_code == 200, answer.text
    assert await kept(sessions, student.user_id) == ONCE


async def test_p067_a_form_signed_by_the_standard_library_is_accepted(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = encoded(submission(student, assignment, files=declared(PICTURE)))
    body = form(Part("metadata", raw), PICTURE)
    answer = await spark.post(body, spark.sign_v1(raw), media_type=FORM)
    assert answer.status_code == 200, answer.text
    assert [file["name"] for file in answer.json()["files"]] == ["gauge.png"]


# Five seconds inside or outside of the window, where the moment of reading matters.
ATTEMPTS: dict[str, tuple[float, int, str | None]] = {
    "P067-295-s-old": (295, 200, None),
    "P067-301-s-old": (301, 400, "timestamp_too_old"),
    "P067-299-s-ahead": (-299, 200, None),
    "P067-306-s-ahead": (-306, 400, "timestamp_in_future"),
}


@pytest.mark.parametrize(("age", "status", "code"), ATTEMPTS.values(), ids=ATTEMPTS)
async def test_the_time_of_the_attempt_may_be_five_minutes_off(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    age: float,
    status: int,
    code: str | None,
) -> None:
    raw = encoded(submission(student, assignment))
    answer = await spark.post(raw, spark.sign_v1(raw, at=ago(seconds=age)))
    assert answer.status_code == status, answer.text
    if code:
        assert "webhook-timestamp" in str(assert_problem(answer, status, code)["hint"])
    assert await kept(sessions, student.user_id) == (NOTHING if code else ONCE)


HANDED_IN: dict[str, tuple[timedelta, str | None]] = {
    "P070-two-days": (timedelta(days=2), None),
    "P070-seven-days-less-a-minute": (timedelta(days=7, minutes=-1), None),
    "P070-seven-days-and-a-second": (timedelta(days=7, seconds=1), "timestamp_too_old"),
    "P070-eight-days": (timedelta(days=8), "timestamp_too_old"),
    "P070-six-minutes-ahead": (-timedelta(minutes=6), "timestamp_in_future"),
}


@pytest.mark.parametrize(("age", "code"), HANDED_IN.values(), ids=HANDED_IN)
async def test_a_fresh_attempt_may_bring_an_old_message(
    spark: Spark, student: SignedIn, assignment: Assignment, age: timedelta, code: str | None
) -> None:
    submitted_at = (datetime.now(tz=UTC) - age).isoformat()
    raw = encoded(submission(student, assignment, submitted_at=submitted_at))
    answer = await spark.post(raw, spark.sign_v1(raw))
    if code is None:
        assert answer.status_code == 200, answer.text
    else:
        assert "webhook-timestamp" not in str(assert_problem(answer, 400, code)["hint"])


Headers = Mapping[str, str]
Spoil = Callable[[Spark, bytes, Headers], Headers]


def showing(signature: Callable[[str], str]) -> Spoil:
    return lambda _, __, right: {
        **right,
        "webhook-signature": signature(right["webhook-signature"]),
    }


def with_v0(signature: Callable[[Spark, bytes], str]) -> Spoil:
    return lambda spark, raw, right: {**right, "X-Spark-Signature": signature(spark, raw)}


def changed(**headers: str) -> Spoil:
    return lambda _, __, right: {
        **right,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }


RIGHT: dict[str, Spoil] = {
    "P068-unknown-version-first": showing(lambda right: f"v2,AAAA {right}"),
    "P068-unknown-version-last": showing(lambda right: f"{right} v1a,AAAA"),
    "P068-two-keys": showing(lambda right: f"v1,{'A' * 43}= {right}"),
    "P069-both-right": with_v0(lambda spark, raw: spark.sign(raw)),
}


@pytest.mark.parametrize("change", RIGHT.values(), ids=RIGHT)
async def test_one_right_signature_in_the_list_is_enough(
    spark: Spark, student: SignedIn, assignment: Assignment, change: Spoil
) -> None:
    raw = encoded(submission(student, assignment))
    answer = await spark.post(raw, change(spark, raw, spark.sign_v1(raw)))
    assert answer.status_code == 200, answer.text


WRONG: dict[str, Spoil] = {
    "P057-wrong": showing(lambda _: f"v1,{'A' * 43}="),
    "P058-no-version": showing(lambda right: right.removeprefix("v1,")),
    "P058-empty": showing(lambda _: ""),
    "P063-other-id": changed(webhook_id="msg_other"),
    "P063-other-time": changed(webhook_timestamp=str(int(ago(seconds=-7).timestamp()))),
    "P063-no-number": changed(webhook_timestamp="now"),
    "P063-19-digits": changed(webhook_timestamp="9" * 19),
    "P068-only-unknown-versions": showing(lambda right: f"v2,{right[3:]} v1a,{right[3:]}"),
    "P069-v0-wrong": with_v0(lambda _, __: "0" * 64),
    "P069-v1-wrong": lambda spark, raw, right: {
        **right,
        "webhook-signature": f"v1,{'A' * 43}=",
        "X-Spark-Signature": spark.sign(raw),
    },
    "256-characters-of-id": changed(webhook_id="m" * 256),
}


@pytest.mark.parametrize("spoil", WRONG.values(), ids=WRONG)
async def test_a_wrong_standard_signature_is_refused_and_leaves_nothing(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, spoil: Spoil
) -> None:
    raw = encoded(submission(student, assignment))
    right = spark.sign_v1(raw)
    answer = await spark.post(raw, spoil(spark, raw, right))
    problem = assert_problem(answer, 401, "signature_invalid")
    assert problem["error"] == "Invalid signature"
    assert right["webhook-signature"][3:] not in answer.text
    assert await kept(sessions, student.user_id) == NOTHING
    assert await deliveries_of(sessions, raw) == []


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
async def test_p060_a_byte_that_is_not_ascii_is_a_wrong_signature(
    spark: Spark, student: SignedIn, assignment: Assignment, name: str
) -> None:
    raw = encoded(submission(student, assignment))
    headers = spark.sign_v1(raw) | {"Content-Type": "application/json"}
    lines = [
        (key.encode(), value.encode() + (b"\xe9" if key == name else b""))
        for key, value in headers.items()
    ]
    answer = await spark.browser.post(SUBMISSION, content=raw, headers=lines)
    assert_problem(answer, 401, "signature_invalid")


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
async def test_p061_a_header_that_comes_twice_is_refused(
    spark: Spark, student: SignedIn, assignment: Assignment, name: str
) -> None:
    raw = encoded(submission(student, assignment))
    headers = spark.sign_v1(raw) | {"Content-Type": "application/json"}
    lines = [*headers.items(), (name, headers[name])]
    answer = await spark.browser.post(SUBMISSION, content=raw, headers=lines)
    assert_problem(answer, 401, "signature_invalid")


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("more", [(), ("X-Spark-Signature",)], ids=["alone", "with-right-v0"])
async def test_p056_p069_a_standard_header_that_is_missing_is_named_before_the_body(
    server: Running, spark: Spark, name: str, more: tuple[str, ...]
) -> None:
    headers = spark.sign_v1(b"{}") | dict.fromkeys(more, spark.sign(b"{}"))
    sent = [f"{key}: {value}" for key, value in headers.items() if key != name]
    async with connect(server) as wire:
        await wire.send_head("Content-Type: application/json", "Content-Length: 2", *sent)
        problem = assert_problem(await wire.read_answer(), 401, "signature_missing")
    assert name in str(problem["hint"])


@pytest.mark.parametrize("white", [" ", "\t", " \t  "], ids=["blank", "tab", "several"])
@pytest.mark.parametrize("is_v1", [False, True], ids=["v0", "v1"])
async def test_white_space_round_a_header_is_no_part_of_its_value(
    server: Running,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    *,
    white: str,
    is_v1: bool,
) -> None:
    """RFC 9110, section 5.5."""
    raw = encoded(submission(student, assignment))
    signed = spark.sign_v1(raw) if is_v1 else {"X-Spark-Signature": spark.sign(raw)}
    lines = [f"{name}:{white}{value}{white}" for name, value in signed.items()]
    length = f"Content-Length: {len(raw)}"
    async with connect(server) as wire:
        await wire.send_head("Content-Type: application/json", length, *lines)
        await wire.send(raw)
        answer = await wire.read_answer()
    assert answer.status_code == 200, answer.text


async def test_p065_the_previous_secret_signs_standard_webhooks_too(
    settings: Settings, student: SignedIn, assignment: Assignment
) -> None:
    previous, new = settings.spark_webhook_secret, SecretStr(secrets.token_hex(32))
    changes = {"spark_webhook_secret": new, "spark_webhook_secret_previous": previous}
    async with run_elsewhere(settings, **changes) as elsewhere:
        raw = encoded(submission(student, assignment))
        answer = await elsewhere.spark.post(raw, elsewhere.spark.sign_v1(raw))
    assert answer.status_code == 200, answer.text


async def test_standard_webhooks_can_be_required(
    settings: Settings, student: SignedIn, assignment: Assignment
) -> None:
    async with run_elsewhere(settings, webhook_require_v1=True) as elsewhere:
        spark = elsewhere.spark
        raw = encoded(submission(student, assignment))
        old = await spark.submit(raw)
        new = await spark.post(raw, spark.sign_v1(raw))
    assert "webhook-signature" in str(assert_problem(old, 401, "signature_missing")["hint"])
    assert new.status_code == 200, new.text


async def test_p064_a_bad_standard_signature_does_not_tell_whether_the_student_exists(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    bodies = []
    for spark_user_id in (student.spark_user_id, "nobody"):
        raw = encoded(submission(student, assignment, spark_user_id=spark_user_id))
        wrong = spark.sign_v1(raw) | {"webhook-signature": f"v1,{'A' * 43}="}
        answer = await spark.post(raw, wrong)
        problem = assert_problem(answer, 401, "signature_invalid")
        assert problem.pop("received") == received(raw)
        bodies.append(problem | {"request_id": ""})
    assert bodies[0] == bodies[1]


# ---------------------------------------------------------------------------- diagnosis


def received(text: bytes) -> dict[str, object]:
    """What a sender can tell by itself."""
    return {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}


Sign = Callable[[Spark, bytes], str]
MISTAKES: dict[str, tuple[Sign, str]] = {
    "P058-prefix": (lambda spark, raw: f"sha256={spark.sign(raw)}", "not sha256=<hexadecimal>"),
    "P062-compact": (
        lambda spark, raw: spark.sign(json.dumps(json.loads(raw), separators=(",", ":")).encode()),
        "JSON.stringify",
    ),
    "P062-sorted-keys": (
        lambda spark, raw: spark.sign(
            json.dumps(json.loads(raw), separators=(",", ":"), sort_keys=True).encode()
        ),
        "sorted keys",
    ),
    "sso-secret": (lambda spark, raw: sign(spark.sso_secret, raw), "SSO secret"),
    "object": (lambda spark, _: spark.sign(b"[object FormData]"), "[object FormData]"),
}


@pytest.mark.parametrize(("mistaken", "named"), MISTAKES.values(), ids=MISTAKES)
@pytest.mark.parametrize("as_form", [False, True], ids=["json", "form"])
async def test_a_known_mistake_is_named_and_not_accepted(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    mistaken: Sign,
    named: str,
    as_form: bool,
) -> None:
    raw = encoded(submission(student, assignment))
    headers = {"X-Spark-Signature": mistaken(spark, raw)}
    body, media_type = (form(Part("metadata", raw), PICTURE), FORM) if as_form else (raw, None)
    answer = await spark.post(body, headers, media_type=media_type or "application/json")
    problem = assert_problem(answer, 401, "signature_invalid")
    assert named in str(problem["hint"])
    assert problem["received"] == received(raw)
    if "sha256=" not in headers["X-Spark-Signature"]:
        assert spark.sign(raw) not in answer.text
    assert await kept(sessions, student.user_id) == NOTHING
    assert await deliveries_of(sessions, raw) == []


@pytest.mark.parametrize("metadata_last", [False, True])
async def test_who_signs_the_whole_form_is_told(
    spark: Spark, student: SignedIn, assignment: Assignment, *, metadata_last: bool
) -> None:
    metadata = Part("metadata", encoded(submission(student, assignment)))
    body = form(PICTURE, metadata) if metadata_last else form(metadata, PICTURE)
    answer = await spark.send_form(body, signature=spark.sign(body))
    hint = str(assert_problem(answer, 401, "signature_invalid")["hint"])
    assert "whole multipart body" in hint


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    yield body


@pytest.mark.parametrize("is_large", [True, False], ids=["more-than-1-MiB", "without-length"])
async def test_the_whole_form_is_tried_only_if_it_is_small(
    spark: Spark, student: SignedIn, assignment: Assignment, *, is_large: bool
) -> None:
    """R8: what is large or of unknown length is not kept for a stranger."""
    metadata = Part("metadata", encoded(submission(student, assignment)))
    notes = Part("f", b"calm\n" * (MEBIBYTE // 5 + 1), filename="notes.txt")
    body = form(metadata, notes if is_large else PICTURE)
    answer = await spark.send_form(body if is_large else pieces(body), signature=spark.sign(body))
    hint = str(assert_problem(answer, 401, "signature_invalid")["hint"])
    assert "whole multipart body" not in hint


async def test_a_body_signed_without_its_frame_is_named(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = encoded(submission(student, assignment))
    headers = spark.sign_v1(raw) | {"webhook-signature": f"v1,{spark.sign(raw)}"}
    answer = await spark.post(raw, headers)
    hint = str(assert_problem(answer, 401, "signature_invalid")["hint"])
    assert "{webhook-id}.{webhook-timestamp}.{body}" in hint


async def test_who_does_not_know_a_secret_learns_nothing(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    """The same mistakes under a key of their own get the same answer as noise."""
    raw = encoded(submission(student, assignment))
    stranger = Spark(spark.browser, *(SecretStr(secrets.token_hex(32)) for _ in range(2)))
    signatures = ["0" * 64, *(mistaken(stranger, raw) for mistaken, _ in MISTAKES.values())]
    answers = [await spark.submit(raw, signature=signature) for signature in signatures]
    hints = {str(assert_problem(one, 401, "signature_invalid")["hint"]) for one in answers}
    assert len(hints) == 1


# ---------------------------------------------------------------------------- D8: late retries


async def arrived(sessions: Sessions, raw: bytes, at: datetime) -> None:
    """As if all deliveries of these bytes had come at that time."""
    async with sessions() as session, session.begin():
        await session.execute(
            update(InboxDelivery)
            .where(InboxDelivery.digest == hashlib.sha256(raw).digest())
            .values(received_at=at)
        )


def stale(student: SignedIn, assignment: Assignment, **changes: Any) -> tuple[bytes, datetime]:
    """Signed bytes of ten minutes ago, and the time they name."""
    said_at = ago(minutes=10)
    changes = {"submitted_at": said_at.isoformat()} | changes
    return encoded(submission(student, assignment, **changes)), said_at


async def test_p094_a_stale_message_stays_stale_however_often_it_comes(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw, _ = stale(student, assignment)
    for _ in range(3):
        assert_problem(await spark.submit(raw), 400, "timestamp_too_old")
    assert await kept(sessions, student.user_id) == NOTHING


@pytest.mark.parametrize("seconds", [-299, 0, 299])
async def test_p094_a_message_that_came_in_time_before_is_continued(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, seconds: int
) -> None:
    """Its first attempt failed for another reason, as an unknown student or a full store."""
    raw, said_at = stale(student, assignment)
    assert_problem(await spark.submit(raw), 400, "timestamp_too_old")
    await arrived(sessions, raw, said_at + timedelta(seconds=seconds))
    answer = await spark.submit(raw)
    assert answer.status_code == 200, answer.text
    assert "idempotent-replayed" not in answer.headers
    assert await kept(sessions, student.user_id) == ONCE


@pytest.mark.parametrize("seconds", [-301, 301])
async def test_p094_a_message_that_was_seen_before_but_not_in_time_is_refused(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, seconds: int
) -> None:
    raw, said_at = stale(student, assignment)
    assert_problem(await spark.submit(raw), 400, "timestamp_too_old")
    await arrived(sessions, raw, said_at + timedelta(seconds=seconds))
    assert_problem(await spark.submit(raw), 400, "timestamp_too_old")


async def test_p094_a_form_that_came_in_time_before_is_continued_with_its_files(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw, said_at = stale(student, assignment)
    body = form(Part("metadata", raw), PICTURE)
    refused = await spark.send_form(body, signature=spark.sign(raw))
    assert_problem(refused, 400, "timestamp_too_old")
    await arrived(sessions, raw, said_at)
    answer = await spark.send_form(body, signature=spark.sign(raw))
    assert [file["name"] for file in answer.json()["files"]] == ["gauge.png"]


@pytest.mark.parametrize(("seconds", "status"), [(0, 200), (-301, 400), (301, 400)])
async def test_p094_p165_a_form_that_was_killed_in_time_is_continued_after_the_window(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    seconds: int,
    status: int,
) -> None:
    """Nothing but its claim is left, whose lease ran out."""
    raw, said_at = stale(student, assignment)
    claimed_at = said_at + timedelta(seconds=seconds)
    async with sessions() as session, session.begin():
        await session.execute(
            insert(IdempotencyKey).values(
                key=hashlib.sha256(raw).digest(),
                owner=uuid4(),
                lease_until=claimed_at,
                created_at=claimed_at,
            )
        )
    body = form(Part("metadata", raw), PICTURE)
    answer = await spark.send_form(body, signature=spark.sign(raw))
    assert answer.status_code == status, answer.text


async def test_p094_other_bytes_do_not_profit_from_a_message_that_came_in_time(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw, said_at = stale(student, assignment)
    await spark.submit(raw)
    await arrived(sessions, raw, said_at)
    assert_problem(await spark.submit(raw + b" "), 400, "timestamp_too_old")


async def test_p094_a_message_handled_in_time_is_answered_after_the_window(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    """Handled ten minutes ago by its row in the inbox, and answered again now."""
    raw, said_at = stale(student, assignment)
    await spark.submit(raw)
    await arrived(sessions, raw, said_at)
    first, second = await spark.submit(raw), await spark.submit(raw)
    assert second.headers["idempotent-replayed"] == "true"
    assert second.json()["completion_id"] == first.json()["completion_id"]
