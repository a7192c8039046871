"""A dry run tells everything that handing in would, and leaves nothing anywhere (DESIGN R7)."""

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import update

from app.database import Sessions
from app.models import InboxDelivery
from app.settings import Settings
from tests.support.bodies import Part, form
from tests.support.elsewhere import run_elsewhere
from tests.support.problems import assert_problem
from tests.support.samples import pdf, png
from tests.support.spark import FORM, Assignment, SignedIn, Spark, declared, encoded, submission
from tests.support.stored import ONCE, count_everything, kept, object_keys

PICTURE = Part("file1", png(), filename="gauge.png", content_type="image/png")
REPORT = Part("file2", pdf(), filename="report.pdf", content_type="application/pdf")
PAGE = Part("page", b"<html><body>hello", filename="page.html", content_type="text/html")
BINARY = Part("b", b"calm\n" * 4000 + b"\0", filename="late.txt", content_type="text/plain")


async def rehearse(
    spark: Spark, payload: dict[str, Any] | bytes, *files: Part, metadata_last: bool = False
) -> httpx.Response:
    """A form if there are files, else JSON."""
    raw = payload if isinstance(payload, bytes) else encoded(payload)
    headers = {"X-Spark-Signature": spark.sign(raw)}
    if not files:
        return await spark.post(raw, headers, dry_run="true")
    metadata = Part("metadata", raw)
    body = form(*files, metadata) if metadata_last else form(metadata, *files)
    return await spark.post(body, headers, media_type=FORM, dry_run="true")


def foreseen(answer: httpx.Response) -> tuple[str, list[tuple[str, str | None]]]:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["status"] == "dry_run"
    assert body["request_id"] == answer.headers["x-request-id"]
    assert "idempotent-replayed" not in answer.headers
    problems = [(problem["code"], problem.get("file")) for problem in body["problems"]]
    assert all(problem["error"] for problem in body["problems"])
    return body["would"], problems


@asynccontextmanager
async def nothing_is_written(
    sessions: Sessions, settings: Settings, student: SignedIn
) -> AsyncIterator[None]:
    async def everything() -> tuple[dict[str, int], list[str]]:
        return await count_everything(sessions), await object_keys(settings, student.user_id)

    before = await everything()
    yield
    assert await everything() == before


async def test_the_answer_has_exactly_the_promised_members(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    good = await rehearse(spark, submission(student, assignment))
    assert good.json().keys() == {"status", "would", "problems", "warnings", "request_id"}
    bad = await rehearse(spark, submission(student, assignment), PAGE)
    [problem] = bad.json()["problems"]
    assert problem.keys() >= {"code", "error", "file"}


@pytest.mark.parametrize("files", [(), (PICTURE, REPORT)], ids=["json", "form"])
@pytest.mark.parametrize("metadata_last", [False, True])
async def test_every_future_is_foreseen_and_nothing_is_written(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    settings: Settings,
    *,
    files: tuple[Part, ...],
    metadata_last: bool,
) -> None:
    first = submission(student, assignment)
    async with nothing_is_written(sessions, settings, student):
        answer = await rehearse(spark, first, *files, metadata_last=metadata_last)
        assert foreseen(answer) == ("create", [])
    await spark.submit_form(first, *files)
    now = datetime.now(tz=UTC).isoformat()
    futures = {
        "duplicate": [first, first | {"submitted_at": now}],
        "revise": [first | {"submission_text": "Other.", "submitted_at": now}],
    }
    async with nothing_is_written(sessions, settings, student):
        for would, payloads in futures.items():
            for payload in payloads:
                answer = await rehearse(spark, payload, *files, metadata_last=metadata_last)
                assert foreseen(answer) == (would, [])
    assert await kept(sessions, student.user_id) == ONCE


async def test_everything_that_is_wrong_is_said_at_once(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, settings: Settings
) -> None:
    payload = submission(
        student,
        assignment,
        spark_user_id="nobody",
        spark_assignment_id="nothing",
        spark_course_id=None,
        submitted_at=(datetime.now(tz=UTC) - timedelta(hours=1)).isoformat(),
    )
    async with nothing_is_written(sessions, settings, student):
        answer = await rehearse(spark, payload, PICTURE, PAGE, REPORT, BINARY)
    would, problems = foreseen(answer)
    assert would == "refuse"
    assert sorted(problems, key=str) == [
        ("assignment_not_found", None),
        ("file_type_not_allowed", "late.txt"),
        ("file_type_not_allowed", "page.html"),
        ("timestamp_too_old", None),
        ("user_not_found", None),
    ]


async def test_every_fault_of_the_message_and_its_files_is_named(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    payload = submission(student, assignment, grade="A", submitted_at=None, spark_user_id="")
    answer = await rehearse(spark, payload, PAGE, metadata_last=True)
    would, problems = foreseen(answer)
    assert (would, sorted(problems, key=str)) == (
        "refuse",
        [
            ("field_invalid", None),
            ("field_missing", None),
            ("file_type_not_allowed", "page.html"),
        ],
    )


Spoil = Callable[[dict[str, Any]], dict[str, Any] | bytes]
PROBLEMS: dict[str, tuple[Spoil, tuple[Part, ...], list[tuple[str, str | None]]]] = {
    "no-json": (lambda _: b"{", (), [("json_invalid", None)]),
    "no-content": (lambda good: good | {"submission_text": " "}, (), [("content_missing", None)]),
    "ahead": (
        lambda good: good | {"submitted_at": "2100-01-01T00:00:00Z"},
        (),
        [("timestamp_in_future", None)],
    ),
    "P147-not-listed": (
        lambda good: good | {"files": declared(PICTURE)},
        (PICTURE, REPORT),
        [("file_not_declared", "report.pdf")],
    ),
    "P146-not-sent": (
        lambda good: good | {"files": declared(PICTURE, REPORT)},
        (PICTURE,),
        [("file_missing", "report.pdf")],
    ),
    "P146-other-digest": (
        lambda good: good | {"files": [declared(PICTURE)[0] | {"sha256": "0" * 64}]},
        (PICTURE,),
        [("file_digest_mismatch", "gauge.png")],
    ),
    "json-with-files": (
        lambda good: good | {"files": declared(PICTURE)},
        (),
        [("file_missing", "gauge.png")],
    ),
    "file-urls": (lambda good: good | {"submission_files": [1]}, (), [("url_not_allowed", None)]),
}


@pytest.mark.parametrize(("spoil", "files", "problems"), PROBLEMS.values(), ids=PROBLEMS)
async def test_what_would_be_refused_is_told_as_it_would_be(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    settings: Settings,
    *,
    spoil: Spoil,
    files: tuple[Part, ...],
    problems: list[tuple[str, str | None]],
) -> None:
    payload = spoil(submission(student, assignment))
    async with nothing_is_written(sessions, settings, student):
        assert foreseen(await rehearse(spark, payload, *files)) == ("refuse", problems)


@pytest.mark.parametrize("kind", ["Idempotency-Key", "webhook-id"])
async def test_a_key_is_not_taken_and_a_conflict_is_foreseen(
    spark: Spark, student: SignedIn, assignment: Assignment, kind: str
) -> None:
    key = uuid4().hex
    first, other = (encoded(submission(student, assignment)) for _ in range(2))

    def signed(raw: bytes) -> dict[str, str]:
        if kind == "webhook-id":
            return spark.sign_v1(raw, webhook_id=key)
        return {"X-Spark-Signature": spark.sign(raw), kind: key}

    assert foreseen(await spark.post(other, signed(other), dry_run="true")) == ("create", [])
    assert (await spark.post(first, signed(first))).status_code == 200
    again = await spark.post(first, signed(first), dry_run="true")
    assert foreseen(again) == ("duplicate", [])
    conflict = await spark.post(other, signed(other), dry_run="true")
    assert foreseen(conflict) == ("refuse", [("idempotency_conflict", None)])


async def test_a_stale_attempt_under_standard_webhooks_is_a_problem_among_others(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = encoded(submission(student, assignment, spark_user_id="nobody"))
    old = datetime.now(tz=UTC) - timedelta(minutes=6)
    answer = await spark.post(raw, spark.sign_v1(raw, at=old), dry_run="true")
    problems = [("timestamp_too_old", None), ("user_not_found", None)]
    assert foreseen(answer) == ("refuse", problems)


async def test_a_stale_message_that_came_in_time_would_be_continued(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    said_at = datetime.now(tz=UTC) - timedelta(minutes=10)
    raw = encoded(submission(student, assignment, submitted_at=said_at.isoformat()))
    assert foreseen(await rehearse(spark, raw)) == ("refuse", [("timestamp_too_old", None)])
    await spark.submit(raw)
    async with sessions() as session, session.begin():
        await session.execute(
            update(InboxDelivery)
            .where(InboxDelivery.digest == hashlib.sha256(raw).digest())
            .values(received_at=said_at)
        )
    assert foreseen(await rehearse(spark, raw)) == ("create", [])


async def test_after_a_dry_run_the_same_bytes_are_handed_in_for_the_first_time(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = encoded(submission(student, assignment))
    await rehearse(spark, raw)
    answer = await spark.submit(raw)
    assert (answer.json()["duplicate"], answer.json()["xp_awarded"]) == (False, 100)


# ---------------------------------------------------------------------------- refused as usual


@pytest.mark.parametrize("files", [(), (PICTURE,)], ids=["json", "form"])
async def test_a_wrong_signature_is_refused_as_usual(
    spark: Spark, student: SignedIn, assignment: Assignment, files: tuple[Part, ...]
) -> None:
    raw = encoded(submission(student, assignment))
    body, media_type = (
        (form(Part("metadata", raw), *files), FORM) if files else (raw, "application/json")
    )
    for headers, code in (
        ({"X-Spark-Signature": "0" * 64}, "signature_invalid"),
        ({}, "signature_missing"),
    ):
        answer = await spark.post(body, headers, media_type=media_type, dry_run="true")
        assert_problem(answer, 401, code)


async def test_a_dry_run_counts_as_a_message(
    settings: Settings, student: SignedIn, assignment: Assignment
) -> None:
    async with run_elsewhere(settings, rate_limit_webhook=2) as elsewhere:
        answers = [
            await rehearse(elsewhere.spark, submission(student, assignment)) for _ in range(3)
        ]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[-1].headers["retry-after"]) > 0


async def test_without_a_database_or_a_secret_nothing_is_foreseen(
    settings: Settings, student: SignedIn, assignment: Assignment
) -> None:
    async with run_elsewhere(settings, spark_webhook_secret=None) as elsewhere:
        answer = await rehearse(elsewhere.spark, submission(student, assignment))
    assert_problem(answer, 503, "webhook_not_configured")


async def test_without_storage_a_form_can_be_rehearsed(
    settings: Settings, unused_tcp_port: int, student: SignedIn, assignment: Assignment
) -> None:
    """Its files are looked at and not stored."""
    nowhere = f"http://127.0.0.1:{unused_tcp_port}"
    async with run_elsewhere(settings, s3_endpoint_url=nowhere) as elsewhere:
        answer = await rehearse(elsewhere.spark, submission(student, assignment), PICTURE)
    assert foreseen(answer) == ("create", [])


@pytest.mark.parametrize("value", ["maybe", "2", ""])
async def test_what_is_neither_yes_nor_no_is_refused(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, value: str
) -> None:
    raw = encoded(submission(student, assignment))
    answer = await spark.post(raw, {"X-Spark-Signature": spark.sign(raw)}, dry_run=value)
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] in ("request_invalid", "field_invalid")
    assert (await kept(sessions, student.user_id))["submission_revisions"] == 0


async def test_a_dry_run_that_is_false_hands_in(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = encoded(submission(student, assignment))
    await spark.post(raw, {"X-Spark-Signature": spark.sign(raw)}, dry_run="false")
    assert await kept(sessions, student.user_id) == ONCE
