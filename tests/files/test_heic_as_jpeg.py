"""HEIC becomes JPEG, by a job (DESIGN R29): evidence shows that, and what was handed in stays."""

import asyncio
import io
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
from PIL import Image, ImageChops, ImageStat
from sqlalchemy import delete, func, select

from app.api.dependencies import Resources
from app.database import Sessions
from app.files.make_jpeg import NoJpegError, make_jpeg
from app.files.order_pictures import PICTURE
from app.jobs.enqueue import enqueue
from app.jobs.try_early import REPLAY
from app.models import Job
from app.settings import Settings
from app.worker import job_kinds
from tests.support import samples
from tests.support.bodies import Part
from tests.support.commands import invoke, run_on
from tests.support.elsewhere import run_elsewhere
from tests.support.evidence import Desk, as_read, body_of, desk_of
from tests.support.heic import COLOURS, PLACE, heic, scene, tiled
from tests.support.outward import worker_elsewhere
from tests.support.running import Running
from tests.support.spark import Assignment, SignedIn, Spark, submission
from tests.support.stored import (
    assert_only_committed,
    blocks_of,
    eventually,
    object_keys,
    read_object,
    uploads_of,
)
from tests.support.work import do_jobs

PHOTO = Part("photo", heic(), filename="gauge.HEIC")
EXIFTOOL = shutil.which("exiftool")


async def make_jpegs(resources: Resources) -> int:
    """By a worker that does nothing else."""
    return await do_jobs(resources, PICTURE)


@dataclass(frozen=True)
class Homework:
    """Of one student, and whoever reads it."""

    resources: Resources
    sessions: Sessions
    spark: Spark
    student: SignedIn
    assignment: Assignment
    main_app: dict[str, str]

    @property
    def settings(self) -> Settings:
        return self.resources.settings

    @property
    def browser(self) -> httpx.AsyncClient:
        return self.spark.browser

    async def hand_in(self, *parts: Part, **changes: Any) -> dict[str, Any]:
        return body_of(
            await self.spark.submit_form(
                submission(self.student, self.assignment, **changes), *parts
            )
        )

    async def convert(self) -> None:
        await make_jpegs(self.resources)

    async def jobs(self) -> int:
        asked = select(func.count()).where(Job.kind == PICTURE, Job.user_id == self.student.user_id)
        async with self.sessions() as session, session.begin():
            return int((await session.execute(asked)).scalar_one())

    async def pictures(self) -> list[dict[str, Any]]:
        """As they are stored, in order."""
        blocks = await blocks_of(self.sessions, self.student.user_id)
        return [block.content for block in blocks if block.block_type == "image"]

    async def read(self, pointer: str) -> bytes:
        return await read_object(self.settings, "/".join(pointer.split("/")[-2:]))

    async def completion(self, answer: dict[str, Any]) -> dict[str, Any]:
        path = f"/internal/v1/completions/{answer['completion_id']}"
        return body_of(await self.browser.get(path, headers=self.main_app))

    def desk(self, answer: dict[str, Any]) -> Desk:
        return desk_of(self.browser, self.student, answer["task_id"])

    async def add_own(self) -> tuple[Desk, str]:
        """The student's own, in a new block."""
        answer = await self.spark.submit(submission(self.student, self.assignment))
        desk = self.desk(body_of(answer))
        blocks = map(as_read, (await desk.read())["blocks"])
        saved = await desk.saved(*blocks, {"type": "image", "content": {"alt": "mine"}})
        block_id: str = saved["blocks"][-1]["id"]
        part = Part("file", PHOTO.content, filename="gauge.heic")
        body_of(await desk.upload(block_id, part))
        return desk, block_id


@pytest.fixture
def homework(
    server: Running,
    sessions: Sessions,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    main_app: dict[str, str],
) -> Homework:
    return Homework(server.app.state.resources, sessions, spark, student, assignment, main_app)


@asynccontextmanager
async def homework_elsewhere(
    settings: Settings, assignment: Assignment, main_app: dict[str, str], **changes: object
) -> AsyncIterator[Homework]:
    async with run_elsewhere(settings, **changes) as service:
        student = await service.spark.sign_in()
        resources = service.running.app.state.resources
        yield Homework(resources, resources.sessions, service.spark, student, assignment, main_app)


def is_like(content: bytes, picture: Image.Image) -> bool:
    with Image.open(io.BytesIO(content)) as opened:
        assert opened.format == "JPEG"
        difference = ImageChops.difference(opened.convert("RGB"), picture.convert("RGB"))
    return opened.size == picture.size and max(ImageStat.Stat(difference).mean) < 6


# ---------------------------------------------------------------------------- handed in


async def test_evidence_shows_jpeg_and_what_was_handed_in_stays(homework: Homework) -> None:
    answer = await homework.hand_in(PHOTO)
    [before] = await homework.pictures()
    assert before["content_type"] == "image/heic"
    version = (await homework.desk(answer).read())["document"]["version"]
    await homework.convert()
    [after] = await homework.pictures()
    jpeg = await homework.read(after["url"])
    assert {name: after[name] for name in before if after[name] != before[name]} == {
        "url": after["url"],
        "filename": "gauge.jpg",
        "content_type": "image/jpeg",
        "file_size": len(jpeg),
    }
    assert after["url"].endswith(".jpg")
    assert is_like(jpeg, scene())
    with Image.open(io.BytesIO(jpeg)) as opened:
        assert opened.info["icc_profile"] == COLOURS
        assert not opened.getexif()
    read = await homework.desk(answer).read()
    [block] = [each for each in read["blocks"] if each["block_type"] == "image"]
    assert read["document"]["version"] != version
    assert (block["provenance"]["written_by"], block["provenance"]["sha256"]) == (
        "spark",
        answer["files"][0]["sha256"],
    )
    [file] = (await homework.completion(answer))["files"]
    assert (file["picture"], file["filename"]) == ("jpeg", "gauge.HEIC")
    assert (await homework.browser.get(file["url"])).content == await homework.read(before["url"])
    assert file["sha256"] == answer["files"][0]["sha256"]
    assert await homework.jobs() == 0
    await assert_only_committed(homework.settings, homework.sessions, homework.student.user_id)


@pytest.mark.skipif(EXIFTOOL is None, reason="exiftool is not installed")
async def test_exiftool_finds_no_place_in_the_jpeg(homework: Homework, tmp_path: Path) -> None:
    assert PLACE.encode() in PHOTO.content
    await homework.hand_in(PHOTO)
    await homework.convert()
    [picture] = await homework.pictures()
    path = tmp_path / "shown.jpg"
    path.write_bytes(await homework.read(picture["url"]))
    command = [EXIFTOOL or "", "-a", "-u", "-G1", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: ASYNC221, S603
    assert not [word for word in ("ACME", "Secret", "GPS", "Orientation", "IFD0") if word in said]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
async def test_every_kind_of_pixel_is_converted(homework: Homework, mode: str) -> None:
    await homework.hand_in(Part("photo", heic(scene(mode=mode)), filename="gauge.heic"))
    await homework.convert()
    [picture] = await homework.pictures()
    assert is_like(await homework.read(picture["url"]), scene(mode=mode))


async def test_a_picture_comes_as_it_is_to_be_turned(homework: Homework) -> None:
    turned = heic(orientation=6)
    await homework.hand_in(Part("photo", turned, filename="gauge.heic"))
    await homework.convert()
    [picture] = await homework.pictures()
    assert is_like(await homework.read(picture["url"]), scene().rotate(-90, expand=True))


async def test_a_repetition_finds_the_picture_and_orders_nothing(homework: Homework) -> None:
    said = {"submission_text": "rain"}
    first = await homework.hand_in(PHOTO, **said)
    await homework.convert()
    shown = await homework.pictures()
    again = await homework.hand_in(PHOTO, **said)
    assert (again["duplicate"], again["files"]) == (True, first["files"])
    assert await homework.jobs() == 0
    assert await homework.pictures() == shown


@pytest.mark.parametrize("first", ["converted", "waiting"])
async def test_an_earlier_revision_is_restored_with_its_jpeg(
    homework: Homework, first: str
) -> None:
    answer = await homework.hand_in(PHOTO, submission_text="first")
    if first == "converted":
        await homework.convert()
    await homework.hand_in(submission_text="second")
    assert await homework.pictures() == []
    path = f"/internal/v1/submissions/{answer['submission_id']}/revisions/1/restore"
    restored = await homework.browser.post(path, headers=homework.main_app)
    assert body_of(restored)["files"] == answer["files"]
    await homework.convert()
    [picture] = await homework.pictures()
    assert (picture["filename"], picture["content_type"]) == ("gauge.jpg", "image/jpeg")
    assert is_like(await homework.read(picture["url"]), scene())
    await homework.hand_in(submission_text="third")
    assert await homework.pictures() == []  # it was Spark's


# ---------------------------------------------------------------------------- edited


async def test_what_a_student_changed_meanwhile_stays(homework: Homework) -> None:
    """A caption and a copy; what was deleted is not there again."""
    two = [Part("photo", heic(), filename=f"{name}.heic") for name in ("one", "two")]
    desk = homework.desk(await homework.hand_in(*two))
    text, one, _ = map(as_read, (await desk.read())["blocks"])
    one["content"] = one["content"] | {"caption": "Mine"}
    copy = {"type": "image", "content": {"url": one["content"]["url"], "alt": "again"}}
    version = (await desk.read())["document"]["version"]
    await desk.saved(text, one, copy, version=version)
    await homework.convert()
    one, again = await homework.pictures()
    assert (one["caption"], one["filename"]) == ("Mine", "one.jpg")
    assert (again["alt"], again["url"]) == ("again", one["url"])


async def test_a_block_with_a_link_to_the_picture_gets_its_jpeg(homework: Homework) -> None:
    answer = await homework.hand_in(PHOTO)
    await homework.convert()
    [file] = (await homework.completion(answer))["files"]
    desk = homework.desk(answer)
    blocks = (await desk.read())["blocks"]
    await desk.saved(*map(as_read, blocks), {"type": "image", "content": {"url": file["url"]}})
    shown, added = await homework.pictures()
    assert (added["url"], added["filename"]) == (shown["url"], "gauge.jpg")


async def test_an_editor_that_was_open_saves_and_the_jpeg_stays(homework: Homework) -> None:
    """Old ones name no version."""
    desk, _ = await homework.add_own()
    *others, own = map(as_read, (await desk.read())["blocks"])
    await homework.convert()
    shown = await homework.pictures()
    await desk.saved(*others, own | {"content": own["content"] | {"caption": "Mine"}})
    assert await homework.pictures() == [shown[0] | {"caption": "Mine"}]


async def test_a_picture_of_the_students_own_lives_with_its_jpeg(homework: Homework) -> None:
    desk, block_id = await homework.add_own()
    await homework.convert()
    [picture] = await homework.pictures()
    assert (picture["alt"], picture["filename"]) == ("mine", "gauge.jpg")
    blocks = (await desk.read())["blocks"]
    await desk.saved(*map(as_read, blocks))
    assert len(await object_keys(homework.settings, homework.student.user_id)) == 2
    body_of(await desk.delete_file(block_id))
    assert await object_keys(homework.settings, homework.student.user_id) == []
    assert await uploads_of(homework.sessions, homework.student.user_id) == []


async def test_a_picture_that_is_gone_is_left_alone(homework: Homework) -> None:
    desk, block_id = await homework.add_own()
    body_of(await desk.delete_file(block_id))
    await homework.convert()
    assert await homework.jobs() == 0
    assert await uploads_of(homework.sessions, homework.student.user_id) == []


# ---------------------------------------------------------------------------- not to be had

UNFIT = {
    "more pixels than allowed": (partial(tiled, 7200, 7200), "too_large"),
    "no picture": (samples.heic, "unreadable"),
    "cut short": (lambda: heic()[:-200], "unreadable"),
}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        *(pytest.param(*values, id=name) for name, values in UNFIT.items()),
        pytest.param(
            partial(tiled, 7900, 6200),
            "too_large",
            id="more memory than allowed",
            marks=pytest.mark.soak,
        ),
    ],
)
async def test_what_cannot_be_converted_stays_as_it_is(
    settings: Settings,
    assignment: Assignment,
    main_app: dict[str, str],
    content: Callable[[], bytes],
    reason: str,
) -> None:
    """The service goes on, and nothing has failed."""
    many = {"picture_max_pixels": 50_000_000}
    async with homework_elsewhere(settings, assignment, main_app, **many) as homework:
        answer = await homework.hand_in(Part("photo", content(), filename="gauge.heic"))
        shown = await homework.pictures()
        await homework.convert()
        assert await homework.pictures() == shown
        [file] = (await homework.completion(answer))["files"]
        assert (file["picture"], file["content_type"]) == (reason, "image/heic")
        assert await homework.jobs() == 0
        user_id = homework.student.user_id
        assert len(await object_keys(settings, user_id)) == 1
        await assert_only_committed(settings, homework.sessions, user_id)
        asked = {
            "spark_user_id": homework.student.spark_user_id,
            "spark_assignment_id": assignment.spark_assignment_id,
        }
        explained = await homework.browser.get(
            "/internal/v1/explain", params=asked, headers=main_app
        )
        assert body_of(explained)["submission"]["heic_left"] == 1


def converters() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [each for each in children if "app.pictures" in each.cmdline()]


@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGXCPU, "too_large"), (signal.SIGKILL, "too_large"), (signal.SIGSEGV, "unreadable")],
    ids=["out of CPU time", "out of the host's memory", "crashed"],
)
async def test_a_child_that_is_killed_ends_alone(
    homework: Homework, number: signal.Signals, reason: str
) -> None:
    """It knows nothing of the service."""
    await homework.convert()  # what others have left
    answer = await homework.hand_in(Part("photo", tiled(5000, 5000), filename="gauge.heic"))
    converting = asyncio.create_task(homework.convert())
    child: list[psutil.Process] = []

    async def is_there() -> bool:
        child[:] = converters()
        return bool(child)

    await eventually(is_there)
    assert set(child[0].environ()) <= {"LC_CTYPE"}
    child[0].send_signal(number)
    await converting
    [file] = (await homework.completion(answer))["files"]
    assert file["picture"] == reason
    await assert_only_committed(homework.settings, homework.sessions, homework.student.user_id)


@pytest.mark.parametrize("content", [bytes(1 << 20), heic()], ids=["it reads", "it decodes"])
async def test_a_child_that_hangs_is_waited_for_no_longer_than_that(content: bytes) -> None:
    """Stopped before it gets anything, so that it cannot be ready."""
    stopped: list[psutil.Process] = []

    async def sent() -> AsyncIterator[bytes]:
        stopped.extend(converters())
        for child in stopped:
            child.send_signal(signal.SIGSTOP)
        yield content

    with pytest.raises(NoJpegError) as failed:
        async for _ in make_jpeg(sent(), max_pixels=1 << 20, seconds=0.2):
            pass
    assert failed.value.reason == "too_large"
    assert stopped
    assert not any(child.is_running() for child in stopped)


# ---------------------------------------------------------------------------- who does it


async def test_a_process_that_makes_no_jpeg_leaves_pictures_to_one_that_does(
    settings: Settings, assignment: Assignment, main_app: dict[str, str]
) -> None:
    """And that one leaves all else to others."""
    without = {"picture_max_pixels": 0}
    async with homework_elsewhere(settings, assignment, main_app, **without) as homework:
        sessions = homework.sessions
        assert PICTURE not in job_kinds(homework.resources)
        await homework.hand_in(PHOTO)
        await do_jobs(homework.resources)
        assert await homework.jobs() == 1
        async with sessions() as session, session.begin():
            other = await enqueue(session, REPLAY, str(uuid4()))
        async with worker_elsewhere(settings, only=PICTURE):

            async def is_converted() -> bool:
                return await homework.jobs() == 0

            await eventually(is_converted)
        [picture] = await homework.pictures()
        assert picture["filename"] == "gauge.jpg"
        async with sessions() as session, session.begin():
            gone = delete(Job).where(Job.id == other, Job.state == "waiting").returning(Job.id)
            assert (await session.execute(gone)).one()


@pytest.mark.parametrize(
    ("pixels", "said"),
    [(0, "HEIC stays as it is here"), (1_000, "HEIC becomes JPEG")],
    ids=["switched off", "on"],
)
async def test_doctor_says_whether_heic_becomes_jpeg(
    settings: Settings, pixels: int, said: str
) -> None:
    told = await run_on(settings.model_copy(update={"picture_max_pixels": pixels}))("doctor")
    assert said in told.output


def test_a_worker_refuses_kinds_that_it_cannot_do(settings: Settings) -> None:
    """One that nobody knows, and one that is switched off here."""
    without = settings.model_copy(update={"picture_max_pixels": 0})
    only = [word for kind in (REPLAY, "films", PICTURE) for word in ("--only", kind)]
    refused = invoke(without, "worker", *only)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "cannot do films, picture, but replay, download" in refused.stderr
