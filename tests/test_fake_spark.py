"""What the fake Spark must do for the tests of grades, receipts and downloads to mean anything."""

import asyncio
import json
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from tests.support.broken_answers import content
from tests.support.fake_spark import (
    DROPPED,
    DROPPED_UNSTORED,
    HALF,
    HANGS,
    HANGS_UNREAD,
    HUGE,
    TO_ITSELF,
    FakeSpark,
    run_fake_spark,
    slow,
)
from tests.support.patience import patient

KEY, SECRET = (secrets.token_hex(32) for _ in range(2))
AT = datetime(2026, 11, 29, 14, 30, tzinfo=UTC)
STUDENT = ("student_1", "c1", "a1")


@pytest.fixture(scope="module")
async def fake_spark() -> AsyncIterator[FakeSpark]:
    async with run_fake_spark(KEY, SECRET) as running:
        yield running


@pytest.fixture
async def fake(fake_spark: FakeSpark) -> FakeSpark:
    await fake_spark.forget()
    return fake_spark


def grade(score: float | None = 90, *, seconds: int = 0, version: int = 1) -> dict[str, Any]:
    body = {
        "spark_user_id": STUDENT[0],
        "spark_course_id": STUDENT[1],
        "spark_assignment_id": STUDENT[2],
        "scored_at": (AT + timedelta(seconds=seconds)).isoformat(),
        "version": version,
        "grading_progress": "PendingManual" if score is None else "FullyGraded",
    }
    return body if score is None else body | {"score": score, "max_score": 100}


async def send(
    fake: FakeSpark,
    body: dict[str, Any],
    *,
    path: str = "/grades",
    change: Callable[[dict[str, str]], object] = len,
) -> httpx.Response:
    raw = json.dumps(body).encode()
    name = f"grade_1.{body.get('version', 1)}"
    now = datetime.now(UTC)
    headers = {
        "Authorization": f"Bearer {KEY}",
        "Idempotency-Key": name,
        "webhook-id": name,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET.encode()).sign(name, now, raw.decode()),
    }
    change(headers)
    async with httpx.AsyncClient(base_url=fake.url, timeout=patient(5), trust_env=False) as client:
        return await client.post(path, content=raw, headers=headers)


async def test_a_message_is_kept_as_it_was_sent_and_takes_effect_once(fake: FakeSpark) -> None:
    for _ in range(3):
        assert (await send(fake, grade())).status_code == 200
    assert await fake.gradebook() == {STUDENT: grade()}
    assert await fake.effects() == [grade()]
    kept = await fake.requests("/grades")
    assert [json.loads(each["body"]) for each in kept] == [grade()] * 3
    assert kept[0]["headers"]["idempotency-key"] == ["grade_1.1"]


async def test_one_key_with_two_bodies_is_refused(fake: FakeSpark) -> None:
    await send(fake, grade(90))
    assert (await send(fake, grade(80))).status_code == 422
    assert (await fake.gradebook())[STUDENT]["score"] == 90


async def test_the_newest_score_stays_whatever_comes_last(fake: FakeSpark) -> None:
    await send(fake, grade(90, seconds=1, version=2))
    late = await send(fake, grade(50, seconds=0, version=1))
    assert (late.status_code, late.json()["code"]) == (409, "newer_score")
    assert (await fake.gradebook())[STUDENT]["score"] == 90


async def test_progress_without_a_score_changes_no_gradebook(fake: FakeSpark) -> None:
    assert (await send(fake, grade(None))).status_code == 200
    assert await fake.gradebook() == {}
    assert await fake.effects() == [grade(None)]


async def test_a_receipt_is_kept_once(fake: FakeSpark) -> None:
    receipt = {
        "submission_id": "s1",
        "spark_user_id": STUDENT[0],
        "spark_assignment_id": STUDENT[2],
        "state": "recorded",
    }
    for _ in range(2):
        assert (await send(fake, receipt, path="/receipts")).status_code == 200
    assert await fake.receipts() == [receipt]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda headers: headers.update(Authorization="Bearer other"), id="the key"),
        pytest.param(lambda headers: headers.pop("Authorization"), id="no key"),
        pytest.param(lambda headers: headers.pop("webhook-signature"), id="no signature"),
        pytest.param(lambda headers: headers.update({"webhook-id": "other"}), id="another id"),
        pytest.param(
            lambda headers: headers.update({"webhook-timestamp": "1700000000"}), id="an old time"
        ),
        pytest.param(
            lambda headers: headers.update({"webhook-signature": "nonsense"}), id="nonsense"
        ),
    ],
)
async def test_what_is_not_authentic_changes_nothing(
    fake: FakeSpark, change: Callable[[dict[str, str]], object]
) -> None:
    assert (await send(fake, grade(), change=change)).status_code == 401
    assert await fake.effects() == []


async def test_one_right_signature_among_several_suffices(fake: FakeSpark) -> None:
    def rotate(headers: dict[str, str]) -> None:
        headers["webhook-signature"] = f"v1,AAAA {headers['webhook-signature']}"

    assert (await send(fake, grade(), change=rotate)).status_code == 200


async def test_an_unknown_student_and_a_missing_member_are_refused(fake: FakeSpark) -> None:
    await fake.change(unknown_students=[STUDENT[0]])
    assert (await send(fake, grade())).status_code == 404
    await fake.change(unknown_students=[])
    assert (await send(fake, grade(version=2) | {"max_score": None})).status_code == 400
    assert await fake.effects() == []


async def test_too_many_a_minute_are_told_when_to_come_again(fake: FakeSpark) -> None:
    await fake.change(per_minute=2)
    answers = [await send(fake, grade(version=version)) for version in (1, 2, 3)]
    await fake.change(per_minute=100)
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 50 < int(answers[2].headers["retry-after"]) <= 61


async def test_the_ping_is_signed_over_nothing(fake: FakeSpark) -> None:
    now = datetime.now(UTC)
    headers = {
        "Authorization": f"Bearer {KEY}",
        "webhook-id": "ping",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET.encode()).sign("ping", now, ""),
    }
    assert (await fake.client.get("/ping", headers=headers)).status_code == 200
    headers["Authorization"] = "Bearer other"
    assert (await fake.client.get("/ping", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    ("fault", "stored"),
    [
        pytest.param(DROPPED, True, id="dropped after storing"),
        pytest.param(DROPPED_UNSTORED, False, id="dropped before storing"),
        pytest.param(HALF, True, id="half an answer"),
    ],
)
async def test_a_broken_answer_is_broken_once_and_a_repeat_changes_nothing(
    fake: FakeSpark, fault: dict[str, Any], *, stored: bool
) -> None:
    await fake.script("/grades", fault)
    with pytest.raises(httpx.TransportError):
        await send(fake, grade())
    assert bool(await fake.effects()) is stored
    assert (await send(fake, grade())).status_code == 200
    assert await fake.effects() == [grade()]


@pytest.mark.parametrize("fault", [HANGS, HANGS_UNREAD, slow(3600)], ids=lambda each: each["act"])
async def test_a_server_that_hangs_answers_others(fake: FakeSpark, fault: dict[str, Any]) -> None:
    await fake.script("/grades", fault)
    hanging = asyncio.create_task(send(fake, grade()))
    while not (kept := await fake.requests("/grades")):
        pass
    assert (await send(fake, grade(version=2))).status_code == 200
    assert not hanging.done()
    hanging.cancel()
    if fault is HANGS_UNREAD:
        assert kept[0]["body"] is None


async def test_faults_are_played_in_their_order(fake: FakeSpark) -> None:
    busy = {"status": 503, "headers": {"Retry-After": "7"}, "body": "busy"}
    await fake.script("/grades", busy, HUGE, TO_ITSELF)
    first, second, third = [await send(fake, grade()) for _ in range(3)]
    assert (first.status_code, first.headers["retry-after"], first.text) == (503, "7", "busy")
    assert len(second.content) == 10_000_000
    assert (third.status_code, third.headers["location"]) == (302, "/grades")


@pytest.fixture
async def reader(fake: FakeSpark) -> AsyncIterator[httpx.AsyncClient]:
    trusted = ssl.create_default_context(cafile=str(fake.ca_file))
    async with httpx.AsyncClient(verify=trusted, timeout=patient(5), trust_env=False) as client:
        yield client


async def test_files_come_by_tls_under_a_certificate_for_one_name(
    fake: FakeSpark, reader: httpx.AsyncClient
) -> None:
    address = await fake.serve_file("rain.txt", b"four of seven days")
    assert (await reader.get(address)).content == b"four of seven days"
    assert (await reader.get(f"{fake.files_url}/files/ok/100000")).content == content(100_000)
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        await reader.get(address.replace("localhost", "127.0.0.1"))


@pytest.mark.parametrize("case", ["cut", "cut-chunk", "too-big", "headers"])
async def test_files_are_served_as_badly_as_they_are_asked_for(
    fake: FakeSpark, reader: httpx.AsyncClient, case: str
) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await reader.get(f"{fake.files_url}/files/{case}/100000")
