"""The sender asks what became of its own messages, has one processed again, and tries its key."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select

from app.database import Sessions
from app.models import AuditEntry
from app.settings import Settings
from tests.support.canaries import CANARIES
from tests.support.courses import course, synced
from tests.support.elsewhere import run_elsewhere
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, SignedIn, Spark, minutes_ago, submission

WINDOW = "/spark/webhook/deliveries"
REPLAY, PING = f"{WINDOW}/replay", "/spark/webhook/ping"
PATHS = (WINDOW, REPLAY, PING)
Sign = Callable[[Spark, bytes], dict[str, str]]


def v0(spark: Spark, raw: bytes) -> dict[str, str]:
    return {"X-Spark-Signature": spark.sign(raw)}


def v1(spark: Spark, raw: bytes) -> dict[str, str]:
    return spark.sign_v1(raw)


def now() -> str:
    return datetime.now(tz=UTC).isoformat()


async def ask(
    spark: Spark, path: str, said: dict[str, Any], sign: Sign = v1, **query: str
) -> httpx.Response:
    raw = json.dumps(said).encode()
    headers = {"Content-Type": "application/json"} | sign(spark, raw)
    return await spark.browser.post(path, content=raw, headers=headers, params=query)


async def items(spark: Spark, **said: Any) -> list[dict[str, Any]]:
    answer = await ask(spark, WINDOW, said)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


@pytest.mark.parametrize("sign", [v0, v1])
async def test_spark_sees_what_became_of_its_homework(
    spark: Spark, student: SignedIn, assignment: Assignment, sign: Sign
) -> None:
    payload = submission(student, assignment)
    raw, webhook_id = json.dumps(payload).encode(), f"msg_{student.spark_user_id}"
    handed_in = await spark.post(raw, spark.sign_v1(raw, webhook_id=webhook_id))
    whose = {"spark_user_id": student.spark_user_id}
    said = whose | {"spark_assignment_id": assignment.spark_assignment_id, "sent_at": now()}
    answer = await ask(spark, WINDOW, said, sign)
    assert answer.status_code == 200, answer.text
    [found] = answer.json()["items"]
    assert found["completion_id"] == handed_in.json()["completion_id"]
    assert (found["revision"], found["http_status"], found["code"]) == (1, 200, None)
    assert found["request_id"] == handed_in.json()["request_id"]
    assert found["webhook_id"] == webhook_id
    assert answer.json()["next_cursor"] is None
    assert "link" not in answer.headers  # it would lead to a GET
    for secret in (payload["submission_text"], "@", "given_name", student.user_id):
        assert secret not in answer.text


async def test_what_was_refused_is_explained_and_replayed(
    spark: Spark, student: SignedIn, sessions: Sessions
) -> None:
    rain = f"rain_{student.spark_user_id}"
    later = course(rain)
    payload = {
        "spark_user_id": student.spark_user_id,
        "spark_assignment_id": rain,
        "spark_course_id": later["spark_course_id"],
        "submission_text": "It rained.",
        "submitted_at": now(),
    }
    assert_problem(await spark.submit(payload), 400, "assignment_not_found")
    about = {"spark_user_id": student.spark_user_id, "spark_assignment_id": rain}
    [refused] = await items(spark, **about)
    assert (refused["http_status"], refused["code"]) == (400, "assignment_not_found")
    assert "Sync the course" in refused["hint"]
    assert (refused["replayable"], refused["waiting_for"]) == (True, "course")
    assert refused["completion_id"] is None
    again = {"delivery_id": refused["id"]}
    assert (await ask(spark, REPLAY, again, dry_run="true")).json()["would"] == "refuse"
    await synced(spark, later)
    assert (await ask(spark, REPLAY, again, dry_run="true")).json()["would"] == "create"
    replayed = await ask(spark, REPLAY, again)
    assert replayed.status_code == 200, replayed.text
    [taken] = await items(spark, **about)
    assert taken["completion_id"] == replayed.json()["completion_id"]
    assert taken["replayed_at"]
    assert (await ask(spark, REPLAY, again)).json()["duplicate"] is True
    async with sessions() as session, session.begin():
        audited = select(AuditEntry.action).where(
            AuditEntry.caller == "spark", AuditEntry.detail["delivery_id"].astext == refused["id"]
        )
        assert set(await session.scalars(audited)) == {"sensitive_read", "sensitive_update"}


async def test_what_an_operator_could_not_replay_spark_cannot(spark: Spark) -> None:
    await synced(spark, course("rain"))
    [sent, *_] = await items(spark)
    assert (sent["route"], sent["replayable"]) == ("/spark/webhook/course", False)
    for query in ({}, {"dry_run": "true"}):
        answer = await ask(spark, REPLAY, {"delivery_id": sent["id"]}, v1, **query)
        assert_problem(answer, 409, "not_replayable")
        nowhere = await ask(spark, REPLAY, {"delivery_id": str(uuid4())}, v1, **query)
        assert_problem(nowhere, 404, "not_found")


async def test_a_list_is_read_in_pages(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    ids = []
    for number in range(3):
        raw = json.dumps(submission(student, assignment)).encode()
        ids.append(f"msg_{number}_{student.spark_user_id}")
        assert (await spark.post(raw, spark.sign_v1(raw, webhook_id=ids[-1]))).status_code == 200
    said: dict[str, Any] = {"webhook_ids": [*ids, "msg_unknown"], "limit": 2}
    first = (await ask(spark, WINDOW, said)).json()
    assert [each["webhook_id"] for each in first["items"]] == [ids[2], ids[1]]
    second = (await ask(spark, WINDOW, said | {"cursor": first["next_cursor"]})).json()
    assert [each["webhook_id"] for each in second["items"]] == [ids[0]]
    assert second["next_cursor"] is None
    assert [each["revision"] for each in (*first["items"], *second["items"])] == [3, 2, 1]
    ahead = (datetime.now(tz=UTC) + timedelta(days=1)).isoformat()
    assert await items(spark, webhook_ids=ids, received_from=ahead) == []
    other = await ask(spark, WINDOW, said | {"cursor": "0" * 48})
    assert_problem(other, 400, "field_invalid")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"spark_user": "42"}, "field_invalid"),
        ({"webhook_ids": []}, "field_invalid"),
        ({"webhook_ids": ["x"] * 101}, "field_invalid"),
        ({"limit": 201}, "field_invalid"),
        ({"received_from": "yesterday"}, "field_invalid"),
        ({"sent_at": "2020-01-01T00:00:00Z"}, "timestamp_too_old"),
    ],
)
async def test_a_wrong_question_is_refused(spark: Spark, said: dict[str, Any], code: str) -> None:
    assert_problem(await ask(spark, WINDOW, said), 400, code)


@pytest.mark.parametrize("path", PATHS)
async def test_only_the_sender_is_answered(spark: Spark, path: str) -> None:
    said = {"delivery_id": str(uuid4()), "sent_at": now()}
    none = await spark.browser.post(path, json=said)
    assert_problem(none, 401, "signature_missing")
    wrong = await ask(spark, path, said, lambda *_: {"X-Spark-Signature": "0" * 64})
    assert "received" in assert_problem(wrong, 401, "signature_invalid")
    old = datetime.now(tz=UTC) - timedelta(minutes=6)
    late = await ask(spark, path, said, lambda spark, raw: spark.sign_v1(raw, at=old))
    assert_problem(late, 400, "timestamp_too_old")
    form = await spark.browser.post(path, data=said)
    assert_problem(form, 415, "media_type_unsupported")


@pytest.mark.parametrize("path", [WINDOW, REPLAY])
async def test_a_question_without_a_time_cannot_be_asked_for_ever(spark: Spark, path: str) -> None:
    said = {"delivery_id": str(uuid4())} if path == REPLAY else {}
    assert_problem(await ask(spark, path, said, v0), 400, "field_missing")
    stale = await ask(spark, path, said | {"sent_at": minutes_ago(6)}, v0)
    assert_problem(stale, 400, "timestamp_too_old")


@pytest.mark.parametrize("path", PATHS)
async def test_who_guesses_is_slowed_down(settings: Settings, path: str) -> None:
    async with run_elsewhere(settings, rate_limit_webhook_failures=2) as elsewhere:
        browser = elsewhere.spark.browser
        answers = [await browser.post(path, json={}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]


async def test_questions_count_as_messages(settings: Settings) -> None:
    async with run_elsewhere(settings, rate_limit_webhook=2) as elsewhere:
        answers = [await ask(elsewhere.spark, path, {}) for path in (PING, WINDOW, PING)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]


@pytest.mark.parametrize("sign", [v0, v1])
@pytest.mark.parametrize("key", ["current", "previous"])
async def test_a_ping_tells_which_key_signs(settings: Settings, sign: Sign, key: str) -> None:
    old, new = settings.spark_webhook_secret, SecretStr("another-secret-of-the-webhooks-0001")
    CANARIES.release(new.get_secret_value())
    changes: dict[str, Any] = {}
    if key == "previous":
        changes = {"spark_webhook_secret": new, "spark_webhook_secret_previous": old}
    async with run_elsewhere(settings, **changes) as elsewhere:
        said = {"sent_at": minutes_ago(2), "anything": [1]}
        answer = await ask(elsewhere.spark, PING, said, sign)
        assert answer.status_code == 200, answer.text
        assert (await items(elsewhere.spark)) is not None
    told = answer.json()
    assert (told["scheme"], told["key"]) == (sign.__name__, key)
    raw = json.dumps(said).encode()
    assert (told["bytes"], told["sha256"]) == (len(raw), sha256(raw).hexdigest())
    assert told["clock_skew_seconds"] in (range(120, 180) if sign is v0 else range(60))
