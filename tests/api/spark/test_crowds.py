"""Forms beside a crowd of strangers, who send slowly and never say who they are (H3, R44)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import httpx
import pytest

from app.files.waiting_room import PLACES, WaitingRoom
from app.settings import Settings
from tests.support import samples
from tests.support.bodies import BOUNDARY, Part, form
from tests.support.elsewhere import Elsewhere, change_intake, run_elsewhere
from tests.support.problems import assert_problem
from tests.support.running import Running
from tests.support.spark import FORM, Assignment, SignedIn, Spark, encoded, submission
from tests.support.stored import eventually
from tests.support.wire import Wire, connect

MEBIBYTE = 1024 * 1024
HERE, THERE = "127.0.0.1", "127.0.0.2"
ADDRESSES = pytest.mark.parametrize("source", [THERE, HERE], ids=["H3-elsewhere", "H3-same"])
CLASS = 16
Answers = set[asyncio.Task[httpx.Response]]
PICTURE = Part("file", samples.png(), filename="gauge.png")


@asynccontextmanager
async def stranger(running: Running, source: str = HERE, size: int = 100) -> AsyncIterator[Wire]:
    """A form in the room: this much of its first file has been sent, and no more comes."""
    async with connect(running, source=source) as wire:
        await begin(wire, signature="0" * 64, length=150 * MEBIBYTE)
        head = Part("file", b"", filename="film.mp4").encode()
        await wire.send(b"--" + BOUNDARY + b"\r\n" + head + bytes(size))
        yield wire


async def begin(wire: Wire, *, signature: str, length: int) -> None:
    """Whoever is asked for the body has been let in."""
    await wire.send_head(
        f"Content-Type: {FORM}",
        f"Content-Length: {length}",
        f"X-Spark-Signature: {signature}",
        "Expect: 100-continue",
    )
    assert (await wire.read_head()).status_code == 100


@asynccontextmanager
async def crowd(running: Running, count: int) -> AsyncIterator[list[Wire]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(stranger(running)) for _ in range(count)]


@asynccontextmanager
async def pressing_crowd(running: Running) -> AsyncIterator[None]:
    """More than the room holds: whoever is sent away comes back at once."""

    async def press() -> None:
        while True:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                async with stranger(running) as wire:
                    await wire.read_to_end()

    async with crowd(running, PLACES):
        pressing = [asyncio.create_task(press()) for _ in range(8)]
        try:
            yield
        finally:
            for each in pressing:
                each.cancel()
            await asyncio.wait(pressing)


@asynccontextmanager
async def spark_at(source: str, elsewhere: Elsewhere) -> AsyncIterator[Spark]:
    """Spark, which calls from this address."""
    transport = httpx.AsyncHTTPTransport(local_address=source)
    url = elsewhere.running.url
    async with httpx.AsyncClient(base_url=url, transport=transport, timeout=60) as browser:
        yield replace(elsewhere.spark, browser=browser)


@pytest.fixture
async def elsewhere(settings: Settings) -> AsyncIterator[Elsewhere]:
    async with run_elsewhere(settings) as started:
        yield started


@ADDRESSES
@pytest.mark.parametrize("metadata_last", [False, True], ids=["metadata-first", "files-first"])
@pytest.mark.parametrize("count", [32, PLACES, PLACES + 20])
async def test_strangers_do_not_keep_a_form_out(
    elsewhere: Elsewhere,
    student: SignedIn,
    assignment: Assignment,
    *,
    count: int,
    source: str,
    metadata_last: bool,
) -> None:
    async with crowd(elsewhere.running, count), spark_at(source, elsewhere) as spark:
        payload = submission(student, assignment)
        answer = await spark.submit_form(payload, PICTURE, metadata_last=metadata_last)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(THERE, id="elsewhere", marks=pytest.mark.soak),
        pytest.param(HERE, id="same"),  # the hardest: the crowd's own address
        pytest.param(None, id="alone", marks=pytest.mark.soak),
    ],
)
@pytest.mark.parametrize("metadata_last", [False, True], ids=["metadata-first", "files-first"])
async def test_h3_half_a_class_hands_in_at_once(
    elsewhere: Elsewhere, assignment: Assignment, *, source: str | None, metadata_last: bool
) -> None:
    """Behind a proxy that is not trusted (TRUSTED_PROXY_HOPS=0) all have one address."""
    students = [await elsewhere.spark.sign_in() for _ in range(CLASS)]
    async with AsyncExitStack() as stack:
        if source:
            await stack.enter_async_context(pressing_crowd(elsewhere.running))
        spark = await stack.enter_async_context(spark_at(source or HERE, elsewhere))
        answers = await asyncio.gather(
            *(
                spark.submit_form(
                    submission(student, assignment), PICTURE, metadata_last=metadata_last
                )
                for student in students
            )
        )
    assert [answer.status_code for answer in answers] == [200] * CLASS


async def test_h3_a_newcomer_ends_the_oldest_of_the_address_that_holds_most(
    elsewhere: Elsewhere, student: SignedIn, assignment: Assignment
) -> None:
    raw = encoded(submission(student, assignment))
    body = form(PICTURE, Part("metadata", raw))
    async with connect(elsewhere.running, source=THERE) as honest:
        await begin(honest, signature=elsewhere.spark.sign(raw), length=len(body))
        await honest.send(body[:50])
        async with crowd(elsewhere.running, PLACES) as strangers:
            ended = await strangers[0].read_answer()
            assert_problem(ended, 503, "overloaded")
            assert int(ended.headers["retry-after"]) > 0
            await honest.send(body[50:])
            assert (await honest.read_answer()).status_code == 200


async def test_h3_of_one_address_whoever_is_slow_is_ended_before_the_oldest(
    elsewhere: Elsewhere, student: SignedIn, assignment: Assignment
) -> None:
    running = elsewhere.running
    change_intake(running, waiting_room=WaitingRoom(2, slow_after_seconds=0))
    raw = encoded(submission(student, assignment))
    notes = Part("file", b"calm\n" * 4 * MEBIBYTE, filename="notes.txt")
    body = form(notes, Part("metadata", raw))
    async with connect(running) as fast, stranger(running) as slow:
        await begin(fast, signature=elsewhere.spark.sign(raw), length=len(body))
        await fast.send(body[:-10])
        async with stranger(running):
            assert_problem(await slow.read_answer(), 503, "overloaded")
            await fast.send(body[-10:])
            assert (await fast.read_answer()).status_code == 200


# ---------------------------------------------------------------------------- the spool


@asynccontextmanager
async def full_spool(settings: Settings) -> AsyncIterator[tuple[Elsewhere, Answers]]:
    """Four strangers at one address wanted a mebibyte each, and the last did not find it."""
    async with (
        run_elsewhere(settings, spool_max_bytes=3 * MEBIBYTE) as elsewhere,
        AsyncExitStack() as stack,
    ):
        spool = elsewhere.running.app.state.resources.intake.spool
        strangers = []
        for left in (2, 1, 0, 0):
            wire = await stack.enter_async_context(stranger(elsewhere.running, size=MEBIBYTE))
            strangers.append(wire)

            async def is_on_disk(left: int = left) -> bool:
                # What may be the begin of a boundary is not on disk yet.
                return bool(spool.free_bytes <= left * MEBIBYTE + 3 * (len(BOUNDARY) + 8))

            await eventually(is_on_disk)
        answers = {asyncio.create_task(each.read_answer()) for each in strangers}
        [refused], waiting = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        assert_problem(refused.result(), 503, "overloaded")
        yield elsewhere, waiting
        for each in waiting:
            each.cancel()


async def hand_in_late(
    elsewhere: Elsewhere, source: str, payload: dict[str, Any], size: int
) -> httpx.Response:
    """A file of this size, and then its metadata."""
    notes = Part("file", b"calm\n" * (size // 5), filename="notes.txt")
    async with spark_at(source, elsewhere) as spark:
        return await spark.submit_form(payload, notes, metadata_last=True)


async def test_h3_a_full_spool_has_room_for_another_address(
    settings: Settings, student: SignedIn, assignment: Assignment
) -> None:
    payload = submission(student, assignment)
    async with full_spool(settings) as (elsewhere, waiting):
        answer = await hand_in_late(elsewhere, THERE, payload, MEBIBYTE)
        assert answer.status_code == 200, answer.text
        [ended], _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert_problem(ended.result(), 503, "overloaded")


async def test_h3_whoever_is_ended_leaves_no_bytes_in_the_spool(
    settings: Settings, student: SignedIn, assignment: Assignment
) -> None:
    """Many at once, each ended by a newcomer somewhere in its file, or for want of disk."""
    files = form(Part("file", b"calm\n" * (MEBIBYTE // 5), filename="notes.txt"))
    async with run_elsewhere(settings, spool_max_bytes=3 * MEBIBYTE) as elsewhere:
        change_intake(elsewhere.running, waiting_room=WaitingRoom(4))
        answers = await asyncio.gather(
            *(elsewhere.spark.send_form(files, signature="0" * 64) for _ in range(60))
        )
        statuses = {answer.status_code for answer in answers}
        assert 503 in statuses <= {400, 503}
        payload = submission(student, assignment)
        answer = await hand_in_late(elsewhere, HERE, payload, 3 * MEBIBYTE)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("source", "size", "ended"),
    [(HERE, MEBIBYTE, 0), (THERE, 5 * MEBIBYTE // 2, 2)],
    ids=["H3-the-same-address", "H3-more-than-its-half"],
)
async def test_nobody_is_ended_for_what_is_not_due(
    settings: Settings,
    student: SignedIn,
    assignment: Assignment,
    *,
    source: str,
    size: int,
    ended: int,
) -> None:
    payload = submission(student, assignment)
    async with full_spool(settings) as (elsewhere, waiting):
        answer = await hand_in_late(elsewhere, source, payload, size)
        assert_problem(answer, 503, "overloaded")
        done, _ = await asyncio.wait(waiting, timeout=0.2)
        assert len(done) == ended
