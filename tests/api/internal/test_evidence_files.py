"""Files of evidence blocks: added, replaced, taken away, and what is left of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from sqlalchemy import delete, select

from app.database import Sessions
from app.files.places import Places
from app.main import STUDENT_PLACES
from app.models import QuestTaskCompletion, Upload, UserQuestTask
from app.settings import Settings
from app.worker import sweep
from tests.support import samples
from tests.support.bodies import BOUNDARY, Part, form
from tests.support.evidence import EVIDENCE, Desk, as_read, body_of, desk_of, tasks_of, texts
from tests.support.problems import assert_problem
from tests.support.running import Running, run_app
from tests.support.spark import FORM, Assignment, SignedIn, Spark, submission
from tests.support.stored import (
    assert_only_committed,
    audited,
    eventually,
    object_keys,
    read_object,
    uploads_of,
)
from tests.support.wire import connect

PICTURE = Part("file", samples.png(), filename="gauge.png")
OTHER = Part("file", samples.gif(), filename="rain.gif")
REPORT = Part("file", samples.pdf(), filename="report.pdf")
SMALL = 20_000


@pytest.fixture
async def desk(
    browser: httpx.AsyncClient, spark: Spark, student: SignedIn, assignment: Assignment
) -> Desk:
    """Open on a task with a text and a picture of Spark's."""
    payload = submission(student, assignment, submission_text="first")
    handed_in = body_of(await spark.submit_form(payload, PICTURE))
    return desk_of(browser, student, handed_in["task_id"])


async def add_block(desk: Desk, kind: str = "image", **content: Any) -> str:
    """A new block at the end; its id."""
    blocks = (await desk.read())["blocks"]
    new = {"type": kind, "content": {"alt": "mine"} | content}
    saved = await desk.saved(*map(as_read, blocks), new)
    block_id: str = saved["blocks"][-1]["id"]
    return block_id


async def block_of(desk: Desk, block_id: str) -> dict[str, Any]:
    return next(block for block in (await desk.read())["blocks"] if block["id"] == block_id)


async def keys_beside_sparks(settings: Settings, sessions: Sessions, user_id: str) -> list[str]:
    """Objects of this student that no submission brought."""
    sparks = [row.object_key for row in await uploads_of(sessions, user_id) if row.submission_id]
    return [key for key in await object_keys(settings, user_id) if key not in sparks]


# ---------------------------------------------------------------------------- added


@pytest.mark.parametrize(
    ("kind", "name", "media_type", "content"),
    [
        ("image", "a.jpeg", "image/jpeg", samples.jpeg()),
        ("image", "a.heic", "image/heic", samples.heic()),
        ("document", "a.pdf", "application/pdf", samples.pdf()),
        ("document", "a.txt", "text/plain", b"calm\n"),
        ("document", "a.png", "image/png", samples.png()),
    ],
)
async def test_an_upload_answers_and_shows_the_file(
    desk: Desk,
    sessions: Sessions,
    settings: Settings,
    student: SignedIn,
    *,
    kind: str,
    name: str,
    media_type: str,
    content: bytes,
) -> None:
    block_id = await add_block(desk, kind, caption="kept")
    uploaded = body_of(await desk.upload(block_id, Part("file", content, filename=name)))
    assert uploaded.keys() == {
        *("success", "message", "file_url", "filename", "file_size", "updated_at", "version"),
    }
    assert (uploaded["success"], uploaded["filename"]) == (True, name)
    assert uploaded["file_size"] == len(content)
    assert (await desk.browser.get(uploaded["file_url"])).content == content
    evidence = await desk.read()
    assert evidence["document"]["updated_at"] == uploaded["updated_at"]
    block = evidence["blocks"][-1]
    assert (await desk.browser.get(block["content"].pop("url"))).content == content
    assert block["content"] == {
        "alt": "mine",
        "caption": "kept",
        "filename": name,
        "file_size": len(content),
        "content_type": media_type,
    }
    await assert_only_committed(settings, sessions, student.user_id)


async def test_what_is_sent_back_as_it_was_read_keeps_its_file(
    desk: Desk, sessions: Sessions, settings: Settings, student: SignedIn
) -> None:
    """Signed links become pointers again (DESIGN R19), and what a file is cannot be edited."""
    block_id = await add_block(desk)
    body_of(await desk.upload(block_id, OTHER))
    for round_ in range(2):
        evidence = await desk.read()
        for block in evidence["blocks"][1:]:
            block["content"] |= {"content_type": "text/html", "filename": "x.html"}
            if round_:  # what the database holds, and what a copied link looks like
                path = urlsplit(block["content"]["url"]).path.removeprefix("/")
                block["content"]["url"] = path
        await desk.saved(*map(as_read, evidence["blocks"]))
    words, spark, mine = (await desk.read())["blocks"]
    assert spark["provenance"]["written_by"] == "spark"
    assert (await desk.browser.get(spark["content"]["url"])).content == PICTURE.content
    download = await desk.browser.get(mine["content"]["url"])
    assert download.content == OTHER.content
    assert download.headers["content-type"] == "image/gif"
    assert (mine["content"]["filename"], words["content"]["text"]) == ("rain.gif", "first")
    await assert_only_committed(settings, sessions, student.user_id)


async def test_an_upload_to_a_block_of_sparks_makes_it_the_students(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    desk: Desk,
    settings: Settings,
    sessions: Sessions,
) -> None:
    [_, picture] = (await desk.read())["blocks"]
    body_of(await desk.upload(picture["id"], OTHER))
    assert (await block_of(desk, picture["id"]))["provenance"] == {"written_by": "student"}
    [sparks] = [row for row in await uploads_of(sessions, student.user_id) if row.submission_id]
    assert await read_object(settings, sparks.object_key) == PICTURE.content
    body_of(await spark.submit(submission(student, assignment, submission_text="again")))
    evidence = await desk.read()
    assert sorted(texts(evidence)) == ["", "again"]
    kept = await block_of(desk, picture["id"])
    assert (await desk.browser.get(kept["content"]["url"])).content == OTHER.content


# ---------------------------------------------------------------------------- refused

REFUSED: dict[str, tuple[str, tuple[Part, ...], str]] = {
    "a picture block takes pictures only": ("image", (REPORT,), "file_type_not_allowed"),
    "a program": (
        "document",
        (Part("file", samples.elf(), filename="a.pdf"),),
        "file_type_not_allowed",
    ),
    "no file": ("image", (), "field_missing"),
    "text instead of a file": ("image", (Part("file", b"x"),), "field_missing"),
    "an empty input": ("image", (Part("file", b"", filename=""),), "field_missing"),
    "another name": ("image", (replace(PICTURE, name="picture"),), "field_invalid"),
    "two files": ("image", (PICTURE, OTHER), "too_many_files"),
    "a text block": ("text", (PICTURE,), "field_invalid"),
    "a link block": ("link", (PICTURE,), "field_invalid"),
    "a video block": ("video", (PICTURE,), "field_invalid"),
}


@pytest.mark.parametrize(("kind", "parts", "code"), REFUSED.values(), ids=REFUSED)
async def test_what_a_block_does_not_take_leaves_nothing(
    desk: Desk,
    settings: Settings,
    sessions: Sessions,
    student: SignedIn,
    *,
    kind: str,
    parts: tuple[Part, ...],
    code: str,
) -> None:
    block_id = await add_block(desk, kind)
    before = await desk.read()
    problem = assert_problem(await desk.upload(block_id, *parts), 400, code)
    assert problem["success"] is False
    assert (await desk.read())["document"] == before["document"]
    await assert_only_committed(settings, sessions, student.user_id)
    assert await keys_beside_sparks(settings, sessions, student.user_id) == []


async def test_what_is_no_form_is_refused(desk: Desk) -> None:
    block_id = await add_block(desk)
    answer = await desk.ask("POST", f"{EVIDENCE}/blocks/{block_id}/upload", json={"file": "x"})
    assert_problem(answer, 400, "multipart_invalid")


@pytest.fixture(scope="module")
async def small(settings: Settings) -> AsyncIterator[Running]:
    """A service for small files, two an hour, whose leases are short."""
    limits = {"max_evidence_file_bytes": SMALL, "rate_limit_evidence_upload": 2}
    changed = settings.model_copy(update={**limits, "upload_lease_seconds": 1})
    async with run_app(changed) as running:
        yield running


@pytest.fixture
async def small_desk(small: Running, desk: Desk) -> AsyncIterator[Desk]:
    async with httpx.AsyncClient(base_url=small.url, timeout=60, trust_env=False) as client:
        yield replace(desk, browser=client)


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
@pytest.mark.parametrize("size", [SMALL + 1, 200_000])
async def test_a_file_that_is_too_large_is_refused_with_its_size(
    desk: Desk,
    small_desk: Desk,
    settings: Settings,
    sessions: Sessions,
    student: SignedIn,
    size: int,
    *,
    announced: bool,
) -> None:
    block_id = await add_block(desk, "document")
    body = form(Part("file", b"x" * size, filename="notes.txt"))

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    answer = await small_desk.ask(
        "POST",
        f"{EVIDENCE}/blocks/{block_id}/upload",
        content=body if announced else chunks(),
        headers={"Content-Type": FORM},
    )
    problem = assert_problem(answer, 413, "file_too_large")
    assert problem["max_size"] == SMALL
    assert problem["success"] is False
    seen = problem["file_size"]
    assert isinstance(seen, int)
    assert seen == len(body) if announced else SMALL < seen <= len(body)
    assert await keys_beside_sparks(settings, sessions, student.user_id) == []


async def test_a_file_may_have_exactly_the_limit_and_a_student_so_many_an_hour(
    desk: Desk, small_desk: Desk
) -> None:
    block_id = await add_block(desk, "document")
    largest = Part("file", b"x" * SMALL, filename="notes.txt")
    for _ in range(2):
        body_of(await small_desk.upload(block_id, largest))
    answer = await small_desk.upload(block_id, largest)
    assert_problem(answer, 429, "rate_limited")
    assert 0 < int(answer.headers["retry-after"]) <= 3600


async def test_bytes_that_arrive_keep_the_upload_from_the_sweep(
    desk: Desk, small_desk: Desk, sessions: Sessions, student: SignedIn
) -> None:
    block_id = await add_block(desk, "document")
    before, _, after = form(Part("file", b"\0", filename="notes.txt")).partition(b"\0")

    async def lease() -> Any:
        async with sessions() as session, session.begin():
            found = await session.execute(
                select(Upload.lease_until).where(
                    Upload.user_id == UUID(student.user_id), Upload.state == "pending"
                )
            )
            return found.scalar_one_or_none()

    renewed: list[datetime] = []

    async def chunks() -> AsyncIterator[bytes]:
        yield before + b"x" * 9000  # more than what is looked at before a file is stored
        await eventually(lambda: _is(lease))
        first = await lease()
        while not renewed:
            yield b"x"
            renewed.extend([moment] if (moment := await lease()) > first else [])
        yield after

    body = {"content": chunks(), "headers": {"Content-Type": FORM}}
    path = f"{EVIDENCE}/blocks/{block_id}/upload"
    assert (await small_desk.ask("POST", path, **body)).status_code == 200


async def _is(ask: Callable[[], Awaitable[Any]]) -> bool:
    return bool(await ask())


# ---------------------------------------------------------------------------- cut off


@asynccontextmanager
async def half_an_upload(
    desk: Desk, block_id: str, running: Running, sessions: Sessions, student: SignedIn
) -> AsyncIterator[None]:
    """Its first bytes are being stored, and no more come: its sender hangs up in the end."""
    head = (
        f"POST {EVIDENCE}/blocks/{block_id}/upload HTTP/1.1",
        "Host: spark.test",
        f"Authorization: {desk.headers['Authorization']}",
        f"Content-Type: {FORM}",
        "Content-Length: 900000",
        "",
        "",
    )
    part = Part("file", b"x" * 100_000, filename="notes.txt").encode()

    async def pending() -> bool:
        rows = await uploads_of(sessions, student.user_id)
        return any(row.state == "pending" for row in rows)

    async with connect(running) as wire:
        await wire.send("\r\n".join(head).encode() + b"--" + BOUNDARY + b"\r\n" + part)
        await eventually(pending)
        yield


async def test_a_sender_who_hangs_up_leaves_nothing(
    desk: Desk, server: Running, settings: Settings, sessions: Sessions, student: SignedIn
) -> None:
    block_id = await add_block(desk, "document")
    async with half_an_upload(desk, block_id, server, sessions, student):
        pass

    async def gone() -> bool:
        return all(row.submission_id for row in await uploads_of(sessions, student.user_id))

    await eventually(gone)
    await assert_only_committed(settings, sessions, student.user_id)
    assert "url" not in (await block_of(desk, block_id))["content"]


async def test_a_block_that_is_deleted_while_its_file_comes_is_not_found(
    desk: Desk, settings: Settings, sessions: Sessions, student: SignedIn
) -> None:
    block_id = await add_block(desk)
    body = form(PICTURE)

    async def chunks() -> AsyncIterator[bytes]:
        yield body[:-20]
        evidence = await desk.read()
        kept = [as_read(block) for block in evidence["blocks"] if block["id"] != block_id]
        await desk.saved(*kept, updated_at=evidence["document"]["updated_at"])
        yield body[-20:]

    answer = await desk.ask(
        "POST",
        f"{EVIDENCE}/blocks/{block_id}/upload",
        content=chunks(),
        headers={"Content-Type": FORM},
    )
    assert_problem(answer, 404, "not_found")
    await assert_only_committed(settings, sessions, student.user_id)
    assert await keys_beside_sparks(settings, sessions, student.user_id) == []


@pytest.mark.parametrize("row", ["P276"])
@pytest.mark.parametrize("content", [{}, {"url": "blob:http://x/1"}], ids=["none", "blob"])
async def test_a_save_that_was_on_its_way_does_not_take_the_file_of_an_upload(
    desk: Desk, content: dict[str, str], row: str
) -> None:
    """Of an editor that sends no version, as today's do not."""
    block_id = await add_block(desk)
    stale = [
        as_read(block, content={"alt": "new"} | content)
        if block["id"] == block_id
        else as_read(block)
        for block in (await desk.read())["blocks"]
    ]
    uploaded = body_of(await desk.upload(block_id, OTHER))
    await desk.saved(*stale)
    block = await block_of(desk, block_id)
    assert (block["content"]["alt"], block["content"]["filename"]) == ("new", "rain.gif")
    assert (await desk.browser.get(block["content"]["url"])).content == samples.gif()
    version = (await desk.read())["document"]["updated_at"]
    assert version > uploaded["updated_at"]
    await desk.saved(*stale, updated_at=version)
    assert "url" not in (await block_of(desk, block_id))["content"]


@pytest.mark.parametrize("row", ["P276"])
async def test_nor_does_one_that_names_the_file_before(desk: Desk, row: str) -> None:
    stale = [as_read(block) for block in (await desk.read())["blocks"]]
    picture = stale[-1]["id"]
    body_of(await desk.upload(picture, OTHER))
    assert_problem(await desk.save(*stale), 409, "evidence_changed")
    file = (await block_of(desk, picture))["content"]
    assert (await desk.browser.get(file["url"])).content == samples.gif()


def hasten(running: Running, *, students: int, wait_seconds: float) -> None:
    """So many places for uploads of students, and nobody waits long for one."""
    opened = running.app.state.resources
    places = Places(asyncio.Semaphore(students), each=STUDENT_PLACES, wait_seconds=wait_seconds)
    running.app.state.resources = replace(opened, editor_places=places)


async def test_slow_uploads_of_students_leave_most_places_to_spark(
    settings: Settings,
    sessions: Sessions,
    desk: Desk,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
) -> None:
    block_id = await add_block(desk, "document")
    four = settings.model_copy(update={"max_concurrent_uploads": 4})
    async with (
        run_app(four) as running,
        half_an_upload(desk, block_id, running, sessions, student),
        httpx.AsyncClient(base_url=running.url, trust_env=False) as browser,
        asyncio.TaskGroup() as tasks,
    ):
        waiting = tasks.create_task(replace(desk, browser=browser).upload(block_id, REPORT))
        lms = Spark(browser, spark.sso_secret, spark.webhook_secret)
        body_of(await lms.submit_form(submission(student, assignment), PICTURE))
        assert not waiting.done()
        waiting.cancel()


@pytest.mark.parametrize("uploads", [STUDENT_PLACES, 8], ids="H3-{}".format)
async def test_slow_uploads_of_one_student_leave_places_to_others(
    settings: Settings,
    sessions: Sessions,
    desk: Desk,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    *,
    uploads: int,
) -> None:
    block_id = await add_block(desk, "document")
    other = await spark.sign_in()
    handed_in = body_of(await spark.submit_form(submission(other, assignment), PICTURE))
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(run_app(settings))
        for _ in range(uploads):
            slow = half_an_upload(desk, block_id, running, sessions, student)
            await stack.enter_async_context(slow)
        browser = await stack.enter_async_context(
            httpx.AsyncClient(base_url=running.url, trust_env=False)
        )
        theirs = desk_of(browser, other, handed_in["task_id"])
        body_of(await theirs.upload(await add_block(theirs, "document"), REPORT))


async def test_h3_a_students_third_upload_waits_for_a_place(
    settings: Settings, sessions: Sessions, desk: Desk, student: SignedIn
) -> None:
    block_id = await add_block(desk, "document")
    async with (
        run_app(settings) as running,
        httpx.AsyncClient(base_url=running.url, trust_env=False) as browser,
        half_an_upload(desk, block_id, running, sessions, student),
    ):
        async with half_an_upload(desk, block_id, running, sessions, student):
            third = replace(desk, browser=browser).upload(block_id, REPORT)
            waiting = asyncio.create_task(third)
            await asyncio.wait([waiting], timeout=0.3)
            assert not waiting.done()
        body_of(await waiting)


async def test_h3_a_students_third_upload_that_waited_in_vain_comes_again(
    settings: Settings, sessions: Sessions, desk: Desk, student: SignedIn
) -> None:
    block_id = await add_block(desk, "document")
    async with (
        run_app(settings) as running,
        httpx.AsyncClient(base_url=running.url, trust_env=False) as browser,
    ):
        hasten(running, students=8, wait_seconds=0.1)
        async with (
            half_an_upload(desk, block_id, running, sessions, student),
            half_an_upload(desk, block_id, running, sessions, student),
        ):
            refused = await replace(desk, browser=browser).upload(block_id, REPORT)
            assert_problem(refused, 503, "overloaded")
            assert int(refused.headers["retry-after"]) > 0


# ---------------------------------------------------------------------------- taken away


async def test_files_go_with_what_the_main_app_deletes(
    desk: Desk, server: Running, settings: Settings, sessions: Sessions, student: SignedIn
) -> None:
    """Of the student's own and of Spark's: nothing names them any more."""
    body_of(await desk.upload(await add_block(desk), OTHER))
    assert len(await object_keys(settings, student.user_id)) == 2
    async with sessions() as session, session.begin():
        await session.execute(delete(UserQuestTask).where(UserQuestTask.id == UUID(desk.task_id)))
    await sweep(server.app.state.resources)
    assert await object_keys(settings, student.user_id) == []
    assert await uploads_of(sessions, student.user_id) == []


async def test_a_file_that_evidence_still_shows_outlives_its_submission(
    desk: Desk, server: Running, settings: Settings, sessions: Sessions, student: SignedIn
) -> None:
    """The main app may take a completion back and leave the evidence."""
    async with sessions() as session, session.begin():
        mine = QuestTaskCompletion.user_id == UUID(student.user_id)
        await session.execute(delete(QuestTaskCompletion).where(mine))
    await sweep(server.app.state.resources)
    evidence = await desk.read()
    words, picture = evidence["blocks"]
    assert (await desk.browser.get(picture["content"]["url"])).content == samples.png()
    await desk.saved(as_read(words), updated_at=evidence["document"]["updated_at"])
    await sweep(server.app.state.resources)
    assert await object_keys(settings, student.user_id) == []


@pytest.mark.parametrize("how", ["delete", "replace", "url", "block"])
async def test_a_file_that_nothing_names_any_more_is_removed(
    desk: Desk, settings: Settings, sessions: Sessions, student: SignedIn, how: str
) -> None:
    block_id = await add_block(desk)
    body_of(await desk.upload(block_id, OTHER))
    [before] = await keys_beside_sparks(settings, sessions, student.user_id)
    blocks = [as_read(block) for block in (await desk.read())["blocks"]]
    version = (await desk.read())["document"]["updated_at"]
    match how:
        case "delete":
            deleted = body_of(await desk.delete_file(block_id))
            assert deleted.keys() == {"success", "message", "updated_at", "version"}
            assert deleted["updated_at"] > version
            assert (await block_of(desk, block_id))["content"] == {"alt": "mine"}
            again = body_of(await desk.delete_file(block_id))
            assert again["updated_at"] == deleted["updated_at"]
        case "replace":
            body_of(await desk.upload(block_id, PICTURE))
        case "url":
            other = blocks[-1] | {"content": {"alt": "none"}}
            await desk.saved(*blocks[:-1], other, updated_at=version)
        case _:  # the block goes with it
            await desk.saved(*blocks[:-1], updated_at=version)
    assert before not in await object_keys(settings, student.user_id)
    await assert_only_committed(settings, sessions, student.user_id)


async def test_a_file_lives_while_one_block_names_it(
    desk: Desk, settings: Settings, sessions: Sessions, student: SignedIn
) -> None:
    block_id = await add_block(desk)
    body_of(await desk.upload(block_id, OTHER))
    blocks = [as_read(block) for block in (await desk.read())["blocks"]]
    copy = {"type": "document", "content": {"pages": [blocks[-1]["content"]]}}
    await desk.saved(*blocks, copy)
    body_of(await desk.delete_file(block_id))
    [page] = (await desk.read())["blocks"][-1]["content"]["pages"]
    assert (await desk.browser.get(page["url"])).content == OTHER.content
    blocks = [as_read(block) for block in (await desk.read())["blocks"]]
    await desk.saved(*blocks[:-1], blocks[-1] | {"content": {}})
    assert await keys_beside_sparks(settings, sessions, student.user_id) == []


async def test_sparks_file_stays_with_its_revision(
    desk: Desk, settings: Settings, sessions: Sessions, student: SignedIn
) -> None:
    [_, picture] = (await desk.read())["blocks"]
    body_of(await desk.delete_file(picture["id"]))
    block = await block_of(desk, picture["id"])
    assert block["content"].keys() == {"alt", "caption"}
    assert block["provenance"] == {"written_by": "student"}
    evidence = await desk.read()
    await desk.saved(updated_at=evidence["document"]["updated_at"])
    [upload] = await uploads_of(sessions, student.user_id)
    assert upload.state == "committed"
    assert await read_object(settings, upload.object_key) == PICTURE.content


async def test_a_block_without_a_place_for_files_has_none_to_delete(desk: Desk) -> None:
    [words, _] = (await desk.read())["blocks"]
    assert_problem(await desk.delete_file(words["id"]), 400, "field_invalid")


# ---------------------------------------------------------------------------- whose


async def test_a_block_may_name_only_files_of_its_own_student_and_document(
    desk: Desk, spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    other = await spark.sign_in()
    handed_in = body_of(await spark.submit_form(submission(other, assignment), OTHER))
    others_desk = desk_of(desk.browser, other, handed_in["task_id"])
    foreign = (await others_desk.read())["blocks"][1]["content"]["url"]
    block_id = await add_block(desk)
    body_of(await desk.upload(block_id, OTHER))
    mine = (await block_of(desk, block_id))["content"]["url"]
    sparks = (await desk.read())["blocks"][1]["content"]["url"]
    fresh = desk_of(desk.browser, student, (await tasks_of(sessions, student.user_id))[1])
    for url in (foreign, urlsplit(foreign).path.removeprefix("/"), mine):
        answer = await fresh.save({"type": "image", "content": {"url": url}})
        problem = assert_problem(answer, 400, "field_invalid")
        assert problem["error"] == "Invalid field: blocks.0.content.url"
    await fresh.saved({"type": "image", "content": {"url": sparks}})
    [block] = (await fresh.read())["blocks"]
    assert (await desk.browser.get(block["content"]["url"])).content == PICTURE.content


async def test_a_link_elsewhere_stays_what_it_is(desk: Desk) -> None:
    link = "https://example.com/evidence-files/x?y=1#z"
    block_id = await add_block(desk, "link", url=link)
    assert (await block_of(desk, block_id))["content"]["url"] == link


async def test_files_stand_in_the_audit_log(
    desk: Desk, sessions: Sessions, student: SignedIn
) -> None:
    block_id = await add_block(desk)
    body_of(await desk.upload(block_id, OTHER))
    body_of(await desk.delete_file(block_id))
    actions = [action for _, action, _ in await audited(sessions, student.user_id)]
    assert actions == ["sensitive_update", "upload_complete", "upload_delete"]
