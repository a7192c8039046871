"""How fast a body must arrive, on a loop whose clock can be moved on."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from app.deliveries.hold_body import BodyBudget, HeldBody
from app.deliveries.pace import GRACE_SECONDS, PacedBody, read_all
from app.errors import BodyTimeoutError, BodyTooLargeError
from tests.support.bodies import arrive
from tests.support.hurried import run_hurried, skip


async def trickle(chunk: bytes, *, count: int, seconds: float) -> AsyncIterator[bytes]:
    """A chunk every so many seconds of waiting."""
    for _ in range(count):
        skip(seconds)
        yield chunk


async def receive(
    chunks: AsyncIterator[bytes], *, between: Callable[[], None] = lambda: None
) -> bytes:
    received = b""
    async for chunk in PacedBody(chunks, idle_seconds=0.2, min_bytes_per_second=100):
        received += chunk
        between()
    return received


def a_body() -> HeldBody:
    return HeldBody(BodyBudget(100), "somebody")


async def test_a_body_that_keeps_arriving_passes_unchanged() -> None:
    assert await receive(arrive([b"ab", b"", b"c"])) == b"abc"


async def test_an_empty_body_passes() -> None:
    assert await receive(arrive([])) == b""


async def test_a_pause_ends_the_body() -> None:
    async def silent() -> AsyncIterator[bytes]:
        yield b"ab"
        await asyncio.Event().wait()

    with pytest.raises(BodyTimeoutError):
        await receive(silent())


def test_a_trickle_ends_once_the_average_counts() -> None:
    with pytest.raises(BodyTimeoutError):
        run_hurried(receive(trickle(b"a" * 99, count=GRACE_SECONDS + 1, seconds=1.01)))


def test_a_trickle_is_forgiven_at_first() -> None:
    assert run_hurried(receive(trickle(b"a", count=GRACE_SECONDS - 1, seconds=1))) == b"a" * 9


def test_a_sender_at_the_slowest_average_is_patiently_awaited() -> None:
    body = run_hurried(receive(trickle(b"a" * 110, count=100, seconds=1)))
    assert len(body) == 11_000


def test_time_that_the_consumer_takes_is_not_the_senders_fault() -> None:
    body = run_hurried(receive(arrive([b"a"] * 100), between=lambda: skip(60)))
    assert len(body) == 100


async def test_a_failure_of_the_sender_goes_through() -> None:
    with pytest.raises(ConnectionError):
        await receive(arrive([b"a"], ConnectionError()))


async def test_a_small_body_may_be_as_large_as_the_limit() -> None:
    assert await read_all(arrive([b"ab", b"c"]), a_body(), max_bytes=3) == b"abc"


async def test_a_small_body_is_refused_at_the_first_byte_too_many() -> None:
    asked_for = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            asked_for.append(1)
            yield b"ab"

    with pytest.raises(BodyTooLargeError):
        await read_all(endless(), a_body(), max_bytes=3)
    assert len(asked_for) == 2
