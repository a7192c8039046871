"""Files that the signed metadata lists: what is sent must be what was signed (FAULTS G)."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from app.database import Sessions
from app.settings import Settings
from tests.support.bodies import Part, form
from tests.support.elsewhere import run_elsewhere
from tests.support.problems import assert_problem
from tests.support.running import Running
from tests.support.samples import pdf, png
from tests.support.spark import FORM, Assignment, SignedIn, Spark, declared, encoded, submission
from tests.support.stored import (
    NOTHING,
    ONCE,
    assert_only_committed,
    deliveries_of,
    kept,
    object_keys,
    uploads_of,
)
from tests.support.wire import connect

PICTURE = Part("file1", png(), filename="gauge.png", content_type="image/png")
REPORT = Part("file2", pdf(), filename="report.pdf", content_type="application/pdf")
NOTES = Part("file3", b"calm\n", filename="notes.txt", content_type="text/plain")
PAGE = Part("page", b"<html><body>hello", filename="page.html", content_type="text/html")
MEBIBYTE = 1024 * 1024

Listed = list[dict[str, Any]]


def with_files(student: SignedIn, assignment: Assignment, files: object) -> bytes:
    return encoded(submission(student, assignment, files=files))


async def hand_in(
    spark: Spark, raw: bytes, *files: Part, metadata_last: bool = False
) -> httpx.Response:
    metadata = Part("metadata", raw)
    parts = [*files, metadata] if metadata_last else [metadata, *files]
    return await spark.send_form(form(*parts), signature=spark.sign(raw))


def named(answer: httpx.Response) -> list[tuple[str, str]]:
    return [(fault["file"], fault["code"]) for fault in answer.json()["errors"]]


@pytest.mark.parametrize("metadata_last", [False, True])
async def test_p146_files_that_fit_what_was_signed_are_kept(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    settings: Settings,
    *,
    metadata_last: bool,
) -> None:
    listed = declared(PICTURE, REPORT)
    answer = await hand_in(
        spark,
        with_files(student, assignment, listed),
        PICTURE,
        REPORT,
        metadata_last=metadata_last,
    )
    assert answer.status_code == 200, answer.text
    files = answer.json()["files"]
    assert [{key: file[key] for key in ("name", "sha256", "size")} for file in files] == listed
    await assert_only_committed(settings, sessions, student.user_id)


async def test_files_may_come_in_another_order_than_listed_and_keep_it(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = with_files(student, assignment, declared(REPORT, PICTURE))
    answer = await hand_in(spark, raw, PICTURE, REPORT)
    assert [file["name"] for file in answer.json()["files"]] == ["gauge.png", "report.pdf"]


@pytest.mark.parametrize("change", [str.upper, str.lower])
async def test_a_digest_may_be_written_in_either_case(
    spark: Spark, student: SignedIn, assignment: Assignment, change: Callable[[str], str]
) -> None:
    [listed] = declared(PICTURE)
    listed["sha256"] = change(listed["sha256"])
    answer = await hand_in(spark, with_files(student, assignment, [listed]), PICTURE)
    assert answer.status_code == 200, answer.text


ONE, OTHER = (Part("files[]", text, filename="same.txt") for text in (b"one\n", b"other\n"))


@pytest.mark.parametrize("listed", [(ONE, OTHER), (OTHER, ONE)], ids=["as-sent", "reversed"])
async def test_two_files_of_one_name_may_be_listed_in_either_order(
    spark: Spark, student: SignedIn, assignment: Assignment, listed: Sequence[Part]
) -> None:
    raw = with_files(student, assignment, declared(*listed))
    answer = await hand_in(spark, raw, ONE, OTHER)
    assert [file["size"] for file in answer.json()["files"]] == [4, 6]


@pytest.mark.parametrize("sent", [(ONE, ONE), (OTHER, OTHER), (ONE,), (ONE, OTHER, ONE)])
async def test_two_files_of_one_name_must_both_come_and_no_third(
    spark: Spark, student: SignedIn, assignment: Assignment, sent: Sequence[Part]
) -> None:
    raw = with_files(student, assignment, declared(ONE, OTHER))
    answer = await hand_in(spark, raw, *sent)
    assert answer.status_code == 400
    expected = {1: "file_missing", 2: "file_digest_mismatch", 3: "file_not_declared"}
    assert named(answer) == [("same.txt", expected[len(sent)])]


def listing(*files: Part, **changes: Any) -> Listed:
    """These files; the changes are the last one's."""
    listed = declared(*files)
    return [*listed[:-1], listed[-1] | changes]


# What is listed, what is sent, and what is said of which file.
MISFITS: dict[str, tuple[Listed, Sequence[Part], list[tuple[str, str]]]] = {
    "P146-wrong-digest": (
        listing(PICTURE, REPORT, sha256="0" * 64),
        (PICTURE, REPORT),
        [("report.pdf", "file_digest_mismatch")],
    ),
    "P146-digests-swapped": (
        [
            declared(PICTURE)[0] | {"name": "report.pdf"},
            declared(REPORT)[0] | {"name": "gauge.png"},
        ],
        (PICTURE, REPORT),
        [("gauge.png", "file_digest_mismatch"), ("report.pdf", "file_digest_mismatch")],
    ),
    "P146-size-too-large": (
        listing(PICTURE, size=len(PICTURE.content) + 1),
        (PICTURE,),
        [("gauge.png", "file_digest_mismatch")],
    ),
    "P146-size-too-small": (
        listing(PICTURE, size=0),
        (PICTURE,),
        [("gauge.png", "file_digest_mismatch")],
    ),
    "P146-not-listed": (
        declared(PICTURE),
        (PICTURE, REPORT),
        [("report.pdf", "file_not_declared")],
    ),
    "P146-nothing-listed": ([], (PICTURE,), [("gauge.png", "file_not_declared")]),
    "P146-twice": (
        declared(PICTURE),
        (PICTURE, PICTURE),
        [("gauge.png", "file_not_declared")],
    ),
    "P146-other-name-and-content": (
        listing(PICTURE, name="Gauge.png", sha256="0" * 64),
        (PICTURE,),
        [("gauge.png", "file_not_declared"), ("Gauge.png", "file_missing")],
    ),
    "P146-absent": (
        declared(PICTURE, REPORT),
        (PICTURE,),
        [("report.pdf", "file_missing")],
    ),
    "P146-all-absent": (
        declared(PICTURE, REPORT),
        (),
        [("gauge.png", "file_missing"), ("report.pdf", "file_missing")],
    ),
    "P145-every-bad-one": (
        listing(PICTURE, PAGE, NOTES, REPORT, sha256="0" * 64),
        (NOTES, PAGE, PICTURE, REPORT, ONE),
        [
            ("page.html", "file_type_not_allowed"),
            ("report.pdf", "file_digest_mismatch"),
            ("same.txt", "file_not_declared"),
        ],
    ),
}


@pytest.mark.parametrize(("listed", "sent", "faults"), MISFITS.values(), ids=MISFITS)
@pytest.mark.parametrize("metadata_last", [False, True], ids=["", "metadata-last"])
async def test_what_does_not_fit_is_named_and_nothing_is_kept(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    settings: Settings,
    *,
    listed: Listed,
    sent: Sequence[Part],
    faults: list[tuple[str, str]],
    metadata_last: bool,
) -> None:
    raw = with_files(student, assignment, listed)
    answer = await hand_in(spark, raw, *sent, metadata_last=metadata_last)
    assert_problem(answer, 400, faults[0][1])
    assert named(answer) == faults
    assert await kept(sessions, student.user_id) == NOTHING
    assert await uploads_of(sessions, student.user_id) == []
    assert await object_keys(settings, student.user_id) == []


async def test_after_a_wrong_file_the_right_one_is_taken_under_the_same_signature(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = with_files(student, assignment, declared(PICTURE))
    spoiled = Part("file1", PICTURE.content + b"\0", filename="gauge.png")
    assert_problem(await hand_in(spark, raw, spoiled), 400, "file_digest_mismatch")
    assert (await hand_in(spark, raw, PICTURE)).status_code == 200
    assert await kept(sessions, student.user_id) == ONCE


NO_LISTS: dict[str, tuple[object, str]] = {
    "no-list": ({"name": "gauge.png"}, "files"),
    "no-object": (["gauge.png"], "files.0"),
    "no-digest": ([{"name": "gauge.png", "size": 1}], "files.0.sha256"),
    "63-digits": (listing(PICTURE, sha256="0" * 63), "files.0.sha256"),
    "negative": (listing(PICTURE, size=-1), "files.0.size"),
    "size-as-text": (listing(PICTURE, size="1"), "files.0.size"),
    "1001-files": (declared(PICTURE) * 1001, "files"),
}


@pytest.mark.parametrize(("files", "field"), NO_LISTS.values(), ids=NO_LISTS)
async def test_a_list_that_is_none_is_refused_by_its_place(
    spark: Spark, student: SignedIn, assignment: Assignment, files: object, field: str
) -> None:
    answer = await hand_in(spark, with_files(student, assignment, files), PICTURE)
    assert assert_problem(answer, 400, "field_invalid")["error"] == f"Invalid field: {field}"


# ---------------------------------------------------------------------------- required


async def test_p147_digests_can_be_required(
    settings: Settings, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    async with run_elsewhere(settings, require_file_digests=True) as elsewhere:
        raw = encoded(submission(student, assignment))
        refused = await hand_in(elsewhere.spark, raw, PICTURE)
        text_alone = await hand_in(elsewhere.spark, raw)
        listed = with_files(student, assignment, declared(PICTURE))
        accepted = await hand_in(elsewhere.spark, listed, PICTURE)
    assert_problem(refused, 400, "file_digest_required")
    assert text_alone.status_code == 200, text_alone.text
    assert accepted.status_code == 200, accepted.text
    assert len(await uploads_of(sessions, student.user_id)) == 1


@pytest.mark.parametrize("files", [..., None], ids=["absent", "null"])
async def test_under_standard_webhooks_files_must_be_listed(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, files: object
) -> None:
    raw = with_files(student, assignment, files)
    body = form(Part("metadata", raw), PICTURE)
    answer = await spark.post(body, spark.sign_v1(raw), media_type=FORM)
    assert_problem(answer, 400, "file_digest_required")
    assert await kept(sessions, student.user_id) == NOTHING
    assert await uploads_of(sessions, student.user_id) == []


async def test_under_standard_webhooks_text_alone_needs_no_list(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = encoded(submission(student, assignment))
    answer = await spark.post(form(Part("metadata", raw)), spark.sign_v1(raw), media_type=FORM)
    assert answer.status_code == 200, answer.text


async def test_json_with_listed_files_is_missing_them(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = with_files(student, assignment, declared(PICTURE))
    assert_problem(await spark.submit(raw), 400, "file_missing")
    assert await kept(sessions, student.user_id) == NOTHING
    assert (await hand_in(spark, raw, PICTURE)).status_code == 200


async def test_json_may_list_no_files(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    assert (await spark.submit(with_files(student, assignment, []))).status_code == 200


# ---------------------------------------------------------------------------- R1: known at once


@pytest.mark.parametrize("sign", ["v0", "v1"])
async def test_a_known_form_whose_digests_were_signed_is_answered_before_its_files_are_sent(
    server: Running, spark: Spark, student: SignedIn, assignment: Assignment, sign: str
) -> None:
    raw = with_files(student, assignment, declared(PICTURE))
    headers = {"X-Spark-Signature": spark.sign(raw)} if sign == "v0" else spark.sign_v1(raw)
    body = form(Part("metadata", raw), PICTURE)
    first = await spark.post(body, headers, media_type=FORM)
    async with connect(server) as wire:
        await wire.send_head(
            f"Content-Type: {FORM}",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in headers.items()),
        )
        await wire.send(body[: body.index(b"\x89PNG")])
        answer = await wire.read_answer()
    assert (answer.status_code, answer.headers["idempotent-replayed"]) == (200, "true")
    assert answer.json()["submission_id"] == first.json()["submission_id"]


async def test_a_known_form_without_digests_is_answered_after_its_files(
    server: Running,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
) -> None:
    raw = encoded(submission(student, assignment))
    body = form(Part("metadata", raw), PICTURE)
    await spark.send_form(body, signature=spark.sign(raw))
    cut = body.index(b"\x89PNG")
    async with connect(server) as wire:
        await wire.send_head(
            f"Content-Type: {FORM}",
            f"Content-Length: {len(body)}",
            f"X-Spark-Signature: {spark.sign(raw)}",
        )
        await wire.send(body[:cut])
        assert len(await deliveries_of(sessions, raw)) == 1
        await wire.send(body[cut:])
        answer = await wire.read_answer()
    assert (answer.status_code, answer.headers["idempotent-replayed"]) == (200, "true")


async def test_a_known_form_with_digests_does_not_look_at_files_that_do_not_fit(
    spark: Spark, student: SignedIn, assignment: Assignment, settings: Settings
) -> None:
    """The signed list says what the message is; it was handled, so the files are not needed."""
    raw = with_files(student, assignment, declared(PICTURE))
    await hand_in(spark, raw, PICTURE)
    answer = await hand_in(spark, raw, REPORT)
    assert answer.headers["idempotent-replayed"] == "true"
    assert [file["name"] for file in answer.json()["files"]] == ["gauge.png"]
    assert len(await object_keys(settings, student.user_id)) == 1
