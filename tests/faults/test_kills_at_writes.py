"""A service is killed at any of its writes (FAULTS P190)."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from tests.faults.conftest import Writer, assert_invariants, until_answered
from tests.support.bodies import Part
from tests.support.forked import Forked, Forks
from tests.support.homework import Homework, note
from tests.support.stores import Stores

STRACE = shutil.which("strace")
SOAK = "SOAK" in os.environ


def notes(count: int) -> list[Part]:
    return [note(2000) for _ in range(count)]


async def trace(serving: Forked, *options: str) -> asyncio.subprocess.Process:
    """Strace beside a running service; it says so when it is attached to every thread."""
    process = await asyncio.create_subprocess_exec(
        *(str(STRACE), "-f", "-p", str(serving.pid), "-e", "trace=write", *options),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr
    line = await process.stderr.readline()
    assert b"attached" in line, line
    return process


async def count_writes(serving: Forked, homework: Homework, log: Path) -> int:
    """How often its event loop's thread writes for a request; the last time is the answer."""
    process = await trace(serving, "-o", str(log))
    status, _ = await homework.send_once(serving.url)
    assert status == 200
    process.terminate()
    await process.communicate()
    return answer_among(log, serving.pid)


def answer_among(log: Path, thread: int) -> int:
    """The number of the answer among this thread's writes."""
    written = [line for line in log.read_text().splitlines() if line.startswith(f"{thread} ")]
    (number,) = [number for number, line in enumerate(written, 1) if '"HTTP/1.1 200' in line]
    return number


async def killed_at(
    number: int, serving: Forked, write: Callable[[], Awaitable[Homework]]
) -> Homework:
    """One that was cut off at that write. Some need a write less than was counted: then another."""
    homework = await write()
    for _ in range(5):
        process = await trace(serving, "-e", f"inject=write:signal=KILL:when={number}")
        try:
            await homework.send_once(serving.url)
        except (OSError, EOFError):
            await process.communicate()
            return homework
        process.terminate()
        await process.communicate()
        try:
            homework = await write()
        except httpx.TransportError:  # it was killed behind the answer
            return homework
    pytest.fail(f"never came to write {number}")


@pytest.mark.soak
@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
@pytest.mark.parametrize("row", ["P190"])
@pytest.mark.parametrize("files", [0, 2], ids=["json", "form"])
async def test_a_kill_at_any_write_is_repeated_without_loss(
    forks: Forks, writer: Writer, stores: Stores, leased: Settings, files: int, row: str
) -> None:
    """The last write is the answer: a kill there comes between commit and answer."""
    answered = []
    serving = await forks.start()
    warm = await writer.write(serving, notes(files))
    answered.append(await until_answered(warm, serving))
    counts = []
    for _ in range(3):  # some take more, for a connection that is not warm
        counted = await writer.write(serving, notes(files))
        counts.append(await count_writes(serving, counted, forks.folder / "writes"))
        answered.append(await until_answered(counted, serving))
    last = min(counts)
    step = 1 if SOAK else last // 3
    for number in [*range(last - 2, 0, -step), last - 1, last]:
        warm = await writer.write(serving, notes(files))
        answered.append(await until_answered(warm, serving))
        homework = await killed_at(number, serving, partial(writer.write, serving, notes(files)))
        serving = await forks.start()
        answered.append(await until_answered(homework, serving))
    await assert_invariants(stores, leased, answered)
