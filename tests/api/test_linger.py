"""An answer that comes early reaches a sender that is still writing, and ends the connection."""

import asyncio
import time

import pytest

from app.files.places import Places
from app.settings import Settings
from tests.support.bodies import Part
from tests.support.elsewhere import change_intake, run_elsewhere
from tests.support.patience import patient
from tests.support.problems import assert_problem
from tests.support.running import Running
from tests.support.spark import Assignment, SignedIn, submission
from tests.support.wire import Wire, connect

WRONG = "0" * 64
MEBIBYTE = 1024 * 1024


METADATA = b'--B\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{}\r\n--B\r\n'


async def _announce(wire: Wire, length: int) -> None:
    """A form whose metadata comes first, wrongly signed, and then as many bytes more."""
    await wire.send_head(
        "Content-Type: multipart/form-data; boundary=B",
        f"X-Spark-Signature: {WRONG}",
        f"Content-Length: {len(METADATA) + length}",
    )
    await wire.send(METADATA)


async def test_the_answer_arrives_while_the_sender_goes_on_and_then_it_is_over(
    server: Running,
) -> None:
    """P111"""
    async with connect(server) as wire:
        await _announce(wire, 4 * MEBIBYTE)
        answer = await wire.read_answer()
        assert_problem(answer, 401, "signature_invalid")
        assert answer.headers["connection"] == "close"
        for _ in range(4):
            await wire.send(b"x" * MEBIBYTE)
        assert await wire.read_to_end() == b""


async def test_a_trickle_does_not_keep_the_connection(server: Running) -> None:
    """P154"""
    async with connect(server) as wire:
        await _announce(wire, MEBIBYTE)
        await wire.read_answer()
        began = time.monotonic()
        ended = asyncio.create_task(wire.read_to_end())
        while not ended.done():
            await wire.send(b"x")
            await asyncio.wait([ended], timeout=0.2)
        assert 3 < time.monotonic() - began < patient(15)


async def test_a_flood_is_cut_off(server: Running) -> None:
    async with connect(server) as wire:
        await _announce(wire, 200 * MEBIBYTE)
        await wire.read_answer()
        with pytest.raises(ConnectionError):
            await wire.send(b"x" * 200 * MEBIBYTE)


async def test_a_request_that_was_read_whole_keeps_its_connection(server: Running) -> None:
    async with connect(server) as wire:
        for _ in range(2):
            await wire.send_head(
                "Content-Type: application/json",
                f"X-Spark-Signature: {WRONG}",
                "Content-Length: 2",
            )
            await wire.send(b"{}")
            answer = await wire.read_answer()
            assert_problem(answer, 401, "signature_invalid")
            assert "connection" not in answer.headers


@pytest.mark.parametrize(
    ("student_id", "refusal"),
    [(None, (503, "overloaded")), ("nobody", (404, "user_not_found"))],
    ids=["OPERATOR 18 the 33rd upload", "OPERATOR 18 an unknown student"],
)
async def test_who_signs_reads_the_refusal_behind_a_large_body(
    settings: Settings,
    student: SignedIn,
    assignment: Assignment,
    student_id: str | None,
    refusal: tuple[int, str],
) -> None:
    """As senders do that write all of it before they read."""
    film = Part("file", bytes(40 * MEBIBYTE), filename="film.mp4")
    whose = student_id or student.spark_user_id
    async with run_elsewhere(settings) as elsewhere:
        if student_id is None:
            none = Places(asyncio.Semaphore(0), wait_seconds=0.1)
            change_intake(elsewhere.running, places=none)
        payload = submission(student, assignment, spark_user_id=whose)
        assert_problem(await elsewhere.spark.submit_form(payload, film), *refusal)
