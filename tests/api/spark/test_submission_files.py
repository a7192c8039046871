"""The submission webhook with files: what arrives, what is refused, what stays (FAULTS F, G, H)."""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from app.database import Sessions
from app.files.places import Places
from app.files.uploads import sweep_uploads
from app.settings import Settings
from app.storage.bucket import Bucket
from app.storage.store_stream import store_stream
from tests.support import samples
from tests.support.bodies import BOUNDARY, Part, cut, form
from tests.support.elsewhere import Elsewhere, change_intake, run_elsewhere
from tests.support.problems import assert_problem
from tests.support.running import Running
from tests.support.spark import FORM, SUBMISSION, Assignment, SignedIn, Spark, submission
from tests.support.stored import (
    NOTHING,
    ONCE,
    assert_only_committed,
    blocks_of,
    eventually,
    expire_leases,
    kept,
    object_keys,
    read_object,
    unfinished_keys,
    uploads_of,
)
from tests.support.wire import Wire, connect

MEBIBYTE = 1024 * 1024
PICTURE = Part("file1", samples.png(), filename="gauge.png", content_type="image/png")
REPORT = Part("file2", samples.pdf(), filename="report.pdf", content_type="application/pdf")
NOTES = Part("file3", b"calm\n", filename="notes.txt", content_type="text/plain")
PAGE = Part("page", b"<html><body>hello", filename="page.html", content_type="text/html")
UUID_KEY = re.compile(r"[0-9a-f-]{36}/[0-9a-f-]{36}\.[a-z0-9]{2,4}")


def metadata(student: SignedIn, assignment: Assignment, **changes: Any) -> bytes:
    return json.dumps(submission(student, assignment, **changes)).encode()


async def pieces(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def bytes_of(answer: httpx.Response) -> list[tuple[str, int, str]]:
    assert answer.status_code == 200, answer.text
    return [(file["name"], file["size"], file["sha256"]) for file in answer.json()["files"]]


def as_received(*parts: Part) -> list[tuple[str, int, str]]:
    return [
        (part.filename or "", len(part.content), hashlib.sha256(part.content).hexdigest())
        for part in parts
    ]


# ---------------------------------------------------------------------------- what arrives


@pytest.mark.parametrize("metadata_last", [False, True], ids=["P110-first", "P110-last"])
async def test_files_come_before_or_after_their_metadata(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    settings: Settings,
    *,
    metadata_last: bool,
) -> None:
    payload = submission(student, assignment)
    parts = (PICTURE, REPORT, NOTES)
    answer = await spark.submit_form(payload, *parts, metadata_last=metadata_last)
    assert bytes_of(answer) == as_received(*parts)
    uploads = await uploads_of(sessions, student.user_id)
    stored = [await read_object(settings, upload.object_key) for upload in uploads]
    assert stored == [part.content for part in parts]
    await assert_only_committed(settings, sessions, student.user_id)


async def test_files_around_their_metadata_keep_the_order_they_came_in(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = metadata(student, assignment)
    body = form(PICTURE, Part("metadata", raw), REPORT)
    answer = await spark.send_form(body, signature=spark.sign(raw))
    assert bytes_of(answer) == as_received(PICTURE, REPORT)


@pytest.mark.parametrize("metadata_last", [False, True], ids=["P111", "P110"])
async def test_a_wrong_signature_stores_nothing(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    settings: Settings,
    *,
    metadata_last: bool,
) -> None:
    described = Part("metadata", metadata(student, assignment))
    body = form(PICTURE, described) if metadata_last else form(described, PICTURE)
    answer = await spark.send_form(body, signature="0" * 64)
    assert_problem(answer, 401, "signature_invalid")
    assert await uploads_of(sessions, student.user_id) == []
    assert await object_keys(settings, student.user_id) == []


async def test_p111_a_wrong_signature_is_answered_before_the_files_are_sent(
    server: Running, student: SignedIn, assignment: Assignment
) -> None:
    opened = form(Part("metadata", metadata(student, assignment)), PICTURE)
    async with connect(server) as wire:
        await wire.send_head(
            f"Content-Type: {FORM}",
            f"Content-Length: {150 * MEBIBYTE}",
            f"X-Spark-Signature: {'0' * 64}",
        )
        await wire.send(opened[: opened.index(b"\x89PNG")])
        assert_problem(await wire.read_answer(), 401, "signature_invalid")


@pytest.mark.parametrize("size", [100, 64 * 1024])
async def test_p126_a_body_may_come_in_chunks_without_a_length(
    spark: Spark, student: SignedIn, assignment: Assignment, size: int
) -> None:
    raw = metadata(student, assignment)
    body = pieces(cut(form(Part("metadata", raw), PICTURE, REPORT), size))
    answer = await spark.send_form(body, signature=spark.sign(raw))
    assert bytes_of(answer) == as_received(PICTURE, REPORT)


async def test_p155_a_body_may_come_byte_by_byte(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = metadata(student, assignment)
    body = pieces(cut(form(Part("metadata", raw), PICTURE), 1))
    answer = await spark.send_form(body, signature=spark.sign(raw))
    assert bytes_of(answer) == as_received(PICTURE)


async def test_p056_p074_a_form_without_a_signature_is_not_asked_for(server: Running) -> None:
    async with connect(server) as wire:
        await wire.send_head(
            f"Content-Type: {FORM}", "Content-Length: 5000000", "Expect: 100-continue"
        )
        assert_problem(await wire.read_answer(), 401, "signature_missing")


async def test_a_form_with_a_signature_is_asked_for(
    server: Running, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = metadata(student, assignment)
    body = form(PICTURE, Part("metadata", raw))
    async with connect(server) as wire:
        await wire.send_head(
            f"Content-Type: {FORM}",
            f"Content-Length: {len(body)}",
            f"X-Spark-Signature: {spark.sign(raw)}",
            "Expect: 100-continue",
        )
        assert (await wire.read_head()).status_code == 100
        await wire.send(body)
        assert bytes_of(await wire.read_answer()) == as_received(PICTURE)


@pytest.mark.parametrize(
    "label", ["application/octet-stream", "application/x-unknown", "image/jpeg", None]
)
async def test_p128_p129_the_content_decides_the_type_and_not_the_label(
    spark: Spark, student: SignedIn, assignment: Assignment, label: str | None
) -> None:
    parts = [
        Part("f", part.content, filename=part.filename, content_type=label)
        for part in (PICTURE, REPORT, NOTES)
    ]
    answer = await spark.submit_form(submission(student, assignment), *parts)
    found = [file["content_type"] for file in answer.json()["files"]]
    assert found == ["image/png", "application/pdf", "text/plain"]


async def test_p117_files_under_one_name_are_all_kept(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    parts = [Part("files[]", b"%d\n" % n, filename="same.txt") for n in range(3)]
    answer = await spark.submit_form(submission(student, assignment), *parts)
    assert bytes_of(answer) == as_received(*parts)


@pytest.mark.parametrize(
    ("before", "behind"),
    [((NOTES,), ()), ((), (NOTES,)), ((NOTES,), (PICTURE,))],
    ids=["P109-last", "P109-first", "P109-between"],
)
async def test_metadata_with_a_file_name_is_the_metadata_when_there_is_no_other(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    before: tuple[Part, ...],
    behind: tuple[Part, ...],
) -> None:
    raw = metadata(student, assignment)
    body = form(*before, Part("metadata", raw, filename="metadata.json"), *behind)
    answer = await spark.send_form(body, signature=spark.sign(raw))
    assert answer.status_code == 200, answer.text
    names = [file["name"] for file in answer.json()["files"]]
    assert names == [part.filename for part in (*before, *behind)]


async def test_f07_a_signed_file_is_found_whatever_happened_to_its_name(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    """As aiohttp sends it; and as something sends it that knows no other letters."""
    name, content = "re\u0301sume\u0301 1.txt", b"calm\n"
    listed = {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    spellings = {
        "r\xe9sum\xe9 1.txt": b'filename="r%C3%A9sum%C3%A9%201.txt"; '
        b"filename*=utf-8''r%C3%A9sum%C3%A9%201.txt",
        "r_sum_ 1.txt": b'filename="r_sum_ 1.txt"',
    }
    for shown, filename in spellings.items():
        raw = metadata(student, assignment, files=[listed])
        part = disposition(b'name="f"; ' + filename)
        answer = await spark.send_form(form(described(raw), part), signature=spark.sign(raw))
        assert answer.status_code == 200, answer.text
        assert [file["name"] for file in answer.json()["files"]] == [shown]


async def test_files_need_no_text(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    payload = submission(student, assignment, submission_text=None)
    assert bytes_of(await spark.submit_form(payload, REPORT)) == as_received(REPORT)
    kinds = [block.block_type for block in await blocks_of(sessions, student.user_id)]
    assert kinds == ["document"]


async def test_a_form_needs_no_files(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    assert bytes_of(await spark.submit_form(submission(student, assignment))) == []


async def test_p125_an_empty_file_input_is_no_content(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    payload = submission(student, assignment, submission_text=None)
    answer = await spark.submit_form(payload, Part("file1", b"", filename=""))
    assert_problem(answer, 400, "content_missing")


@pytest.mark.parametrize("metadata_last", [False, True])
async def test_p125_an_empty_file_input_beside_a_text_is_passed_over(
    spark: Spark, student: SignedIn, assignment: Assignment, *, metadata_last: bool
) -> None:
    answer = await spark.submit_form(
        submission(student, assignment),
        Part("file1", b"", filename=""),
        metadata_last=metadata_last,
    )
    assert bytes_of(answer) == []


async def test_p120_what_follows_the_closing_boundary_is_ignored(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = metadata(student, assignment)
    second = form(Part("metadata", metadata(student, assignment, submission_text="No.")), REPORT)
    body = form(Part("metadata", raw), PICTURE) + second
    answer = await spark.send_form(body, signature=spark.sign(raw))
    assert bytes_of(answer) == as_received(PICTURE)
    assert await kept(sessions, student.user_id) == ONCE


async def test_p123_content_that_looks_like_a_boundary_is_kept(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    tricky = Part("f", b"a\r\n--Bx\r\n--" + BOUNDARY[:-1] + b"\r\n" + BOUNDARY, filename="a.txt")
    answer = await spark.submit_form(submission(student, assignment), tricky)
    assert bytes_of(answer) == as_received(tricky)


async def test_p144_an_empty_text_file_is_kept(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, settings: Settings
) -> None:
    empty = Part("f", b"", filename="empty.txt")
    answer = await spark.submit_form(submission(student, assignment), empty)
    assert bytes_of(answer) == as_received(empty)
    await assert_only_committed(settings, sessions, student.user_id)


# ---------------------------------------------------------------------------- evidence


async def blocks_by_type(sessions: Sessions, student: SignedIn) -> list[tuple[str, dict[str, Any]]]:
    """Each block's content without its pointer."""
    found = await blocks_of(sessions, student.user_id)
    return [
        (block.block_type, {key: value for key, value in block.content.items() if key != "url"})
        for block in found
    ]


async def test_blocks_have_the_shapes_of_the_editor(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    film = Part("f", samples.mp4(), filename="storm.mp4")
    payload = submission(student, assignment, submission_text="Text.")
    await spark.submit_form(payload, PICTURE, film, REPORT, metadata_last=True)
    facts = [
        {"filename": name, "file_size": len(content), "content_type": media_type}
        for name, content, media_type in (
            ("gauge.png", PICTURE.content, "image/png"),
            ("storm.mp4", film.content, "video/mp4"),
            ("report.pdf", REPORT.content, "application/pdf"),
        )
    ]
    caption = "Submitted via Spark LMS: gauge.png"
    assert await blocks_by_type(sessions, student) == [
        ("text", {"text": "Text."}),
        ("image", {"alt": "gauge.png", "caption": caption} | facts[0]),
        ("video", {"title": "storm.mp4", "platform": "custom"} | facts[1]),
        ("document", {"title": "report.pdf"} | facts[2]),
    ]


async def test_a_block_points_to_the_object_by_bucket_and_key(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, settings: Settings
) -> None:
    payload = submission(student, assignment, submission_text=None)
    await spark.submit_form(payload, PICTURE)
    [block] = await blocks_of(sessions, student.user_id)
    [key] = await object_keys(settings, student.user_id)
    assert block.content["url"] == f"{settings.s3_bucket}/{key}"
    assert block.uploaded_by_user_id == UUID(student.user_id)


KINDS = {
    "jpg": samples.jpeg(),
    "png": samples.png(),
    "gif": samples.gif(),
    "webp": samples.webp(),
    "heic": samples.heic(),
    "mp4": samples.mp4(),
    "mov": samples.quicktime(),
    "avi": samples.avi(),
    "pdf": samples.pdf(),
    "doc": samples.doc(),
    "docx": samples.docx(),
    "txt": b"calm\n",
}


@pytest.mark.parametrize("extension", KINDS, ids=lambda extension: f"P136-{extension}")
async def test_the_object_key_ends_in_the_detected_type_and_holds_nothing_of_the_name(
    spark: Spark, student: SignedIn, assignment: Assignment, settings: Settings, extension: str
) -> None:
    file = Part("f", KINDS[extension], filename="secret-name")
    answer = await spark.submit_form(submission(student, assignment), file)
    assert answer.status_code == 200, answer.text
    [key] = await object_keys(settings, student.user_id)
    assert UUID_KEY.fullmatch(key)
    assert key.startswith(f"{student.user_id}/")
    assert key.endswith(f".{extension}")


async def test_a_new_revision_shows_its_files_and_keeps_those_of_the_first(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, settings: Settings
) -> None:
    payload = submission(student, assignment, submission_text=None)
    first = await spark.submit_form(payload, PICTURE)
    second = await spark.submit_form(submission(student, assignment), REPORT)
    assert (second.json()["revision"], second.json()["xp_awarded"]) == (2, 0)
    assert second.json()["completion_id"] == first.json()["completion_id"]
    kinds = [block.block_type for block in await blocks_of(sessions, student.user_id)]
    assert kinds == ["text", "document"]
    assert len(await object_keys(settings, student.user_id)) == 2
    await assert_only_committed(settings, sessions, student.user_id)


# ---------------------------------------------------------------------------- names


NAMES = {
    "P137-exe": ("report.pdf.exe", samples.pdf(), "report.pdf.exe.pdf"),
    "P137-html": ("x.html", b"calm\n", "x.html.txt"),
    "P138-py": ("calculator.py", samples.CALCULATOR.encode(), "calculator.py"),
    "P138-js": ("run.js", b"let a = 1;\n", "run.js"),
    "P138-none": ("notes", b"calm\n", "notes"),
    "P139-parents": ("../../etc/passwd.txt", b"calm\n", "passwd.txt"),
    "P139-windows": ("C:\\x\\a.pdf", samples.pdf(), "a.pdf"),
    "P139-root": ("/abs/a.txt", b"calm\n", "a.txt"),
    "P140-line-feed": ("a\nb.txt", b"calm\n", "ab.txt"),
    "P141-quotes": ('the "best"; one.txt', b"calm\n", 'the "best"; one.txt'),
    "P141-umlauts": ("Übung 🌧.txt", b"calm\n", "Übung 🌧.txt"),
    "P142-markup": (
        "<img src=x onerror=alert(1)>.png",
        samples.png(),
        "<img src=x onerror=alert(1)>.png",
    ),
    "P143-long": ("ä" * 300 + ".txt", b"calm\n", "ä" * 125 + ".txt"),
    "P129-other-type": ("gauge.png", samples.jpeg(), "gauge.png.jpg"),
}


@pytest.mark.parametrize(("sent", "content", "shown"), NAMES.values(), ids=NAMES)
async def test_a_name_is_kept_as_far_as_it_is_harmless(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    sent: str,
    content: bytes,
    shown: str,
) -> None:
    answer = await spark.submit_form(
        submission(student, assignment), Part("f", content, filename=sent)
    )
    assert [name for name, _, _ in bytes_of(answer)] == [shown]
    assert [upload.filename for upload in await uploads_of(sessions, student.user_id)] == [shown]


@pytest.mark.parametrize("control", [b"\n", b"\0", b"\x1b", b"\t"], ids=lambda c: f"P140-{c[0]}")
async def test_a_control_character_sent_as_it_is_does_not_reach_the_name(
    spark: Spark, student: SignedIn, assignment: Assignment, control: bytes
) -> None:
    raw = metadata(student, assignment)
    head = b'Content-Disposition: form-data; name="f"; filename="a%sb.txt"\r\n\r\n' % control
    body = form(Part("metadata", raw), head + b"calm\n")
    answer = await spark.send_form(body, signature=spark.sign(raw))
    assert [name for name, _, _ in bytes_of(answer)] == ["ab.txt"]


# ---------------------------------------------------------------------------- what is refused

Body = Callable[[bytes], bytes]


def disposition(line: bytes, *more: bytes) -> bytes:
    return b"\r\n".join([b"Content-Disposition: form-data; " + line, *more, b"", b"calm\n"])


def described(raw: bytes) -> Part:
    return Part("metadata", raw)


BAD_FORMS: dict[str, tuple[Body, str]] = {
    "P105-in-a-file": (lambda raw: form(described(raw), NOTES)[:-60], "multipart_truncated"),
    "P106-no-end": (
        lambda raw: form(described(raw), NOTES)[: -len(BOUNDARY) - 6],
        "multipart_truncated",
    ),
    "P107-no-metadata": (lambda _: form(NOTES), "metadata_missing"),
    "P107-nothing": (lambda _: form(), "metadata_missing"),
    "P108-same": (
        lambda raw: form(described(raw), NOTES, described(raw)),
        "metadata_duplicate",
    ),
    "P108-other": (
        lambda raw: form(described(raw), Part("metadata", b"{}"), NOTES),
        "metadata_duplicate",
    ),
    "P109-two-with-filename": (
        lambda raw: form(*[Part("metadata", raw, filename="metadata.json")] * 2, NOTES),
        "metadata_duplicate",
    ),
    "P114-base64": (
        lambda raw: form(
            described(raw),
            Part("f", b"Y2FsbQ==", "a.txt", headers=[b"Content-Transfer-Encoding: base64"]),
        ),
        "multipart_invalid",
    ),
    "P115-nested": (
        lambda raw: form(described(raw), Part("f", b"calm\n", "a", "multipart/mixed; boundary=x")),
        "multipart_invalid",
    ),
    "P116-21-files": (lambda raw: form(described(raw), *[NOTES] * 21), "too_many_files"),
    "P116-21-files-first": (lambda raw: form(*[NOTES] * 21, described(raw)), "too_many_files"),
    "P116-101-parts": (
        lambda raw: form(described(raw), *[Part("field", b"1")] * 100),
        "multipart_invalid",
    ),
    "P119-preamble": (lambda raw: b"hello\r\n" + form(described(raw)), "multipart_invalid"),
    "P121-line-feeds": (
        lambda raw: form(described(raw), NOTES).replace(b"\r\n", b"\n"),
        "multipart_invalid",
    ),
    "P122-no-name": (
        lambda raw: form(described(raw), disposition(b'filename="a.txt"')),
        "multipart_invalid",
    ),
    "P124-name-in-pieces": (
        lambda raw: form(described(raw), disposition(b'name="f"; filename*0="a.txt"')),
        "multipart_invalid",
    ),
    "P126-object": (lambda _: b"[object FormData]", "multipart_invalid"),
    "P140-carriage-return": (
        lambda raw: form(described(raw), disposition(b'name="f"; filename="a\r\nb.txt"')),
        "multipart_invalid",
    ),
}


@pytest.mark.parametrize(("build", "code"), BAD_FORMS.values(), ids=BAD_FORMS)
async def test_a_malformed_form_stores_nothing(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    settings: Settings,
    *,
    build: Body,
    code: str,
) -> None:
    raw = metadata(student, assignment)
    answer = await spark.send_form(build(raw), signature=spark.sign(raw))
    assert_problem(answer, 400, code)
    assert await kept(sessions, student.user_id) == NOTHING
    assert await uploads_of(sessions, student.user_id) == []
    assert await object_keys(settings, student.user_id) == []


@pytest.mark.parametrize(
    ("content_type", "start"),
    [
        ("multipart/form-data; boundary=*****", b""),
        ("multipart/form-data; charset=ISO-8859-1; boundary=x", b""),
        ('Multipart/Form-Data ; type="a;b"; boundary="x"', b""),
        ("multipart/form-data; boundary=x", b"\r\n"),
    ],
    ids=["F13", "R32-Java", "R32-unknown-parameter", "F14"],
)
async def test_a_form_is_read_as_senders_frame_it(
    spark: Spark, student: SignedIn, assignment: Assignment, content_type: str, start: bytes
) -> None:
    raw = metadata(student, assignment)
    boundary = b"*****" if "*" in content_type else b"x"
    answer = await spark.browser.post(
        SUBMISSION,
        content=start + form(described(raw), NOTES, boundary=boundary),
        headers={"Content-Type": content_type, "X-Spark-Signature": spark.sign(raw)},
    )
    assert answer.status_code == 200, answer.text


BAD_BOUNDARIES = {
    "P104-absent": "multipart/form-data",
    "P104-empty": "multipart/form-data; boundary=",
    "P104-300-bytes": f"multipart/form-data; boundary={'b' * 300}",
}


@pytest.mark.parametrize("content_type", BAD_BOUNDARIES.values(), ids=BAD_BOUNDARIES)
async def test_a_form_needs_a_boundary(
    spark: Spark, student: SignedIn, assignment: Assignment, content_type: str
) -> None:
    raw = metadata(student, assignment)
    headers = {"Content-Type": content_type, "X-Spark-Signature": spark.sign(raw)}
    answer = await spark.browser.post(SUBMISSION, content=form(described(raw)), headers=headers)
    assert_problem(answer, 400, "multipart_invalid")


async def test_p113_a_form_in_utf_16_is_not_read(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = metadata(student, assignment).decode().encode("utf-16")
    answer = await spark.browser.post(
        SUBMISSION,
        content=form(described(raw)),
        headers={
            "Content-Type": f"{FORM}; charset=utf-16",
            "X-Spark-Signature": spark.sign(raw),
        },
    )
    assert_problem(answer, 415, "media_type_unsupported")


@pytest.mark.parametrize("early", [(), (NOTES,)], ids=["P112", "P112-file-first"])
async def test_metadata_may_have_8_mebibytes(
    spark: Spark, student: SignedIn, assignment: Assignment, early: tuple[Part, ...]
) -> None:
    raw = metadata(student, assignment).ljust(8 * MEBIBYTE)
    answer = await spark.send_form(form(*early, described(raw)), signature=spark.sign(raw))
    assert answer.status_code == 200, answer.text


async def test_p112_metadata_of_a_byte_more_is_refused(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = metadata(student, assignment).ljust(8 * MEBIBYTE + 1)
    answer = await spark.send_form(form(described(raw)), signature=spark.sign(raw))
    assert_problem(answer, 413, "body_too_large")


async def test_p127_a_thousand_tiny_parts_are_refused(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = metadata(student, assignment)
    body = form(described(raw), *[Part("f", b"")] * 1000)
    answer = await spark.send_form(body, signature=spark.sign(raw))
    assert_problem(answer, 400, "multipart_invalid")


BAD_FILES = {
    "P130-html": (b"<html><body>hello", "text/html"),
    "P130-zip": (samples.zipped("a.txt"), "application/zip"),
    "P130-windows": (samples.windows_program(), "application/x-dosexec"),
    "P133-nul-late": (b"calm\n" * 4000 + b"\0", "application/octet-stream"),
    "P144-placeholder": (b"", "application/x-empty"),
}


@pytest.mark.parametrize(("content", "detected"), BAD_FILES.values(), ids=BAD_FILES)
async def test_a_bad_file_is_named_and_nothing_of_the_submission_stays(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    settings: Settings,
    *,
    content: bytes,
    detected: str,
) -> None:
    bad = Part("f", content, filename="bad.pdf")
    answer = await spark.submit_form(submission(student, assignment), PICTURE, bad, REPORT)
    problem = assert_problem(answer, 400, "file_type_not_allowed")
    detail = f"File type {detected} not allowed"
    assert problem["error"] == detail
    named = [{"file": "bad.pdf", "code": "file_type_not_allowed", "detail": detail}]
    assert problem["errors"] == named
    assert await kept(sessions, student.user_id) == NOTHING
    assert await uploads_of(sessions, student.user_id) == []
    assert await object_keys(settings, student.user_id) == []


async def test_p145_every_bad_file_is_named(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    late = Part("f", b"calm\n" * 4000 + b"\0", filename="late.txt")
    answer = await spark.submit_form(
        submission(student, assignment), PICTURE, late, REPORT, PAGE, NOTES
    )
    problem = assert_problem(answer, 400, "file_type_not_allowed")
    assert isinstance(problem["errors"], list)
    assert [fault["file"] for fault in problem["errors"]] == ["late.txt", "page.html"]
    assert await uploads_of(sessions, student.user_id) == []


async def test_p135_a_document_that_expands_too_far_is_refused(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    content = samples.zip_of_zeros(*samples.DOCX_PARTS, size=201 * MEBIBYTE)
    bomb = Part("f", content, filename="essay.docx")
    answer = await spark.submit_form(submission(student, assignment), bomb)
    problem = assert_problem(answer, 413, "file_expands_too_large")
    assert problem["errors"]
    assert await uploads_of(sessions, student.user_id) == []


# ---------------------------------------------------------------------------- sizes


@pytest.fixture(scope="module")
async def small(settings: Settings) -> AsyncIterator[Elsewhere]:
    """Limits of 1 MiB a file, 2 MiB of files and 3 MiB of body."""
    limits = {
        "max_file_bytes": MEBIBYTE,
        "max_total_file_bytes": 2 * MEBIBYTE,
        "max_body_bytes": 3 * MEBIBYTE,
    }
    async with run_elsewhere(settings, **limits) as elsewhere:
        yield elsewhere


def notes_of(*sizes: int) -> list[Part]:
    return [
        Part("f", b"a" * size, filename=f"notes{position}.txt")
        for position, size in enumerate(sizes, start=1)
    ]


@pytest.mark.parametrize("metadata_last", [False, True])
async def test_p149_p150_files_up_to_the_limits_are_kept(
    small: Elsewhere, student: SignedIn, assignment: Assignment, *, metadata_last: bool
) -> None:
    parts = notes_of(MEBIBYTE, MEBIBYTE)
    answer = await small.spark.submit_form(
        submission(student, assignment), *parts, metadata_last=metadata_last
    )
    assert bytes_of(answer) == as_received(*parts)


TOO_LARGE = {
    "P149": ((MEBIBYTE + 1,), "file_too_large", "File notes1.txt exceeds 1MB limit"),
    "P149-second": ((5, MEBIBYTE + 1), "file_too_large", "File notes2.txt exceeds 1MB limit"),
    "P150": ((MEBIBYTE, MEBIBYTE, 1), "total_too_large", "Total file size exceeds 2MB limit"),
}


@pytest.mark.parametrize("metadata_last", [False, True])
@pytest.mark.parametrize(("sizes", "code", "error"), TOO_LARGE.values(), ids=TOO_LARGE)
async def test_a_byte_more_than_a_limit_stores_nothing(
    small: Elsewhere,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    sizes: tuple[int, ...],
    code: str,
    error: str,
    metadata_last: bool,
) -> None:
    answer = await small.spark.submit_form(
        submission(student, assignment), *notes_of(*sizes), metadata_last=metadata_last
    )
    assert assert_problem(answer, 413, code)["error"] == error
    assert await uploads_of(sessions, student.user_id) == []
    assert await object_keys(small.running.settings, student.user_id) == []


async def test_p151_an_announced_length_beyond_the_limit_is_refused_unread(
    small: Elsewhere,
) -> None:
    async with connect(small.running) as wire:
        await wire.send_head(
            f"Content-Type: {FORM}",
            f"Content-Length: {3 * MEBIBYTE + 1}",
            f"X-Spark-Signature: {'0' * 64}",
            "Expect: 100-continue",
        )
        assert_problem(await wire.read_answer(), 413, "body_too_large")


async def test_a_body_in_chunks_ends_at_the_limit(
    small: Elsewhere, student: SignedIn, assignment: Assignment
) -> None:
    raw = metadata(student, assignment)
    padding = [Part("field", b"a" * MEBIBYTE)] * 4
    body = pieces(cut(form(described(raw), *padding), 65536))
    answer = await small.spark.send_form(body, signature=small.spark.sign(raw))
    assert_problem(answer, 413, "body_too_large")


async def test_the_spool_has_a_quota(
    settings: Settings, student: SignedIn, assignment: Assignment
) -> None:
    async with run_elsewhere(settings, spool_max_bytes=MEBIBYTE) as elsewhere:
        [large] = notes_of(MEBIBYTE + 1)
        answer = await elsewhere.spark.submit_form(
            submission(student, assignment), large, metadata_last=True
        )
        assert_problem(answer, 503, "overloaded")
        assert int(answer.headers["retry-after"]) > 0
        [fits] = notes_of(MEBIBYTE)
        again = await elsewhere.spark.submit_form(
            submission(student, assignment), fits, metadata_last=True
        )
    assert again.status_code == 200, again.text


# ---------------------------------------------------------------------------- broken off


@pytest.fixture(scope="module")
async def impatient(settings: Settings) -> AsyncIterator[Elsewhere]:
    async with run_elsewhere(settings, body_idle_seconds=0.3) as elsewhere:
        yield elsewhere


PAUSES: dict[str, Body] = {
    "P156-in-metadata": lambda raw: form(described(raw))[:200],
    "P154-in-a-file": lambda raw: form(described(raw), *notes_of(6 * MEBIBYTE))[:-1000],
    "P156-before-the-end": lambda raw: form(described(raw), NOTES)[:-10],
    "P156-in-an-early-file": lambda raw: form(*notes_of(MEBIBYTE), described(raw))[:-2000],
}


@pytest.mark.parametrize("build", PAUSES.values(), ids=PAUSES)
async def test_a_sender_that_falls_silent_is_told_so(
    impatient: Elsewhere,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    build: Body,
) -> None:
    raw = metadata(student, assignment)
    async with connect(impatient.running) as wire:
        await wire.send_head(
            f"Content-Type: {FORM}",
            f"Content-Length: {8 * MEBIBYTE}",
            f"X-Spark-Signature: {impatient.spark.sign(raw)}",
        )
        await wire.send(build(raw))
        assert_problem(await wire.read_answer(), 408, "body_timeout")
    settings = impatient.running.settings
    await assert_only_committed(settings, sessions, student.user_id)
    assert await kept(sessions, student.user_id) == NOTHING


async def test_json_that_falls_silent_is_told_so(impatient: Elsewhere) -> None:
    async with connect(impatient.running) as wire:
        await wire.send_head(
            "Content-Type: application/json",
            "Content-Length: 1000",
            f"X-Spark-Signature: {'0' * 64}",
        )
        await wire.send(b"{")
        assert_problem(await wire.read_answer(), 408, "body_timeout")


def no_uploads(sessions: Sessions, student: SignedIn) -> Callable[[], Awaitable[bool]]:
    async def is_gone() -> bool:
        return not await uploads_of(sessions, student.user_id)

    return is_gone


def is_streaming(sessions: Sessions, student: SignedIn) -> Callable[[], Awaitable[bool]]:
    async def has_begun() -> bool:
        return bool(await uploads_of(sessions, student.user_id))

    return has_begun


async def test_p195_a_client_that_leaves_in_a_file_leaves_nothing(
    server: Running, spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = metadata(student, assignment)
    body = form(described(raw), PICTURE, *notes_of(12 * MEBIBYTE))
    async with connect(server) as wire:
        await wire.send_head(
            f"Content-Type: {FORM}",
            f"Content-Length: {len(body)}",
            f"X-Spark-Signature: {spark.sign(raw)}",
        )
        await wire.send(body[: 11 * MEBIBYTE])
        await eventually(is_streaming(sessions, student))
        assert {row.state for row in await uploads_of(sessions, student.user_id)} == {"pending"}
    await eventually(no_uploads(sessions, student))
    await assert_only_committed(server.settings, sessions, student.user_id)
    assert await kept(sessions, student.user_id) == NOTHING


async def test_p195_after_a_client_left_its_retry_succeeds(
    server: Running, spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = metadata(student, assignment)
    body = form(described(raw), *notes_of(6 * MEBIBYTE))
    async with connect(server) as wire:
        await wire.send_head(
            f"Content-Type: {FORM}",
            f"Content-Length: {len(body)}",
            f"X-Spark-Signature: {spark.sign(raw)}",
        )
        await wire.send(body[:MEBIBYTE])
        await eventually(is_streaming(sessions, student))
    answer = await spark.send_form(body, signature=spark.sign(raw))
    assert bytes_of(answer) == as_received(*notes_of(6 * MEBIBYTE))
    await eventually(lambda: _all_committed(sessions, student))
    await assert_only_committed(server.settings, sessions, student.user_id)


async def _all_committed(sessions: Sessions, student: SignedIn) -> bool:
    return {row.state for row in await uploads_of(sessions, student.user_id)} == {"committed"}


async def test_what_a_crash_left_is_swept_after_its_lease(
    server: Running, student: SignedIn, sessions: Sessions, bucket: Bucket
) -> None:
    key = f"{student.user_id}/018f0000-0000-7000-8000-000000000001.txt"
    await store_stream(bucket, key, pieces([b"calm\n"]), content_type="text/plain")
    await bucket.create_upload(key, content_type="text/plain")
    async with sessions() as session, session.begin():
        await session.execute(
            text(
                "insert into spark.uploads (id, user_id, object_key, lease_until)"
                " values (gen_random_uuid(), :user_id, :key, now() + interval '1 hour')"
            ),
            {"user_id": student.user_id, "key": key},
        )
    await sweep_uploads(sessions, bucket)
    assert await object_keys(server.settings, student.user_id) == [key]
    await expire_leases(sessions, student.user_id)
    await sweep_uploads(sessions, bucket)
    await assert_only_committed(server.settings, sessions, student.user_id)
    assert await uploads_of(sessions, student.user_id) == []


async def test_the_sweep_leaves_committed_files(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    settings: Settings,
    sessions: Sessions,
    bucket: Bucket,
) -> None:
    await spark.submit_form(submission(student, assignment), PICTURE)
    await expire_leases(sessions, student.user_id)
    await sweep_uploads(sessions, bucket)
    assert len(await object_keys(settings, student.user_id)) == 1


@asynccontextmanager
async def half_sent(
    running: Running, spark: Spark, body: bytes, raw: bytes
) -> AsyncIterator[tuple[Wire, bytes]]:
    """A connection that has sent half of a form, and the half that is missing."""
    half = len(body) // 2
    async with connect(running) as wire:
        await wire.send_head(
            f"Content-Type: {FORM}",
            f"Content-Length: {len(body)}",
            f"X-Spark-Signature: {spark.sign(raw)}",
        )
        await wire.send(body[:half])
        yield wire, body[half:]


async def test_p165_a_handler_whose_lease_ran_out_gives_the_answer_of_its_successor(
    server: Running, spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = metadata(student, assignment)
    body = form(described(raw), *notes_of(MEBIBYTE))
    async with half_sent(server, spark, body, raw) as (wire, rest):
        await eventually(is_streaming(sessions, student))
        await expire_leases(sessions, student.user_id)
        successor = await spark.send_form(body, signature=spark.sign(raw))
        await wire.send(rest)
        late = await wire.read_answer()
    assert (successor.status_code, late.status_code) == (200, 200)
    assert late.headers["idempotent-replayed"] == "true"
    assert late.json()["submission_id"] == successor.json()["submission_id"]
    assert await kept(sessions, student.user_id) == ONCE
    await assert_only_committed(server.settings, sessions, student.user_id)


async def test_a_file_that_was_swept_while_it_arrived_is_not_recorded(
    server: Running,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    bucket: Bucket,
) -> None:
    raw = metadata(student, assignment)
    body = form(described(raw), *notes_of(MEBIBYTE))
    async with half_sent(server, spark, body, raw) as (wire, rest):
        await eventually(is_streaming(sessions, student))
        await expire_leases(sessions, student.user_id)
        await sweep_uploads(sessions, bucket)
        await wire.send(rest)
        assert_problem(await wire.read_answer(), 503, "storage_unavailable")
    assert await kept(sessions, student.user_id) == NOTHING
    again = await spark.send_form(body, signature=spark.sign(raw))
    assert bytes_of(again) == as_received(*notes_of(MEBIBYTE))


async def test_a_file_that_a_sweeper_has_just_claimed_is_not_recorded(
    server: Running, spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = metadata(student, assignment)
    body = form(described(raw), *notes_of(MEBIBYTE))
    async with half_sent(server, spark, body, raw) as (wire, rest):
        await eventually(is_streaming(sessions, student))
        async with sessions() as session, session.begin():
            await session.execute(
                text("update spark.uploads set state = 'deleting' where user_id = :user_id"),
                {"user_id": student.user_id},
            )
        await wire.send(rest)
        assert_problem(await wire.read_answer(), 503, "storage_unavailable")
    assert await kept(sessions, student.user_id) == NOTHING


@asynccontextmanager
async def taken_place(
    settings: Settings, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> AsyncIterator[tuple[Elsewhere, Wire, bytes]]:
    """The only one for a form: it is held by a sender who has not sent the rest of it yet."""
    raw = metadata(student, assignment)
    body = form(described(raw), *notes_of(MEBIBYTE))
    async with (
        run_elsewhere(settings, max_concurrent_uploads=1) as elsewhere,
        half_sent(elsewhere.running, elsewhere.spark, body, raw) as (wire, rest),
    ):
        await eventually(is_streaming(sessions, student))
        yield elsewhere, wire, rest


async def test_h3_a_form_that_finds_no_place_waits_for_one(
    settings: Settings, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = metadata(student, assignment)
    body = form(described(raw), PICTURE)
    async with (
        taken_place(settings, student, assignment, sessions) as (elsewhere, holder, rest),
        connect(elsewhere.running) as waiting,
    ):
        await waiting.send_head(
            f"Content-Type: {FORM}",
            f"Content-Length: {len(body)}",
            f"X-Spark-Signature: {elsewhere.spark.sign(raw)}",
            "Expect: 100-continue",
        )
        assert (await waiting.read_head()).status_code == 100
        await waiting.send(body)
        text_only = await elsewhere.spark.submit(submission(student, assignment))
        assert text_only.status_code == 200
        await holder.send(rest)
        assert (await holder.read_answer()).status_code == 200
        assert bytes_of(await waiting.read_answer()) == as_received(PICTURE)


async def test_h3_a_form_that_waited_in_vain_is_told_to_come_again(
    settings: Settings, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    async with taken_place(settings, student, assignment, sessions) as (elsewhere, holder, rest):
        none = Places(asyncio.Semaphore(0), wait_seconds=0.1)
        change_intake(elsewhere.running, places=none)
        refused = await elsewhere.spark.submit_form(submission(student, assignment), PICTURE)
        assert_problem(refused, 503, "overloaded")
        assert int(refused.headers["retry-after"]) > 0
        await holder.send(rest)
        assert (await holder.read_answer()).status_code == 200


# ---------------------------------------------------------------------------- storage down


@pytest.fixture(scope="module")
async def without_storage(
    settings: Settings, unused_tcp_port_factory: Callable[[], int]
) -> AsyncIterator[Elsewhere]:
    nowhere = f"http://127.0.0.1:{unused_tcp_port_factory()}"
    async with run_elsewhere(settings, s3_endpoint_url=nowhere) as elsewhere:
        yield elsewhere


async def test_p164_p179_without_storage_nothing_is_recorded_and_the_retry_succeeds(
    without_storage: Elsewhere,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
) -> None:
    raw = metadata(student, assignment)
    body = form(described(raw), PICTURE)
    refused = await without_storage.spark.send_form(body, signature=spark.sign(raw))
    assert_problem(refused, 503, "storage_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert await kept(sessions, student.user_id) == NOTHING
    answer = await spark.send_form(body, signature=spark.sign(raw))
    assert bytes_of(answer) == as_received(PICTURE)


async def test_a_file_whose_storing_failed_is_left_to_the_sweep(
    without_storage: Elsewhere,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    bucket: Bucket,
) -> None:
    """The store may have taken it after all, so its row has to outlive the failure."""
    await without_storage.spark.submit_form(submission(student, assignment), PICTURE)
    assert [row.state for row in await uploads_of(sessions, student.user_id)] == ["pending"]
    await expire_leases(sessions, student.user_id)
    await sweep_uploads(sessions, bucket)
    assert await uploads_of(sessions, student.user_id) == []


async def test_p186_text_alone_needs_no_storage(
    without_storage: Elsewhere, student: SignedIn, assignment: Assignment
) -> None:
    answer = await without_storage.spark.submit(submission(student, assignment))
    assert answer.status_code == 200


# ---------------------------------------------------------------------------- again


async def test_p158_the_same_form_again_is_replayed_and_stores_nothing(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, settings: Settings
) -> None:
    raw = metadata(student, assignment)
    body = form(described(raw), PICTURE, REPORT)
    first = await spark.send_form(body, signature=spark.sign(raw))
    keys = await object_keys(settings, student.user_id)
    again = await spark.send_form(body, signature=spark.sign(raw))
    assert again.headers["idempotent-replayed"] == "true"
    changed = {"duplicate": True, "xp_awarded": 0, "request_id": again.headers["x-request-id"]}
    assert again.json() == first.json() | changed
    assert await object_keys(settings, student.user_id) == keys
    assert await kept(sessions, student.user_id) == ONCE


OTHER_FILES: dict[str, tuple[Part, ...]] = {
    "P161-other": (REPORT,),
    "P161-more": (PICTURE, REPORT),
    "P161-none": (),
    "P161-early": (REPORT,),
}


@pytest.mark.parametrize("name", OTHER_FILES)
async def test_the_same_metadata_with_other_files_is_refused(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    settings: Settings,
    name: str,
) -> None:
    raw = metadata(student, assignment)
    await spark.send_form(form(described(raw), PICTURE), signature=spark.sign(raw))
    keys = await object_keys(settings, student.user_id)
    parts = [described(raw), *OTHER_FILES[name]]
    body = form(*(reversed(parts) if name == "P161-early" else parts))
    answer = await spark.send_form(body, signature=spark.sign(raw))
    assert_problem(answer, 422, "idempotency_conflict")
    assert await object_keys(settings, student.user_id) == keys
    assert await kept(sessions, student.user_id) == ONCE


async def test_p161_the_same_bytes_as_json_without_the_files_are_refused(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = metadata(student, assignment)
    await spark.send_form(form(described(raw), PICTURE), signature=spark.sign(raw))
    assert_problem(await spark.submit(raw), 422, "idempotency_conflict")


async def test_the_same_files_in_another_order_are_other_content(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    await spark.submit_form(
        submission(student, assignment, submission_text="Rain."), PICTURE, REPORT
    )
    answer = await spark.submit_form(
        submission(student, assignment, submission_text="Rain."), REPORT, PICTURE
    )
    assert answer.json()["revision"] == 2


async def test_p162_the_same_form_at_another_time_is_a_duplicate_and_keeps_no_second_copy(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, settings: Settings
) -> None:
    first = await spark.submit_form(
        submission(student, assignment, submission_text="Rain."), PICTURE
    )
    again = await spark.submit_form(
        submission(student, assignment, submission_text="Rain."), PICTURE
    )
    assert again.json()["duplicate"]
    assert "idempotent-replayed" not in again.headers
    assert again.json()["submission_id"] == first.json()["submission_id"]
    assert again.json()["files"] == first.json()["files"]
    assert len(await object_keys(settings, student.user_id)) == 1
    await assert_only_committed(settings, sessions, student.user_id)


async def test_p160_twenty_identical_forms_at_once_leave_one_set_of_objects(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, settings: Settings
) -> None:
    raw = metadata(student, assignment)
    body = form(described(raw), PICTURE, REPORT)
    sent = (spark.send_form(body, signature=spark.sign(raw)) for _ in range(20))
    answers = await asyncio.gather(*sent)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["completion_id"] for answer in answers}) == 1
    assert sorted(answer.json()["xp_awarded"] for answer in answers) == [0] * 19 + [100]
    assert await kept(sessions, student.user_id) == ONCE
    assert len(await object_keys(settings, student.user_id)) == 2
    await assert_only_committed(settings, sessions, student.user_id)


async def test_an_unfinished_upload_to_the_store_is_not_left_behind(
    spark: Spark, student: SignedIn, assignment: Assignment, settings: Settings
) -> None:
    large = Part("f", b"a" * (6 * MEBIBYTE) + b"\0", filename="notes.txt")
    answer = await spark.submit_form(submission(student, assignment), large)
    assert_problem(answer, 400, "file_type_not_allowed")
    assert await unfinished_keys(settings, student.user_id) == []
    assert await object_keys(settings, student.user_id) == []
