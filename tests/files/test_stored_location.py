"""Every way into the store leaves a picture's place outside (DESIGN R29), and what was sent is what
is answered, compared and signed for.
"""

import hashlib
import io
import zipfile
from typing import Any

import httpx
import pytest

from app.database import Sessions
from app.settings import Settings
from tests.support import samples
from tests.support.bodies import Part
from tests.support.elsewhere import run_elsewhere
from tests.support.evidence import as_read, body_of, desk_of
from tests.support.pictures import (
    CLEAN_JPEG,
    PHONE_JPEG,
    PLACE,
    SCAN,
    TELLING,
    TOLD,
    WORDS,
    film,
    freed,
    jpeg,
    track,
)
from tests.support.spark import Assignment, SignedIn, Spark, submission
from tests.support.stored import (
    assert_only_committed,
    blocks_of,
    read_object,
    uploads_of,
)

PHOTO = Part("photo", PHONE_JPEG, filename="gauge.jpg")
UNREAD = Part("unread", samples.mp4(), filename="rain.mp4")
NOTES = Part("notes", b"calm\n", filename="notes.txt")


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def declared(*parts: Part) -> list[dict[str, Any]]:
    return [
        {"name": part.filename, "sha256": digest(part.content), "size": len(part.content)}
        for part in parts
    ]


LONG = {
    "JPEG, long": ("image/jpeg", jpeg(SCAN * 300), jpeg(SCAN * 300)),
    "JPEG, long trailer": ("image/jpeg", jpeg(behind=PLACE * 20_000), jpeg()),
    "MP4, long": (
        "video/mp4",
        film(b"isom", track(b"vide"), *TELLING, before=bytes(300_000)),
        film(b"isom", track(b"vide"), *freed(*TELLING), before=bytes(300_000)),
    ),
}
SENT = TOLD | LONG


@pytest.mark.parametrize(("media_type", "sent", "stored"), SENT.values(), ids=SENT)
async def test_what_is_handed_in_is_stored_without_its_place(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    settings: Settings,
    *,
    media_type: str,
    sent: bytes,
    stored: bytes,
) -> None:
    part = Part("photo", sent, filename="gauge", content_type=media_type)
    answer = body_of(await spark.submit_form(submission(student, assignment), part))
    [file] = answer["files"]
    assert (file["sha256"], file["size"]) == (digest(sent), len(sent))
    [upload] = await uploads_of(sessions, student.user_id)
    content = await read_object(settings, upload.object_key)
    assert content == stored
    assert not any(word in content for word in WORDS)
    assert (upload.sha256.hex(), upload.size_bytes) == (digest(sent), len(sent))
    assert (upload.stored_sha256.hex(), upload.stored_bytes) == (digest(stored), len(stored))
    assert upload.location == ("none" if sent == stored else "removed")
    [block] = [each for each in await blocks_of(sessions, student.user_id) if "url" in each.content]
    assert block.content["file_size"] == len(stored)
    await assert_only_committed(settings, sessions, student.user_id)


async def test_a_signed_digest_and_a_repetition_are_of_what_was_sent(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    payload = submission(student, assignment, files=declared(PHOTO))
    first = body_of(await spark.submit_form(payload, PHOTO))
    again = body_of(await spark.submit_form(payload, PHOTO))
    assert (again["duplicate"], again["submission_id"]) == (True, first["submission_id"])
    later = body_of(await spark.submit_form(submission(student, assignment), PHOTO))
    assert later["files"] == first["files"]


async def test_the_main_app_reads_what_was_sent_and_what_is_stored(
    browser: httpx.AsyncClient,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    main_app: dict[str, str],
) -> None:
    payload = submission(student, assignment)
    answer = body_of(await spark.submit_form(payload, PHOTO, UNREAD, NOTES))
    path = f"/internal/v1/completions/{answer['completion_id']}"
    files = body_of(await browser.get(path, headers=main_app))["files"]
    assert [file["location"] for file in files] == ["removed", "unknown", None]
    for file, part in zip(files, (PHOTO, UNREAD, NOTES), strict=True):
        assert (file["sha256"], file["size_bytes"]) == (digest(part.content), len(part.content))
        download = (await browser.get(file["url"])).content
        assert (file["stored_sha256"], file["stored_bytes"]) == (digest(download), len(download))
    assert (await browser.get(files[0]["url"])).content == CLEAN_JPEG
    asked = {name: payload[name] for name in ("spark_user_id", "spark_assignment_id")}
    explained = await browser.get("/internal/v1/explain", params=asked, headers=main_app)
    assert body_of(explained)["submission"]["location_unknown"] == 1


async def test_an_export_opens_and_its_sums_are_of_what_is_in_it(
    browser: httpx.AsyncClient,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    main_app: dict[str, str],
) -> None:
    body_of(await spark.submit_form(submission(student, assignment), PHOTO))
    path = f"/internal/v1/students/{student.user_id}/export"
    archive = zipfile.ZipFile(io.BytesIO((await browser.get(path, headers=main_app)).content))
    assert archive.testzip() is None
    [name] = [name for name in archive.namelist() if name.startswith("files/")]
    assert archive.read(name) == CLEAN_JPEG
    assert archive.read("SHA256SUMS").decode() == f"{digest(CLEAN_JPEG)}  {name}\n"


async def test_a_picture_that_a_student_adds_is_stored_without_its_place(
    browser: httpx.AsyncClient, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    task_id = body_of(await spark.submit(submission(student, assignment)))["task_id"]
    desk = desk_of(browser, student, task_id)
    blocks = (await desk.read())["blocks"]
    saved = await desk.saved(*map(as_read, blocks), {"type": "image", "content": {"alt": "mine"}})
    part = Part("file", PHONE_JPEG, filename="gauge.jpg")
    uploaded = body_of(await desk.upload(saved["blocks"][-1]["id"], part))
    assert uploaded["file_size"] == len(CLEAN_JPEG)
    assert (await browser.get(uploaded["file_url"])).content == CLEAN_JPEG


async def test_strip_location_false_keeps_pictures_as_they_are(
    settings: Settings, sessions: Sessions, assignment: Assignment
) -> None:
    async with run_elsewhere(settings, strip_location=False) as service:
        student = await service.spark.sign_in()
        body_of(await service.spark.submit_form(submission(student, assignment), PHOTO))
    [upload] = await uploads_of(sessions, student.user_id)
    assert await read_object(settings, upload.object_key) == PHONE_JPEG
    assert (upload.stored_sha256, upload.location) == (upload.sha256, None)
