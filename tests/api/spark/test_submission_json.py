"""The submission webhook with JSON: who may send, what is read, and when (FAULTS C, D, E)."""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import Row, select, text, update

from app.database import Sessions
from app.models import LmsIntegration, SubmissionRevision, User
from app.settings import Settings
from tests.support.elsewhere import run_elsewhere
from tests.support.problems import assert_problem
from tests.support.running import Running
from tests.support.spark import SUBMISSION, Assignment, SignedIn, Spark, submission
from tests.support.stored import NOTHING, ONCE, blocks_of, kept
from tests.support.wire import connect

MEBIBYTE = 1024 * 1024


def encoded(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload).encode()


async def revision_of(sessions: Sessions, answer: httpx.Response) -> Row[Any]:
    assert answer.status_code == 200, answer.text
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(SubmissionRevision).where(
                SubmissionRevision.id == answer.json()["submission_id"]
            )
        )
        return found.one()


# ---------------------------------------------------------------------------- the answer


async def test_the_answer_has_exactly_the_promised_members(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    answer = await spark.submit(submission(student, assignment))
    body = answer.json()
    assert body.keys() == {
        *("status", "completion_id", "submission_id", "revision", "duplicate"),
        *("quest_id", "task_id", "xp_awarded", "files", "warnings", "request_id"),
    }
    assert (body["status"], body["revision"], body["duplicate"]) == ("success", 1, False)
    assert (body["quest_id"], body["xp_awarded"]) == (str(assignment.quest_id), 100)
    assert body["files"] == []
    assert body["request_id"] == answer.headers["x-request-id"]


async def test_text_becomes_one_block_of_a_completed_document(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    await spark.submit(submission(student, assignment, submission_text="Rain.\n\nWind."))
    assert await kept(sessions, student.user_id) == ONCE
    [block] = await blocks_of(sessions, student.user_id)
    assert (block.block_type, block.content) == ("text", {"text": "Rain.\n\nWind."})
    assert (block.order_index, block.is_private, block.uploaded_by_role) == (0, False, "student")
    assert str(block.uploaded_by_user_id) == student.user_id


async def test_the_grade_is_kept_with_the_submission(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    answer = await spark.submit(submission(student, assignment, grade="95.5"))
    assert str((await revision_of(sessions, answer)).grade) == "95.50"


async def test_raw_evidence_text_is_a_setting(
    settings: Settings, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    async with run_elsewhere(settings, evidence_text_mode="raw") as elsewhere:
        payload = submission(student, assignment, submission_text="Raw.")
        assert (await elsewhere.spark.submit(payload)).status_code == 200
    assert await _evidence_text(sessions, student) == "Raw."


async def test_evidence_text_names_the_document(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    await spark.submit(submission(student, assignment))
    [block] = await blocks_of(sessions, student.user_id)
    expected = f"Multi-format evidence document (Document ID: {block.document_id})"
    assert await _evidence_text(sessions, student) == expected


async def _evidence_text(sessions: Sessions, student: SignedIn) -> str:
    async with sessions() as session, session.begin():
        found = await session.execute(
            text("select evidence_text from quest_task_completions where user_id = :user_id"),
            {"user_id": student.user_id},
        )
        return str(found.scalar_one())


# ---------------------------------------------------------------------------- C. signatures


async def test_p056_without_a_signature_the_body_is_not_read(server: Running) -> None:
    async with connect(server) as wire:
        await wire.send_head("Content-Type: application/json", "Content-Length: 1000")
        assert_problem(await wire.read_answer(), 401, "signature_missing")


WRONG_SIGNATURES: dict[str, Callable[[str], str]] = {
    "P057-wrong": lambda right: right[::-1],
    "P058-63-digits": lambda right: right[:-1],
    "P058-65-digits": lambda right: right + "0",
    "P058-base64": lambda right: base64.b64encode(bytes.fromhex(right)).decode(),
    "P058-prefix": lambda right: f"sha256={right}",
    "P058-empty": lambda _: "",
    "P060-not-ascii": lambda right: right[:-1] + "\xe9",
}


@pytest.mark.parametrize("spoil", WRONG_SIGNATURES.values(), ids=WRONG_SIGNATURES)
async def test_a_wrong_signature_is_refused_and_changes_nothing(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    spoil: Callable[[str], str],
) -> None:
    raw = encoded(submission(student, assignment))
    answer = await spark.browser.post(
        SUBMISSION,
        content=raw,
        headers=[
            (b"Content-Type", b"application/json"),
            (b"X-Spark-Signature", spoil(spark.sign(raw)).encode("latin-1")),
        ],
    )
    problem = assert_problem(answer, 401, "signature_invalid")
    assert spark.sign(raw) not in answer.text
    assert problem["error"] == "Invalid signature"
    assert await kept(sessions, student.user_id) == NOTHING


async def test_p059_a_signature_in_upper_case_is_right(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = encoded(submission(student, assignment))
    answer = await spark.submit(raw, signature=spark.sign(raw).upper())
    assert answer.status_code == 200


async def test_p061_two_signatures_are_refused_even_if_one_is_right(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = encoded(submission(student, assignment))
    answer = await spark.browser.post(
        SUBMISSION,
        content=raw,
        headers=[
            ("Content-Type", "application/json"),
            ("X-Spark-Signature", spark.sign(raw)),
            ("X-Spark-Signature", "0" * 64),
        ],
    )
    assert_problem(answer, 401, "signature_invalid")


CHANGED_BODIES: dict[str, Callable[[bytes], bytes]] = {
    "P062-white-space": lambda raw: raw.replace(b": ", b":"),
    "P063-one-bit": lambda raw: raw[:-3] + bytes([raw[-3] ^ 1]) + raw[-2:],
}


@pytest.mark.parametrize("change", CHANGED_BODIES.values(), ids=CHANGED_BODIES)
async def test_the_signature_is_over_the_exact_bytes(
    spark: Spark, student: SignedIn, assignment: Assignment, change: Callable[[bytes], bytes]
) -> None:
    raw = encoded(submission(student, assignment))
    answer = await spark.submit(change(raw), signature=spark.sign(raw))
    assert_problem(answer, 401, "signature_invalid")


async def test_p064_a_bad_signature_does_not_tell_whether_the_student_exists(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    bodies = []
    for spark_user_id in (student.spark_user_id, "nobody"):
        payload = submission(student, assignment, spark_user_id=spark_user_id)
        answer = await spark.submit(payload, signature="0" * 64)
        problem = assert_problem(answer, 401, "signature_invalid")
        bodies.append(problem | {"request_id": "", "received": ""})
    assert bodies[0] == bodies[1]


async def test_p065_the_previous_secret_is_accepted_while_it_is_configured(
    settings: Settings, student: SignedIn, assignment: Assignment
) -> None:
    previous = settings.spark_webhook_secret
    new = SecretStr(secrets.token_hex(32))
    changes = {"spark_webhook_secret": new, "spark_webhook_secret_previous": previous}
    async with run_elsewhere(settings, **changes) as elsewhere:
        answer = await elsewhere.spark.submit(submission(student, assignment))
    assert answer.status_code == 200


async def test_p065_a_removed_secret_is_refused(
    settings: Settings, student: SignedIn, assignment: Assignment
) -> None:
    new = SecretStr(secrets.token_hex(32))
    async with run_elsewhere(settings, spark_webhook_secret=new) as elsewhere:
        answer = await elsewhere.spark.submit(submission(student, assignment))
    assert_problem(answer, 401, "signature_invalid")


async def test_p066_without_a_secret_the_webhook_is_not_configured(
    settings: Settings, student: SignedIn, assignment: Assignment
) -> None:
    async with run_elsewhere(settings, spark_webhook_secret=None) as elsewhere:
        answer = await elsewhere.spark.submit(submission(student, assignment))
    assert_problem(answer, 503, "webhook_not_configured")
    assert int(answer.headers["retry-after"]) > 0


def test_p066_a_short_secret_refuses_to_start() -> None:
    with pytest.raises(ValidationError, match="SPARK_WEBHOOK_SECRET must have at least"):
        Settings(_env_file=None, spark_webhook_secret=SecretStr("0123456789"))


async def test_p071_a_message_of_the_course_route_is_no_submission(spark: Spark) -> None:
    course = {"spark_org_id": "24", "spark_course_id": "c", "course_title": "t", "assignments": []}
    problem = assert_problem(await spark.submit(course), 400, "field_missing")
    assert problem["error"] == "Missing required field: spark_user_id"


HEADERS = {
    "P072-gzip": {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    "P073-missing": {},
    "P073-text": {"Content-Type": "text/plain"},
    "P073-utf-16": {"Content-Type": "application/json; charset=utf-16"},
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
async def test_another_media_type_is_refused(
    spark: Spark, student: SignedIn, assignment: Assignment, headers: dict[str, str]
) -> None:
    raw = encoded(submission(student, assignment))
    signed = headers | {"X-Spark-Signature": spark.sign(raw)}
    answer = await spark.browser.post(SUBMISSION, content=raw, headers=signed)
    assert_problem(answer, 415, "media_type_unsupported")


PARAMETERS = ("charset=utf-8", "charset=UTF-8", 'charset="utf-8"')
OTHER_PARAMETERS = (" charset=utf-8;", " version=1", 'profile="a;b"; charset=UTF-8', "", "q")


@pytest.mark.parametrize("parameters", [*PARAMETERS, *OTHER_PARAMETERS], ids="F11-{}".format)
@pytest.mark.parametrize("encoding", [{}, {"Content-Encoding": "Identity"}], ids=["", "identity"])
async def test_json_may_have_parameters_and_be_encoded_as_itself(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    parameters: str,
    encoding: dict[str, str],
) -> None:
    raw = encoded(submission(student, assignment))
    headers = encoding | {
        "Content-Type": f"application/json;{parameters}",
        "X-Spark-Signature": spark.sign(raw),
    }
    answer = await spark.browser.post(SUBMISSION, content=raw, headers=headers)
    assert answer.status_code == 200, answer.text


async def test_p074_a_body_is_asked_for_only_with_a_signature(server: Running) -> None:
    async with connect(server) as wire:
        await wire.send_head(
            "Content-Type: application/json", "Content-Length: 10", "Expect: 100-continue"
        )
        assert_problem(await wire.read_answer(), 401, "signature_missing")


async def test_a_sender_that_waits_for_100_continue_gets_it(
    server: Running, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = encoded(submission(student, assignment))
    async with connect(server) as wire:
        await wire.send_head(
            "Content-Type: application/json",
            f"Content-Length: {len(raw)}",
            f"X-Spark-Signature: {spark.sign(raw)}",
            "Expect: 100-continue",
        )
        assert (await wire.read_head()).status_code == 100
        await wire.send(raw)
        assert (await wire.read_answer()).status_code == 200


async def test_php_senders_sign_what_they_send_escaped(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    payload = submission(student, assignment, submission_text="Café http://a/b")
    answer = await spark.submit(encoded(payload).replace(b"/", b"\\/"))
    assert (await revision_of(sessions, answer)).submission_text == "Café http://a/b"


# ---------------------------------------------------------------------------- D. JSON oddities

Spoil = Callable[[bytes], bytes]


def with_member(member: str) -> Spoil:
    return lambda raw: raw[:-1] + b", " + member.encode("utf-8", "surrogatepass") + b"}"


NOT_JSON: dict[str, Spoil] = {
    "P075-duplicate": with_member('"spark_user_id": "x"'),
    "P075-nested": with_member('"extra": {"a": 1, "a": 2}'),
    "P076-nan": with_member('"grade": NaN'),
    "P076-infinity": with_member('"grade": Infinity'),
    "P076-minus-infinity": with_member('"grade": -Infinity'),
    "P076-huge": with_member('"grade": 1e400'),
    "P078-digits": with_member(f'"extra": {"9" * 5000}'),
    "P079-65-levels": with_member(f'"extra": {"[" * 64}{"]" * 64}'),
    "P079-100000-levels": with_member(f'"extra": {"[" * 100_000}{"]" * 100_000}'),
    "P082-invalid": lambda raw: raw[:-1] + b', "extra": "\xff"}',
    "P082-overlong": lambda raw: raw[:-1] + b', "extra": "\xc0\xaf"}',
    "P083-mark": lambda raw: b"\xef\xbb\xbf" + raw,
    "P083-utf-16": lambda raw: raw.decode().encode("utf-16"),
    "P084-array": lambda raw: b"[" + raw + b"]",
    "P084-string": lambda _: b'"text"',
    "P084-number": lambda _: b"1",
    "P084-null": lambda _: b"null",
    "P084-empty": lambda _: b"",
    "P084-garbage": lambda raw: raw + b"x",
    "P084-comment": lambda raw: b"/* */" + raw,
    "P084-comma": lambda raw: raw[:-1] + b",}",
}


@pytest.mark.parametrize("spoil", NOT_JSON.values(), ids=NOT_JSON)
async def test_what_is_not_strictly_json_is_refused(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, spoil: Spoil
) -> None:
    answer = await spark.submit(spoil(encoded(submission(student, assignment))))
    assert_problem(answer, 400, "json_invalid")
    assert await kept(sessions, student.user_id) == NOTHING


async def test_p079_64_levels_are_accepted(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    deep = with_member(f'"extra": {"[" * 63}{"]" * 63}')
    answer = await spark.submit(deep(encoded(submission(student, assignment))))
    assert answer.status_code == 200


MENDED = {"P080-surrogate": ("Rain \ud83d", "Rain \ufffd"), "P081-nul": ("Ra\0in", "Rain")}


@pytest.mark.parametrize(("sent", "stored"), MENDED.values(), ids=MENDED)
async def test_a_broken_character_of_the_text_is_mended(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    sent: str,
    stored: str,
) -> None:
    answer = await spark.submit(submission(student, assignment, submission_text=sent))
    assert (await revision_of(sessions, answer)).submission_text == stored


BAD_IDS = {
    "P080-surrogate": "student_\ud83d",
    "P081-nul": "student_\0",
    "R46-escape": "student\x1b[2J",
    "R46-override": "student\u202e1",
    "R35-nothing-but-marks": " \u200b\u200e",
    "P088-empty": "",
    "P088-256-characters": "s" * 256,
    "P088-fraction": 1.5,
    "P088-true": True,
    "P088-list": ["student"],
}


@pytest.mark.parametrize("field", ["spark_user_id", "spark_assignment_id"])
@pytest.mark.parametrize("value", BAD_IDS.values(), ids=BAD_IDS)
async def test_an_identifier_is_never_mended(
    spark: Spark, student: SignedIn, assignment: Assignment, field: str, value: object
) -> None:
    answer = await spark.submit(submission(student, assignment, **{field: value}))
    assert assert_problem(answer, 400, "field_invalid")["error"] == f"Invalid field: {field}"


async def test_p088_an_integer_is_its_decimal_text(spark: Spark, assignment: Assignment) -> None:
    number = secrets.randbelow(10**12)
    student = await spark.sign_in(sub=number)
    answer = await spark.submit(submission(student, assignment, spark_user_id=number))
    assert answer.status_code == 200, answer.text


async def test_p085_what_the_sender_may_not_decide_is_ignored(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    extras = {"user_id": "x", "completion_id": "x", "xp": 9999, "role": "admin", "tenant_id": "x"}
    body = (await spark.submit(submission(student, assignment, **extras, unknown=[{}]))).json()
    assert (body["xp_awarded"], body["completion_id"] == "x") == (100, False)
    assert await kept(sessions, student.user_id) == ONCE


@pytest.mark.parametrize(
    "blank",
    [
        pytest.param(" \n\t\u2003", id="P086-white-space"),
        pytest.param("\0\0", id="P086-nul"),
        "",
        None,
        pytest.param(..., id="absent"),
    ],
)
async def test_a_submission_needs_text_or_files(
    spark: Spark, student: SignedIn, assignment: Assignment, blank: object
) -> None:
    answer = await spark.submit(submission(student, assignment, submission_text=blank))
    problem = assert_problem(answer, 400, "content_missing")
    assert problem["error"] == "Must provide either submission_text or files"


async def test_p087_text_may_have_one_mebibyte(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    answer = await spark.submit(
        submission(student, assignment, submission_text="\xe9" * (MEBIBYTE // 2))
    )
    assert (await revision_of(sessions, answer)).submission_text == "\xe9" * (MEBIBYTE // 2)


async def test_p087_text_of_a_byte_more_is_refused(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    longer = "\xe9" * (MEBIBYTE // 2) + "a"
    answer = await spark.submit(submission(student, assignment, submission_text=longer))
    assert_problem(answer, 400, "field_invalid")


@pytest.mark.parametrize("is_announced", [True, False], ids=["P087", "P087-chunked"])
async def test_a_body_of_more_than_8_mebibytes_is_refused(
    spark: Spark, student: SignedIn, assignment: Assignment, *, is_announced: bool
) -> None:
    raw = encoded(submission(student, assignment)).ljust(8 * MEBIBYTE + 1)

    async def chunks() -> Any:
        yield raw

    headers = {"Content-Type": "application/json", "X-Spark-Signature": spark.sign(raw)}
    answer = await spark.browser.post(
        SUBMISSION, content=raw if is_announced else chunks(), headers=headers
    )
    assert_problem(answer, 413, "body_too_large")


async def test_p151_an_announced_length_beyond_the_limit_is_refused_unread(
    server: Running, spark: Spark
) -> None:
    async with connect(server) as wire:
        await wire.send_head(
            "Content-Type: application/json",
            f"Content-Length: {8 * MEBIBYTE + 1}",
            f"X-Spark-Signature: {'0' * 64}",
            "Expect: 100-continue",
        )
        assert_problem(await wire.read_answer(), 413, "body_too_large")


STRANGERS: dict[str, Callable[[str], str]] = {
    "P089-space-within": lambda known: known.replace("_", " _"),
    "P089-case": lambda known: known.upper(),
    "P089-look-alike": lambda known: known.replace("s", "\u0455"),
    "P090-sql": lambda _: "' OR 1=1 --",
    "P090-percent": lambda _: "%",
    "P090-underscore": lambda known: known[:-1] + "_",
    "P090-template": lambda _: "{{7*7}}",
    "P090-shell": lambda _: "${x}",
    "P092-unknown": lambda _: "nobody",
}


@pytest.mark.parametrize("change", STRANGERS.values(), ids=STRANGERS)
async def test_an_id_that_nobody_has_is_not_found(
    spark: Spark, student: SignedIn, assignment: Assignment, change: Callable[[str], str]
) -> None:
    stranger = change(student.spark_user_id)
    answer = await spark.submit(submission(student, assignment, spark_user_id=stranger))
    problem = assert_problem(answer, 404, "user_not_found")
    assert problem["error"] == f"User not found for Spark ID: {stranger}"


@pytest.mark.parametrize("value", [..., None], ids=["absent", "null"])
@pytest.mark.parametrize(
    "field",
    [
        pytest.param(name, id=f"P091-{name}")
        for name in ("spark_user_id", "spark_assignment_id", "submitted_at")
    ],
)
async def test_a_missing_field_is_named(
    spark: Spark, student: SignedIn, assignment: Assignment, field: str, value: object
) -> None:
    answer = await spark.submit(submission(student, assignment, **{field: value}))
    problem = assert_problem(answer, 400, "field_missing")
    assert problem["error"] == f"Missing required field: {field}"


async def test_p093_a_paused_link_hands_nothing_in(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    async with sessions() as session, session.begin():
        await session.execute(
            update(LmsIntegration)
            .where(LmsIntegration.user_id == student.user_id)
            .values(sync_status="paused")
        )
    answer = await spark.submit(submission(student, assignment))
    assert_problem(answer, 403, "account_inactive")


async def test_p093_an_account_under_deletion_hands_nothing_in(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    async with sessions() as session, session.begin():
        await session.execute(
            update(User).where(User.id == student.user_id).values(deletion_status="pending")
        )
    answer = await spark.submit(submission(student, assignment))
    assert_problem(answer, 403, "account_inactive")


async def test_file_urls_are_refused_with_a_hint(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    file = {"url": "https://spark.example/a.pdf", "type": "application/pdf", "filename": "a.pdf"}
    answer = await spark.submit(submission(student, assignment, submission_files=[file]))
    assert "multipart" in str(assert_problem(answer, 400, "url_not_allowed")["hint"])


async def test_an_empty_list_of_file_urls_is_ignored(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    answer = await spark.submit(submission(student, assignment, submission_files=[]))
    assert answer.status_code == 200


# ---------------------------------------------------------------------------- E. time

Write = Callable[[datetime], str]


def in_iso_form(moment: datetime) -> str:
    return moment.isoformat()


def without_offset(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat()


def written(form: str) -> Write:
    return lambda moment: moment.strftime(form)


def at_offset(hours: float) -> Write:
    return lambda moment: moment.astimezone(timezone(timedelta(hours=hours))).isoformat()


def in_seconds(seconds: int) -> datetime:
    return datetime.now(tz=UTC) + timedelta(seconds=seconds)


# Five seconds inside or outside of the window, where the moment of reading matters.
FRESH: dict[str, tuple[int, Write]] = {
    "P094-old": (-295, in_iso_form),
    "P095-ahead": (300, in_iso_form),
    "P096-no-offset": (0, without_offset),
    "P097-east": (0, at_offset(5.5)),
    "P097-west": (0, at_offset(-8)),
    "P097-no-colon": (0, written("%Y-%m-%dT%H:%M:%S+0000")),
    "P097-Z": (0, written("%Y-%m-%dT%H:%M:%SZ")),
    "P097-z": (0, written("%Y-%m-%dT%H:%M:%Sz")),
    "P097-milliseconds": (0, written("%Y-%m-%dT%H:%M:%S.123Z")),
    "P102-nanoseconds": (0, written("%Y-%m-%dT%H:%M:%S.123456789Z")),
}


@pytest.mark.parametrize(("seconds", "write"), FRESH.values(), ids=FRESH)
async def test_a_moment_within_five_minutes_is_fresh(
    spark: Spark, student: SignedIn, assignment: Assignment, seconds: int, write: Write
) -> None:
    submitted_at = write(in_seconds(seconds))
    answer = await spark.submit(submission(student, assignment, submitted_at=submitted_at))
    assert answer.status_code == 200, answer.text


HOURS = 3600
STALE: dict[str, tuple[int, Write, str]] = {
    "P094-old": (-301, in_iso_form, "timestamp_too_old"),
    "P095-ahead": (306, in_iso_form, "timestamp_in_future"),
    "P096-old": (-6 * HOURS, without_offset, "timestamp_too_old"),
    "P096-ahead": (6 * HOURS, without_offset, "timestamp_in_future"),
    "P098-wrong-label": (0, written("%Y-%m-%dT%H:%M:%S+05:00"), "timestamp_too_old"),
}


@pytest.mark.parametrize(("seconds", "write", "code"), STALE.values(), ids=STALE)
async def test_a_moment_outside_the_window_changes_nothing(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    seconds: int,
    write: Write,
    code: str,
) -> None:
    submitted_at = write(in_seconds(seconds))
    answer = await spark.submit(submission(student, assignment, submitted_at=submitted_at))
    assert_problem(answer, 400, code)
    assert await kept(sessions, student.user_id) == NOTHING


NO_MOMENTS: dict[str, object] = {
    "P099-number": 1737000000,
    "P099-digits": "1737000000",
    "P100-year-1": "0001-01-01T00:00:00+14:00",
    "P100-year-9999": "9999-12-31T23:59:59-14:00",
    "P100-year-1999": "1999-12-31T23:59:59Z",
    "P101-second-60": "2026-11-23T14:30:60Z",
    "P101-24-hours": "2026-11-23T24:00:00Z",
    "P101-30-february": "2026-02-30T14:30:00Z",
    "P101-week-date": "2026-W48-1T14:30:00Z",
    "P101-date-only": "2026-11-23",
    "offset-of-a-day": "2026-11-23T14:30:00+24:00",
    "space-behind": "2026-11-23T14:30:00Z ",
}


@pytest.mark.parametrize("submitted_at", NO_MOMENTS.values(), ids=NO_MOMENTS)
async def test_what_is_no_moment_is_refused(
    spark: Spark, student: SignedIn, assignment: Assignment, submitted_at: object
) -> None:
    answer = await spark.submit(submission(student, assignment, submitted_at=submitted_at))
    assert assert_problem(answer, 400, "field_invalid")["error"] == "Invalid field: submitted_at"


async def test_p094_known_bytes_are_answered_after_the_window(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    """As if these bytes had been handled ten minutes ago, when they were fresh."""
    payload = submission(student, assignment)
    first = (await spark.submit(payload)).json()
    stale = encoded(payload | {"submitted_at": in_seconds(-600).isoformat()})
    async with sessions() as session, session.begin():
        await session.execute(
            text("update spark.idempotency_keys set key = :key where user_id = :user_id"),
            {"key": hashlib.sha256(stale).digest(), "user_id": student.user_id},
        )
    answer = await spark.submit(stale)
    assert answer.headers["idempotent-replayed"] == "true"
    assert answer.json()["completion_id"] == first["completion_id"]
    assert await kept(sessions, student.user_id) == ONCE


def test_the_tests_sign_as_the_contract_says() -> None:
    """RFC 4231 test case 2, so that signer and verifier cannot be wrong together."""
    spark = Spark(httpx.AsyncClient(), SecretStr("unused"), SecretStr("Jefe"))
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert spark.sign(b"what do ya want for nothing?") == expected
    assert hmac.new(b"Jefe", b"what do ya want for nothing?", "sha256").hexdigest() == expected
