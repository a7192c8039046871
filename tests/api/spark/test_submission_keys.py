"""Messages handled once, under each key a sender may give them (FAULTS I, DESIGN R1, R2)."""

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import insert, select, update

from app.database import Sessions
from app.models import IdempotencyKey
from app.settings import Settings
from tests.support.bodies import BOUNDARY, Part, cut, form
from tests.support.elsewhere import run_elsewhere
from tests.support.problems import assert_problem
from tests.support.processes import serve_elsewhere
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
from tests.support.stored import (
    NOTHING,
    ONCE,
    assert_only_committed,
    eventually,
    expire_leases,
    is_claimed,
    kept,
    object_keys,
    total_xp,
)
from tests.support.wire import Wire, connect

MEBIBYTE = 1024 * 1024
PICTURE = Part("file1", png(), filename="gauge.png", content_type="image/png")
REPORT = Part("file2", pdf(), filename="report.pdf", content_type="application/pdf")
PAGE = Part("page", b"<html><body>hello", filename="page.html", content_type="text/html")

Sign = Callable[[Spark, bytes, str], dict[str, str]]

OWN_KEYS: dict[str, Sign] = {
    "Idempotency-Key": lambda spark, raw, key: {
        "X-Spark-Signature": spark.sign(raw),
        "Idempotency-Key": key,
    },
    "webhook-id": lambda spark, raw, key: spark.sign_v1(raw, webhook_id=key),
}
KEYS: dict[str, Sign] = {
    "digest": lambda spark, raw, _: {"X-Spark-Signature": spark.sign(raw)},
} | OWN_KEYS
under_own_key = pytest.mark.parametrize("sign", OWN_KEYS.values(), ids=OWN_KEYS)
under_each_key = pytest.mark.parametrize("sign", KEYS.values(), ids=KEYS)


@pytest.fixture
def key() -> str:
    return f"key {secrets.token_hex(12)}"


def described(
    student: SignedIn, assignment: Assignment, *files: Part, **changes: Any
) -> tuple[bytes, bytes]:
    """Metadata with these files listed, and the whole form."""
    raw = encoded(submission(student, assignment, files=declared(*files), **changes))
    return raw, form(Part("metadata", raw), *files)


def later(payload: dict[str, Any], seconds: int = 1) -> dict[str, Any]:
    """The same content, handed in at another moment."""
    moment = datetime.now(tz=UTC) + timedelta(seconds=seconds)
    return payload | {"submitted_at": moment.isoformat()}


def is_replay(answer: httpx.Response) -> bool:
    assert answer.status_code == 200, answer.text
    return "idempotent-replayed" in answer.headers


# ---------------------------------------------------------------------------- again


@under_each_key
async def test_p158_the_same_message_again_is_answered_from_the_stored_result(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    sign: Sign,
    key: str,
) -> None:
    raw = encoded(submission(student, assignment))
    first = await spark.post(raw, sign(spark, raw, key))
    again = await spark.post(raw, sign(spark, raw, key))
    assert (is_replay(first), is_replay(again)) == (False, True)
    changed = {"duplicate": True, "xp_awarded": 0, "request_id": again.headers["x-request-id"]}
    assert again.json() == first.json() | changed
    assert await kept(sessions, student.user_id) == ONCE


@under_each_key
async def test_p158_the_same_form_again_stores_nothing(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    settings: Settings,
    *,
    sign: Sign,
    key: str,
) -> None:
    raw, body = described(student, assignment, PICTURE, REPORT)
    first = await spark.post(body, sign(spark, raw, key), media_type=FORM)
    again = await spark.post(body, sign(spark, raw, key), media_type=FORM)
    assert (is_replay(first), is_replay(again)) == (False, True)
    assert again.json()["files"] == first.json()["files"]
    assert len(await object_keys(settings, student.user_id)) == 2


async def test_a_retry_under_standard_webhooks_has_a_time_of_its_own(
    spark: Spark, student: SignedIn, assignment: Assignment, key: str
) -> None:
    raw = encoded(submission(student, assignment))
    times = [datetime.now(tz=UTC) - timedelta(seconds=age) for age in (250, 100, 0)]
    answers = [await spark.post(raw, spark.sign_v1(raw, webhook_id=key, at=at)) for at in times]
    assert [is_replay(answer) for answer in answers] == [False, True, True]


@under_own_key
async def test_a_message_signed_anew_under_its_key_is_a_replay(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    sign: Sign,
    key: str,
) -> None:
    payload = submission(student, assignment)
    for raw, expected in ((encoded(payload), False), (encoded(later(payload)), True)):
        assert is_replay(await spark.post(raw, sign(spark, raw, key))) == expected
    assert await kept(sessions, student.user_id) == ONCE


@pytest.mark.parametrize("is_listed", [True, False], ids=["digests-signed", "files-read"])
async def test_a_form_signed_anew_under_its_key_is_a_replay(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    settings: Settings,
    *,
    is_listed: bool,
    key: str,
) -> None:
    payload = submission(student, assignment, files=declared(PICTURE) if is_listed else ...)
    for signed, expected in ((payload, False), (later(payload), True)):
        raw = encoded(signed)
        headers = OWN_KEYS["Idempotency-Key"](spark, raw, key)
        body = form(Part("metadata", raw), PICTURE)
        assert is_replay(await spark.post(body, headers, media_type=FORM)) == expected
    assert len(await object_keys(settings, student.user_id)) == 1


async def test_the_signed_bytes_are_known_under_another_key_too(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    """R1: a header key never overrides the digest of the signed bytes."""
    raw = encoded(submission(student, assignment))
    answers = [
        await spark.post(raw, sign(spark, raw, uuid4().hex))
        for sign in (*KEYS.values(), *KEYS.values())
    ]
    assert [is_replay(answer) for answer in answers] == [False] + [True] * 5


@under_each_key
async def test_an_answered_message_is_a_replay_long_after_its_lease(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    sign: Sign,
    key: str,
) -> None:
    raw = encoded(submission(student, assignment))
    first = await spark.post(raw, sign(spark, raw, key))
    async with sessions() as session, session.begin():
        answered = update(IdempotencyKey).where(IdempotencyKey.user_id == UUID(student.user_id))
        past = await session.execute(answered.values(lease_until=datetime(2026, 1, 1, tzinfo=UTC)))
    assert past.rowcount == (1 if sign is KEYS["digest"] else 2)
    again = await spark.post(raw, sign(spark, raw, key))
    assert (is_replay(first), is_replay(again)) == (False, True)


async def test_the_answer_of_the_signed_bytes_goes_before_that_of_the_key(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    """R1: both are known, each with an answer of its own."""
    raws = [encoded(submission(student, assignment)) for _ in range(2)]
    sign = OWN_KEYS["Idempotency-Key"]
    keys = [uuid4().hex for _ in raws]
    answers = [
        await spark.post(raw, sign(spark, raw, key)) for raw, key in zip(raws, keys, strict=True)
    ]
    crossed = [
        await spark.post(raw, sign(spark, raw, key))
        for raw, key in zip(raws, reversed(keys), strict=True)
    ]
    assert all(map(is_replay, crossed))
    told = [[answer.json()["submission_id"] for answer in each] for each in (answers, crossed)]
    assert told[0] == told[1]


async def test_beside_a_webhook_id_an_idempotency_key_counts_for_nothing(
    spark: Spark, student: SignedIn, assignment: Assignment, key: str
) -> None:
    payloads = [submission(student, assignment) for _ in range(2)]
    for webhook_id, payload in enumerate(payloads):
        for raw, expected in ((encoded(payload), False), (encoded(later(payload)), True)):
            headers = spark.sign_v1(raw, webhook_id=f"{key} {webhook_id}")
            answer = await spark.post(raw, headers | {"Idempotency-Key": key})
            assert is_replay(answer) == expected


@pytest.mark.parametrize("seconds", [-301, -300, 300, 301])
async def test_a_late_message_is_taken_that_was_begun_within_five_minutes_of_its_time(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, seconds: int
) -> None:
    """D8: a delivery that was killed left nothing in the inbox, but its claim."""
    said_at = datetime.now(tz=UTC) - timedelta(hours=1)
    raw = encoded(submission(student, assignment, submitted_at=said_at.isoformat()))
    async with sessions() as session, session.begin():
        left = {
            "key": hashlib.sha256(raw).digest(),
            "owner": uuid4(),
            "lease_until": said_at,
            "created_at": said_at + timedelta(seconds=seconds),
        }
        await session.execute(insert(IdempotencyKey).values(left))
    answer = await spark.post(raw, KEYS["digest"](spark, raw, ""))
    if abs(seconds) > 300:
        assert_problem(answer, 400, "timestamp_too_old")
    else:
        assert not is_replay(answer)


# ---------------------------------------------------------------------------- other content


@under_own_key
async def test_p161_other_content_under_a_used_key_is_refused_and_changes_nothing(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    sign: Sign,
    key: str,
) -> None:
    raw, other = (encoded(submission(student, assignment)) for _ in range(2))
    first = await spark.post(raw, sign(spark, raw, key))
    refused = await spark.post(other, sign(spark, other, key))
    assert_problem(refused, 422, "idempotency_conflict")
    again = await spark.post(raw, sign(spark, raw, key))
    assert again.json()["submission_id"] == first.json()["submission_id"]
    assert await kept(sessions, student.user_id) == ONCE
    revised = await spark.post(other, sign(spark, other, f"{key}2"))
    assert (is_replay(revised), revised.json()["revision"]) == (False, 2)


OTHER_FILES = {"other": (REPORT,), "more": (PICTURE, REPORT), "none": ()}


@under_own_key
@pytest.mark.parametrize("files", OTHER_FILES.values(), ids=OTHER_FILES)
async def test_p161_other_files_under_a_used_key_are_refused(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    settings: Settings,
    *,
    files: tuple[Part, ...],
    sign: Sign,
    key: str,
) -> None:
    raw, body = described(student, assignment, PICTURE, submission_text="Rain.")
    await spark.post(body, sign(spark, raw, key), media_type=FORM)
    keys = await object_keys(settings, student.user_id)
    raw, body = described(student, assignment, *files, submission_text="Rain.")
    refused = await spark.post(body, sign(spark, raw, key), media_type=FORM)
    assert_problem(refused, 422, "idempotency_conflict")
    assert await object_keys(settings, student.user_id) == keys


@under_own_key
async def test_a_key_of_another_student_is_refused(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    sign: Sign,
    key: str,
) -> None:
    classmate = await spark.sign_in()
    raw, other = (
        encoded(submission(one, assignment, submission_text="Rain."))
        for one in (student, classmate)
    )
    await spark.post(raw, sign(spark, raw, key))
    refused = await spark.post(other, sign(spark, other, key))
    assert_problem(refused, 422, "idempotency_conflict")
    assert student.user_id not in refused.text
    assert await kept(sessions, classmate.user_id) == NOTHING


async def test_the_two_kinds_of_keys_do_not_meet(
    spark: Spark, student: SignedIn, assignment: Assignment, key: str
) -> None:
    for sign in OWN_KEYS.values():
        raw = encoded(submission(student, assignment))
        assert not is_replay(await spark.post(raw, sign(spark, raw, key)))


NO_KEYS = {
    "empty": [b""],
    "256-characters": [b"k" * 256],
    "not-ascii": [b"caf\xc3\xa9"],
    "tab": [b"a\tb"],
    "twice": [b"one", b"two"],
    "twice-the-same": [b"one", b"one"],
}


@pytest.mark.parametrize("values", NO_KEYS.values(), ids=NO_KEYS)
async def test_an_invalid_key_is_refused(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    values: list[bytes],
) -> None:
    raw = encoded(submission(student, assignment))
    headers = [
        (b"Content-Type", b"application/json"),
        (b"X-Spark-Signature", spark.sign(raw).encode()),
        *((b"Idempotency-Key", value) for value in values),
    ]
    answer = await spark.browser.post(SUBMISSION, content=raw, headers=headers)
    problem = assert_problem(answer, 400, "field_invalid")
    assert problem["error"] == "Invalid field: Idempotency-Key"
    assert await kept(sessions, student.user_id) == NOTHING


async def test_a_key_may_have_255_characters(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = encoded(submission(student, assignment))
    longest = secrets.token_hex(8).ljust(255, "~")
    for expected in (False, True):
        headers = OWN_KEYS["Idempotency-Key"](spark, raw, longest)
        assert is_replay(await spark.post(raw, headers)) == expected


# ---------------------------------------------------------------------------- failed before


@under_each_key
@pytest.mark.parametrize("as_form", [False, True], ids=["json", "form"])
async def test_p164_a_key_whose_first_attempt_failed_succeeds_once_the_cause_is_gone(
    spark: Spark,
    assignment: Assignment,
    sessions: Sessions,
    *,
    as_form: bool,
    sign: Sign,
    key: str,
) -> None:
    unknown = SignedIn(f"late_{uuid4().hex}", str(uuid4()), "", "")
    files = (PICTURE,) if as_form else ()
    raw, body = described(unknown, assignment, *files)
    content, media_type = (body, FORM) if as_form else (raw, "application/json")
    refused = await spark.post(content, sign(spark, raw, key), media_type=media_type)
    assert_problem(refused, 404, "user_not_found")
    student = await spark.sign_in(sub=unknown.spark_user_id)
    answer = await spark.post(content, sign(spark, raw, key), media_type=media_type)
    assert not is_replay(answer)
    assert await kept(sessions, student.user_id) == ONCE


@under_own_key
async def test_a_key_whose_message_was_refused_may_bring_a_better_one(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    sign: Sign,
    key: str,
) -> None:
    raw, body = described(student, assignment, PAGE)
    refused = await spark.post(body, sign(spark, raw, key), media_type=FORM)
    assert_problem(refused, 400, "file_type_not_allowed")
    assert not await is_claimed(sessions, raw)  # or the next one would wait for its lease
    raw, body = described(student, assignment, PICTURE)
    assert not is_replay(await spark.post(body, sign(spark, raw, key), media_type=FORM))


@under_each_key
async def test_p164_p179_after_a_failure_of_the_store_the_same_key_succeeds(
    spark: Spark,
    settings: Settings,
    unused_tcp_port: int,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    sign: Sign,
    key: str,
) -> None:
    raw, body = described(student, assignment, PICTURE)
    nowhere = f"http://127.0.0.1:{unused_tcp_port}"
    async with run_elsewhere(settings, s3_endpoint_url=nowhere) as elsewhere:
        headers = sign(spark, raw, key)
        refused = await elsewhere.spark.post(body, headers, media_type=FORM)
    assert_problem(refused, 503, "storage_unavailable")
    assert not is_replay(await spark.post(body, sign(spark, raw, key), media_type=FORM))
    assert await kept(sessions, student.user_id) == ONCE


@under_own_key
async def test_p166_a_client_that_left_gets_the_answer_under_its_key(
    spark: Spark,
    server: Running,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    sign: Sign,
    key: str,
) -> None:
    payload = submission(student, assignment)
    raw = encoded(payload)
    async with connect(server) as wire:
        await send_head(wire, sign(spark, raw, key), len(raw), "application/json")
        await wire.send(raw)

    async def is_recorded() -> bool:
        return await kept(sessions, student.user_id) == ONCE

    await eventually(is_recorded)
    again = encoded(later(payload))
    assert is_replay(await spark.post(again, sign(spark, again, key)))


async def send_head(wire: Wire, headers: dict[str, str], length: int, media_type: str) -> None:
    await wire.send_head(
        f"Content-Type: {media_type}",
        f"Content-Length: {length}",
        *(f"{name}: {value}" for name, value in headers.items()),
    )


# ---------------------------------------------------------------------------- at once


@under_each_key
async def test_p159_twenty_identical_messages_at_once_do_everything_once(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    sign: Sign,
    key: str,
) -> None:
    raw = encoded(submission(student, assignment))
    answers = await asyncio.gather(*(spark.post(raw, sign(spark, raw, key)) for _ in range(20)))
    assert sorted(is_replay(answer) for answer in answers) == [False] + [True] * 19
    assert sorted(answer.json()["xp_awarded"] for answer in answers) == [0] * 19 + [100]
    assert await kept(sessions, student.user_id) == ONCE
    assert await total_xp(sessions, student.user_id) == 100


@under_own_key
async def test_p159_twenty_signatures_of_one_content_under_one_key_do_everything_once(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    sign: Sign,
    key: str,
) -> None:
    payload = submission(student, assignment)
    raws = [encoded(later(payload, seconds)) for seconds in range(20)]
    answers = await asyncio.gather(*(spark.post(raw, sign(spark, raw, key)) for raw in raws))
    assert sorted(is_replay(answer) for answer in answers) == [False] + [True] * 19
    assert await kept(sessions, student.user_id) == ONCE


@under_own_key
async def test_of_twenty_contents_at_once_under_one_key_one_is_taken(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    sign: Sign,
    key: str,
) -> None:
    raws = [encoded(submission(student, assignment)) for _ in range(20)]
    answers = await asyncio.gather(*(spark.post(raw, sign(spark, raw, key)) for raw in raws))
    assert sorted(answer.status_code for answer in answers) == [200] + [422] * 19
    assert await kept(sessions, student.user_id) == ONCE


@asynccontextmanager
async def two_processes(settings: Settings) -> AsyncIterator[list[Spark]]:
    """A Spark at each; the slots are for all of the storm."""
    assert settings.spark_sso_secret
    assert settings.spark_webhook_secret
    both = (settings.spark_sso_secret, settings.spark_webhook_secret)
    async with (
        serve_elsewhere(settings) as one,
        serve_elsewhere(settings) as other,
        httpx.AsyncClient(base_url=one, timeout=120, trust_env=False) as first,
        httpx.AsyncClient(base_url=other, timeout=120, trust_env=False) as second,
    ):
        yield [Spark(first, *both), Spark(second, *both)]


# The bytes a storm sends.
STORMS = {"Idempotency-Key": 10 * MEBIBYTE}
if "SOAK" in os.environ:
    STORMS |= {"digest": 10 * MEBIBYTE, "webhook-id": 7 * MEBIBYTE}


@pytest.mark.soak
async def test_p160_twenty_identical_large_forms_at_two_processes_leave_one_object(
    settings: Settings, spark: Spark, assignment: Assignment, sessions: Sessions
) -> None:
    """Under each kind of key, one after the other, because two processes take long to start."""
    async with two_processes(settings) as both:
        for name, size in STORMS.items():
            student, key, sign = await spark.sign_in(), uuid4().hex, KEYS[name]
            large = Part("f", secrets.token_hex(size // 2).encode(), filename="notes.txt")
            files = declared(large) if name == "webhook-id" else ...
            raw = encoded(submission(student, assignment, files=files))
            body = form(Part("metadata", raw), large)
            answers = await asyncio.gather(
                *(
                    asked.post(body, sign(asked, raw, key), media_type=FORM)
                    for asked, _ in zip(cycle(both), range(20), strict=False)
                )
            )
            assert sorted(is_replay(answer) for answer in answers) == [False] + [True] * 19
            assert await kept(sessions, student.user_id) == ONCE
            assert len(await object_keys(settings, student.user_id)) == 1
            await assert_only_committed(settings, sessions, student.user_id)


async def test_p166_a_large_known_form_gets_its_answer_while_it_is_sent(
    spark: Spark, student: SignedIn, assignment: Assignment, key: str
) -> None:
    large = Part("f", b"calm\n" * (8 * MEBIBYTE), filename="notes.txt")
    raw, body = described(student, assignment, large)
    for expected in (False, True):
        answer = await spark.post(body, spark.sign_v1(raw, webhook_id=key), media_type=FORM)
        assert is_replay(answer) == expected


# ---------------------------------------------------------------------------- R2: twins


@asynccontextmanager
async def running_form(
    server: Running, sessions: Sessions, headers: dict[str, str], raw: bytes, body: bytes
) -> AsyncIterator[Callable[[], Any]]:
    """A form that has sent its metadata; what is yielded sends the rest and reads the answer."""
    cut = body.index(raw) + len(raw) + len(BOUNDARY) + 8
    async with connect(server) as wire:
        await send_head(wire, headers, len(body), FORM)
        await wire.send(body[:cut])
        await eventually(lambda: is_claimed(sessions, raw))

        async def finish() -> httpx.Response:
            await wire.send(body[cut:])
            return await wire.read_answer()

        yield finish


async def still_waits(task: "asyncio.Task[httpx.Response]") -> bool:
    """Half a second is more than an answer takes."""
    done, _ = await asyncio.wait([task], timeout=0.5)
    return not done


@under_own_key
async def test_json_waits_for_a_form_under_its_key_and_takes_its_answer(
    server: Running,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    sign: Sign,
    key: str,
) -> None:
    payload = submission(student, assignment)
    raw, again = encoded(payload), encoded(later(payload))
    body = form(Part("metadata", raw), Part("comment", b"no file"))
    async with running_form(server, sessions, sign(spark, raw, key), raw, body) as finish:
        twin = asyncio.create_task(spark.post(again, sign(spark, again, key)))
        assert await still_waits(twin)
        answer = await finish()
    assert (is_replay(answer), is_replay(await twin)) == (False, True)
    assert (await twin).json()["submission_id"] == answer.json()["submission_id"]
    assert await kept(sessions, student.user_id) == ONCE


@under_own_key
async def test_json_that_waited_for_a_form_with_files_is_told_that_it_is_another(
    server: Running,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    sign: Sign,
    key: str,
) -> None:
    raw, body = described(student, assignment, PICTURE, submission_text="Rain.")
    other = encoded(submission(student, assignment, submission_text="Rain."))
    async with running_form(server, sessions, sign(spark, raw, key), raw, body) as finish:
        twin = asyncio.create_task(spark.post(other, sign(spark, other, key)))
        assert await still_waits(twin)
        assert (await finish()).status_code == 200
    assert_problem(await twin, 422, "idempotency_conflict")


@under_own_key
async def test_json_that_waited_for_a_form_that_was_refused_is_taken(
    server: Running,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    sign: Sign,
    key: str,
) -> None:
    raw, body = described(student, assignment, PAGE)
    other = encoded(submission(student, assignment))
    async with running_form(server, sessions, sign(spark, raw, key), raw, body) as finish:
        twin = asyncio.create_task(spark.post(other, sign(spark, other, key)))
        assert await still_waits(twin)
        assert_problem(await finish(), 400, "file_type_not_allowed")
    assert not is_replay(await twin)


@under_own_key
async def test_p165_a_form_whose_sender_fell_silent_gives_way_after_its_lease(
    server: Running,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    sign: Sign,
    key: str,
) -> None:
    payload = submission(student, assignment)
    raw, again = encoded(payload), encoded(later(payload))
    body = form(Part("metadata", raw), Part("comment", b"no file"))
    async with running_form(server, sessions, sign(spark, raw, key), raw, body) as finish:
        twin = asyncio.create_task(spark.post(again, sign(spark, again, key)))
        assert await still_waits(twin)
        await expire_leases(sessions, student.user_id)
        assert not is_replay(await twin)
        late = await finish()
    assert is_replay(late)
    assert late.json()["submission_id"] == (await twin).json()["submission_id"]
    assert await kept(sessions, student.user_id) == ONCE


async def lease_of(sessions: Sessions, key: bytes) -> datetime:
    async with sessions() as session:
        lease = select(IdempotencyKey.lease_until).where(IdempotencyKey.key == key)
        return (await session.execute(lease)).scalar_one()


async def test_a_form_keeps_its_own_claim_while_its_bytes_arrive(
    settings: Settings, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    large = Part("f", b"calm\n" * 20_000, filename="notes.txt")
    raw, body = described(student, assignment, large)
    digest, of_the_dead = hashlib.sha256(raw).digest(), secrets.token_bytes(32)
    ended = datetime(2026, 1, 1, tzinfo=UTC)
    async with sessions() as session, session.begin():
        left = {"key": of_the_dead, "owner": uuid4(), "lease_until": ended}
        await session.execute(insert(IdempotencyKey).values(left))
    pieces = iter(cut(body, 200))
    async with (
        run_elsewhere(settings, delivery_lease_seconds=1) as elsewhere,
        connect(elsewhere.running) as wire,
    ):
        await send_head(wire, KEYS["digest"](elsewhere.spark, raw, ""), len(body), FORM)
        for _ in range(10):
            await wire.send(next(pieces))
        await eventually(lambda: is_claimed(sessions, raw))
        claimed_until = await lease_of(sessions, digest)

        async def is_renewed() -> bool:
            await wire.send(next(pieces))
            return await lease_of(sessions, digest) > claimed_until

        await eventually(is_renewed)
    assert await lease_of(sessions, of_the_dead) == ended


@under_own_key
async def test_a_form_that_lost_its_key_does_not_give_it_up_for_the_one_who_has_it(
    server: Running,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    sign: Sign,
    key: str,
) -> None:
    raw, body = described(student, assignment, PAGE)
    payload = submission(student, assignment)
    second, third = encoded(payload), encoded(later(payload))
    whole = form(Part("metadata", second), Part("comment", b"no file"))
    async with running_form(server, sessions, sign(spark, raw, key), raw, body) as refused:
        await expire_leases(sessions, student.user_id)
        headers = sign(spark, second, key)
        async with running_form(server, sessions, headers, second, whole) as finish:
            assert_problem(await refused(), 400, "file_type_not_allowed")
            twin = asyncio.create_task(spark.post(third, sign(spark, third, key)))
            assert await still_waits(twin)
            answer = await finish()
    assert (is_replay(answer), is_replay(await twin)) == (False, True)


if "SOAK" in os.environ:  # a request waits for its twin for 25 s

    async def test_p165_who_waited_in_vain_gets_409_with_a_key_and_503_without(
        spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
    ) -> None:
        raws = {name: encoded(submission(student, assignment)) for name in KEYS}
        async with sessions() as session, session.begin():
            for raw in raws.values():
                await session.execute(
                    insert(IdempotencyKey).values(
                        key=hashlib.sha256(raw).digest(),
                        owner=uuid4(),
                        lease_until=datetime.now(tz=UTC) + timedelta(minutes=2),
                    )
                )
        answers = await asyncio.gather(
            *(spark.post(raws[name], sign(spark, raws[name], name)) for name, sign in KEYS.items())
        )
        for name, answer in zip(KEYS, answers, strict=True):
            assert_problem(answer, 503 if name == "digest" else 409, "request_in_progress")
            assert int(answer.headers["retry-after"]) > 0
        assert await kept(sessions, student.user_id) == NOTHING
