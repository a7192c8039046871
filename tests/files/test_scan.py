"""A file is shown to clamd on its way, whichever way it comes (FAULTS P148)."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from pydantic.networks import IPvAnyNetwork
from sqlalchemy import func, select, update

from app.database import Sessions
from app.errors import FileRejectedError
from app.files.scan_file import Scanner
from app.files.try_scanner import try_scanner
from app.models import ActivityEvent, Download, Job
from app.settings import Settings
from app.submissions.order_downloads import DOWNLOAD
from tests.support import samples
from tests.support.bodies import Part, form
from tests.support.canaries import CANARIES
from tests.support.elsewhere import Elsewhere, change_intake, run_elsewhere
from tests.support.evidence import as_read, body_of, desk_of
from tests.support.fake_clamd import (
    DEFAULT_LIMIT,
    EICAR,
    SIGNATURE,
    FakeClamd,
    Mood,
    run_fake_clamd,
)
from tests.support.fake_spark import FakeSpark, run_fake_spark
from tests.support.logged import logged, say_everything_anew
from tests.support.metrics import scrape
from tests.support.patience import patient
from tests.support.problems import assert_problem
from tests.support.running import everything_is_written
from tests.support.spark import FORM, Assignment, SignedIn, encoded, submission
from tests.support.stored import (
    NOTHING,
    ONCE,
    assert_only_committed,
    deliveries_of,
    eventually,
    kept,
    object_keys,
    read_object,
    unfinished_keys,
    uploads_of,
)
from tests.support.work import do_jobs, forget_jobs

MEBIBYTE = 1024 * 1024
LOOPBACK = TypeAdapter(IPvAnyNetwork).validate_python("127.0.0.0/8")
NOWHERE = "tcp://127.0.0.1:1"
NOTES = Part("notes", b"calm\n", filename="notes.txt")
PICTURE = Part("gauge", samples.png(), filename="gauge.png")


def infected(before: int = 0) -> Part:
    """Under a name that no log may have."""
    name = f"ada-{secrets.token_hex(6)}.txt"
    CANARIES.release(name)
    return Part("essay", b"calm\n" * (before // 5) + EICAR, filename=name)


@pytest.fixture(scope="module")
async def fake_spark() -> AsyncIterator[FakeSpark]:
    async with run_fake_spark() as running:
        yield running


@pytest.fixture(scope="module")
async def running_clamd() -> AsyncIterator[FakeClamd]:
    async with run_fake_clamd() as fake:
        yield fake


@pytest.fixture(scope="module")
async def running_service(
    settings: Settings, fake_spark: FakeSpark, running_clamd: FakeClamd
) -> AsyncIterator[Elsewhere]:
    async with run_elsewhere(
        settings,
        clamd_url=running_clamd.url,
        max_concurrent_uploads=4,
        spark_storage_domains=(fake_spark.files_url.removeprefix("https://"),),
        spark_storage_networks=(LOOPBACK,),
        spark_storage_ca_file=str(fake_spark.ca_file),
    ) as elsewhere:
        yield elsewhere


@pytest.fixture
def clamd(running_clamd: FakeClamd) -> FakeClamd:
    running_clamd.forget()
    return running_clamd


@pytest.fixture
async def service(running_service: Elsewhere, clamd: FakeClamd) -> Elsewhere:
    """One that has met no hanging scanner yet."""
    use(running_service, clamd.url)
    say_everything_anew()
    return running_service


def use(service: Elsewhere, address: str, *, required: bool = True, seconds: float = 10) -> None:
    change_intake(service.running, scanner=Scanner(address, required=required, seconds=seconds))


async def assert_nothing_is_kept(settings: Settings, sessions: Sessions, user_id: str) -> None:
    assert await kept(sessions, user_id) == NOTHING
    assert await uploads_of(sessions, user_id) == []
    assert await object_keys(settings, user_id) == await unfinished_keys(settings, user_id) == []


# ---------------------------------------------------------------------------- found


@pytest.mark.parametrize("metadata_last", [False, True], ids=["metadata first", "files first"])
@pytest.mark.parametrize("size", [0, 6 * MEBIBYTE], ids=["P148-put", "P148-parts"])
async def test_what_is_infected_refuses_the_whole_message_and_nothing_of_it_stays(
    service: Elsewhere,
    clamd: FakeClamd,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    settings: Settings,
    *,
    main_app: dict[str, str],
    caplog: pytest.LogCaptureFixture,
    size: int,
    metadata_last: bool,
) -> None:
    bad = infected(size)
    payload = submission(student, assignment)
    before = await scrape(service.spark.browser, main_app)
    answer = await service.spark.submit_form(
        payload, NOTES, bad, PICTURE, metadata_last=metadata_last
    )
    problem = assert_problem(answer, 422, "file_rejected")
    assert problem["error"] == "File rejected"
    assert [fault["file"] for fault in problem["errors"]] == [bad.filename]  # type: ignore[attr-defined]
    assert clamd.scanned == [NOTES.content, bad.content, PICTURE.content]
    await assert_nothing_is_kept(settings, sessions, student.user_id)
    [delivery] = await deliveries_of(sessions, encoded(payload))
    assert (delivery.status, delivery.code) == (422, "file_rejected")
    [line] = logged(caplog, "file_rejected")
    assert line["signature"] == SIGNATURE
    after = await scrape(service.spark.browser, main_app)
    for outcome, more in {"infected": 1, "clean": 2}.items():
        series = f'spark_file_scans_total{{outcome="{outcome}"}}'
        assert after[series] == before.get(series, 0) + more
    body = body_of(await service.spark.submit_form(payload, NOTES, PICTURE))
    assert len(body["files"]) == 2


@pytest.mark.parametrize("row", ["P148"])
async def test_the_event_of_a_refusal_has_its_code_and_no_name(
    service: Elsewhere, student: SignedIn, assignment: Assignment, sessions: Sessions, row: str
) -> None:
    bad = infected()
    answer = await service.spark.submit_form(submission(student, assignment), bad)
    assert_problem(answer, 422, "file_rejected")
    await everything_is_written()
    of_it = ActivityEvent.event_data["spark_assignment_id"].as_string()
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(ActivityEvent).where(of_it == assignment.spark_assignment_id)
        )
        [event] = found.all()
    assert event.event_data["error_message"] == "File rejected"
    assert str(bad.filename) not in json.dumps(event.event_data)


@pytest.mark.parametrize("row", ["P145 P148"])
async def test_every_infected_file_is_named_and_a_dry_run_names_it_too(
    service: Elsewhere, student: SignedIn, assignment: Assignment, row: str
) -> None:
    one, two = infected(), infected(100)
    payload = submission(student, assignment)
    answer = await service.spark.submit_form(payload, one, NOTES, two)
    problem = assert_problem(answer, 422, "file_rejected")
    names = [fault["file"] for fault in problem["errors"]]  # type: ignore[attr-defined]
    assert names == [one.filename, two.filename]
    dry = await rehearse(service, payload, NOTES, two)
    assert [(each["code"], each["file"]) for each in dry["problems"]] == [
        ("file_rejected", two.filename)
    ]
    assert (await rehearse(service, payload, NOTES))["would"] == "create"


async def rehearse(service: Elsewhere, payload: dict[str, Any], *files: Part) -> dict[str, Any]:
    raw = encoded(payload)
    headers = {"X-Spark-Signature": service.spark.sign(raw)}
    body = form(Part("metadata", raw), *files)
    return body_of(await service.spark.post(body, headers, media_type=FORM, dry_run="true"))


@pytest.mark.parametrize("row", ["P148"])
async def test_an_upload_of_a_student_is_scanned(
    service: Elsewhere,
    clamd: FakeClamd,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    settings: Settings,
    *,
    row: str,
) -> None:
    handed_in = body_of(await service.spark.submit(submission(student, assignment)))
    desk = desk_of(service.spark.browser, student, handed_in["task_id"])
    blocks = (await desk.read())["blocks"]
    saved = await desk.saved(*map(as_read, blocks), {"type": "document", "content": {}})
    block_id = saved["blocks"][-1]["id"]
    bad = infected()
    part = Part("file", bad.content, filename=bad.filename)
    assert_problem(await desk.upload(block_id, part), 422, "file_rejected")
    clamd.mood = "fails"
    calm = Part("file", NOTES.content, filename="notes.txt")
    assert_problem(await desk.upload(block_id, calm), 503, "scanner_unavailable")
    assert (await desk.read())["version"] == saved["version"]
    assert await object_keys(settings, student.user_id) == []
    clamd.mood = "judges"
    body_of(await desk.upload(block_id, calm))
    [upload] = await uploads_of(sessions, student.user_id)
    assert upload.scan == "clean"


@pytest.mark.parametrize("row", ["P148"])
async def test_a_file_by_url_is_scanned_and_waits_for_the_scanner(
    service: Elsewhere,
    clamd: FakeClamd,
    fake_spark: FakeSpark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    settings: Settings,
    row: str,
) -> None:
    async def fetch() -> dict[str, tuple[str, str | None]]:
        """What became of each file."""
        async with sessions() as session, session.begin():
            await session.execute(update(Job).where(Job.kind == DOWNLOAD).values(run_at=func.now()))
        await do_jobs(service.running.app.state.resources)
        asked = select(Download).where(Download.submission_id == body["submission_id"])
        async with sessions() as session, session.begin():
            found = (await session.execute(asked)).all()
        return {download.filename: (download.state, download.code) for download in found}

    await forget_jobs(sessions)
    files = {"bad.txt": EICAR, "calm.txt": NOTES.content}
    urls = [{"url": await fake_spark.serve_file(name, files[name])} for name in files]
    payload = submission(student, assignment, submission_files=urls)
    body = body_of(await service.spark.submit(payload))
    clamd.mood = "fails"
    waiting = ("pending", None)
    assert await fetch() == {"bad.txt": waiting, "calm.txt": waiting}
    assert await uploads_of(sessions, student.user_id) == []
    clamd.mood = "judges"
    assert await fetch() == {"bad.txt": ("dead", "file_rejected"), "calm.txt": ("stored", None)}
    [upload] = await uploads_of(sessions, student.user_id)
    assert (upload.filename, upload.scan) == ("calm.txt", "clean")
    await assert_only_committed(settings, sessions, student.user_id)


# ---------------------------------------------------------------------------- clean


@pytest.mark.parametrize("row", ["P148"])
async def test_nothing_is_in_the_store_before_it_was_judged(
    service: Elsewhere,
    clamd: FakeClamd,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    settings: Settings,
    *,
    main_app: dict[str, str],
    row: str,
) -> None:
    clamd.mood = "thinks"
    notes = Part("notes", b"calm\n" * MEBIBYTE * 2, filename="notes.txt")
    payload = submission(student, assignment)
    sending = asyncio.create_task(service.spark.submit_form(payload, notes))
    await asyncio.wait_for(clamd.has_all.wait(), patient(10))
    assert await object_keys(settings, student.user_id) == []
    text = submission(await service.spark.sign_in(), assignment)
    body_of(await service.spark.submit(text))
    clamd.may_judge.set()
    body = body_of(await sending)
    assert clamd.scanned == [notes.content]
    path = f"/internal/v1/completions/{body['completion_id']}"
    [file] = body_of(await service.spark.browser.get(path, headers=main_app))["files"]
    assert file["scan"] == "clean"
    await assert_only_committed(settings, sessions, student.user_id)


@pytest.mark.parametrize("size", [1, 3, 67, 68, 4096], ids="P148-chunks-of-{}".format)
async def test_clamd_sees_the_same_bytes_however_they_come(clamd: FakeClamd, size: int) -> None:
    """A chunk without bytes would end the stream."""
    scanner = Scanner(clamd.url, required=True)
    for content, is_bad in ((b"calm\n" * 200, False), (b"calm\n" * 7 + EICAR + b"\n", True)):
        found = False
        async with scanner.scan() as scan:
            for start in range(0, len(content), size):
                await scan.feed(b"")
                await scan.feed(content[start : start + size])
            try:
                await scan.end()
            except FileRejectedError:
                found = True
        assert (found, clamd.scanned[-1]) == (is_bad, content)


@pytest.mark.parametrize(
    "signature",
    ["Ours: a (rule)", "Schädling", "x" * 900, ""],
    ids=["words", "letters", "long", "none"],
)
async def test_what_is_found_is_refused_whatever_it_is_called(
    clamd: FakeClamd, caplog: pytest.LogCaptureFixture, signature: str
) -> None:
    """And never stored as if nobody had looked, where a scanner is not required."""
    clamd.signature = signature
    async with Scanner(clamd.url, required=False).scan() as scan:
        await scan.feed(EICAR)
        with pytest.raises(FileRejectedError):
            await scan.end()
    [line] = logged(caplog, "file_rejected")
    assert "44d8" not in line["signature"]


async def test_an_empty_file_is_judged_and_a_socket_of_this_machine_will_do(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "clamd.ctl")
    async with run_fake_clamd(path) as clamd:
        async with Scanner(f"unix://{path}", required=True).scan() as scan:
            await scan.feed(b"")
            await scan.end()
        assert (scan.result, clamd.scanned) == ("clean", [b""])


# ---------------------------------------------------------------------------- away

FAILURES: dict[str, tuple[Mood, str]] = {
    "P148-away": ("judges", "unreachable"),
    "P148-hangs": ("hangs", "timeout"),
    "P148-never-judges": ("thinks", "timeout"),
    "P148-leaves": ("leaves", "unreachable"),
    "P148-fails": ("fails", "error"),
    "P148-loses-patience": ("loses patience", "unreachable"),
    "P148-babbles": ("babbles", "unreachable"),
    "P148-size-limit": ("judges", "too_large"),
}


@pytest.mark.parametrize(("mood", "reason"), FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("required", [True, False], ids=["required", "optional"])
async def test_what_is_not_judged_is_503_or_stored_and_told(
    service: Elsewhere,
    clamd: FakeClamd,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    settings: Settings,
    *,
    main_app: dict[str, str],
    caplog: pytest.LogCaptureFixture,
    mood: Mood,
    reason: str,
    required: bool,
) -> None:
    clamd.mood = mood
    clamd.limit = MEBIBYTE if reason == "too_large" else DEFAULT_LIMIT
    is_away = (mood, reason) == ("judges", "unreachable")
    seconds = 0.3 if reason == "timeout" else patient(10)
    use(service, NOWHERE if is_away else clamd.url, required=required, seconds=seconds)
    notes = Part("notes", b"calm\n" * MEBIBYTE, filename="notes.txt")
    payload = submission(student, assignment)
    answer = await service.spark.submit_form(payload, notes)
    assert [line["reason"] for line in logged(caplog, "file_not_scanned")] == [reason]
    if required:
        assert_problem(answer, 503, "scanner_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        await assert_nothing_is_kept(settings, sessions, student.user_id)
        clamd.forget()
        use(service, clamd.url)
        body_of(await service.spark.submit_form(payload, notes))
        [upload] = await uploads_of(sessions, student.user_id)
        assert upload.scan == "clean"
        return
    body = body_of(answer)
    [upload] = await uploads_of(sessions, student.user_id)
    assert upload.scan == "unscanned"
    assert await read_object(settings, upload.object_key) == notes.content
    path = f"/internal/v1/completions/{body['completion_id']}"
    [file] = body_of(await service.spark.browser.get(path, headers=main_app))["files"]
    assert file["scan"] == "unscanned"
    asked = {name: payload[name] for name in ("spark_user_id", "spark_assignment_id")}
    explained = await service.spark.browser.get(
        "/internal/v1/explain", params=asked, headers=main_app
    )
    assert body_of(explained)["submission"]["unscanned"] == 1


@pytest.mark.parametrize("row", ["P148"])
async def test_behind_a_scanner_that_hangs_forms_keep_no_place(
    service: Elsewhere, clamd: FakeClamd, assignment: Assignment, row: str
) -> None:
    """Twice as many forms as places, then one by one; homework without files goes on."""
    students = await asyncio.gather(*(service.spark.sign_in() for _ in range(8)))
    payloads = [submission(student, assignment) for student in students]
    clamd.mood = "hangs"
    use(service, clamd.url, seconds=0.5)
    began = time.monotonic()
    sending = (service.spark.submit_form(payload, PICTURE) for payload in payloads)
    for answer in await asyncio.gather(*sending):
        assert_problem(answer, 503, "scanner_unavailable")
    asked = clamd.connections
    for payload in payloads:
        answer = await service.spark.submit_form(payload, PICTURE)
        assert_problem(answer, 503, "scanner_unavailable")
    body_of(await service.spark.submit(payloads[0]))
    assert time.monotonic() - began < patient(5)
    assert clamd.connections - asked <= 1  # one may have been let try


async def test_a_scanner_that_reads_slowly_holds_the_sender_and_no_memory(clamd: FakeClamd) -> None:
    clamd.mood = "hangs"
    fed = 0
    async with Scanner(clamd.url, required=False, seconds=0.3).scan() as scan:
        while scan.failure is None:
            await scan.feed(bytes(65_536))
            fed += 65_536
    assert scan.failure == "timeout"
    assert fed < 16 * MEBIBYTE  # what both kernels hold


async def test_a_sender_that_leaves_takes_the_connection_along(clamd: FakeClamd) -> None:
    async with Scanner(clamd.url, required=True).scan() as scan:
        await scan.feed(b"calm")

    async def is_given_up() -> bool:
        return clamd.given_up == 1

    await eventually(is_given_up)


# ---------------------------------------------------------------------------- set up


async def test_file_scan_required_false_lets_files_in_while_nobody_answers(
    settings: Settings, sessions: Sessions, assignment: Assignment
) -> None:
    changes = {"clamd_url": NOWHERE, "file_scan_required": False}
    async with run_elsewhere(settings, **changes) as service:
        student = await service.spark.sign_in()
        body_of(await service.spark.submit_form(submission(student, assignment), NOTES))
    [upload] = await uploads_of(sessions, student.user_id)
    assert upload.scan == "unscanned"
    assert await kept(sessions, student.user_id) == ONCE


DOCTOR: dict[str, tuple[int, Mood, str, str]] = {
    "ok": (DEFAULT_LIMIT, "judges", "ok", "judges a file of 50 MiB"),
    "too_large": (25 * MEBIBYTE, "judges", "refuse", "takes no file of 50 MiB"),
    "fails": (DEFAULT_LIMIT, "fails", "refuse", "does not answer as clamd does: error"),
}


@pytest.mark.parametrize(("limit", "mood", "mark", "says"), DOCTOR.values(), ids=DOCTOR)
async def test_doctor_shows_the_scanner_a_file_of_the_largest_size(
    clamd: FakeClamd, settings: Settings, *, limit: int, mood: Mood, mark: str, says: str
) -> None:
    clamd.limit, clamd.mood = limit, mood
    with_it = settings.model_copy(update={"clamd_url": clamd.url})
    [finding] = await try_scanner(with_it)
    assert (finding.mark, finding.text) == (mark, says)
    assert (finding.next_step is None) == (mark == "ok")


async def test_doctor_says_nothing_of_a_scanner_that_is_not_set_up(settings: Settings) -> None:
    assert await try_scanner(settings) == []
