"""A HEIC picture as JPEG, made by a child that may fail alone."""

import asyncio
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from app import pictures
from app.settings import Settings

PROJECT = Path(pictures.__file__).parents[1]
CHUNK_BYTES = 64 * 1024
SECONDS = 60  # that we wait for it

Reason = Literal["too_large", "unreadable"]
REASONS: dict[int, Reason] = {
    pictures.TOO_LARGE: "too_large",
    pictures.UNREADABLE: "unreadable",
    # Out of time, of the host's memory, and of its own where the decoder does not say so.
    **dict.fromkeys((-signal.SIGXCPU, -signal.SIGKILL, -signal.SIGABRT), "too_large"),
    **dict.fromkeys(
        (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGFPE, -signal.SIGILL), "unreadable"
    ),
}


class NoJpegError(Exception):
    """The picture has to stay as it is."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


def makes_jpeg(settings: Settings) -> bool:
    """Whether this process does; without the extra `pictures` HEIC stays as it is."""
    return settings.picture_max_pixels > 0 and find_spec("pillow_heif") is not None


async def make_jpeg(
    heic: AsyncIterable[bytes], *, max_pixels: int, seconds: float = SECONDS
) -> AsyncGenerator[bytes, None]:
    """In pieces; only the end tells that it is whole. Raises NoJpegError, also for a child that is
    waited for longer than `seconds`, and RuntimeError for one that failed for a reason of its own.
    """
    command = (sys.executable, "-s", "-m", pictures.__name__, str(max_pixels))
    child = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, cwd=PROJECT, env={}
    )
    try:
        await _feed(child, heic, seconds)
        async for piece in _read(child, seconds):
            yield piece
        code = await child.wait()
    except TimeoutError:
        raise NoJpegError("too_large") from None
    finally:
        with suppress(ProcessLookupError):  # it has ended
            child.kill()
        await child.wait()
    if code in REASONS:
        raise NoJpegError(REASONS[code])
    if code:
        raise RuntimeError(f"exit code {code}")


async def _feed(child: Process, heic: AsyncIterable[bytes], seconds: float) -> None:
    """One that has ended already tells why by its code."""
    assert child.stdin  # noqa: S101 - it is a pipe
    async for chunk in heic:
        child.stdin.write(chunk)
        with suppress(ConnectionError):
            async with asyncio.timeout(seconds):
                await child.stdin.drain()
    child.stdin.close()


async def _read(child: Process, seconds: float) -> AsyncIterator[bytes]:
    """Raises TimeoutError; what whoever takes the pieces needs does not count."""
    assert child.stdout  # noqa: S101 - it is a pipe
    clock, left = asyncio.get_running_loop().time, seconds
    while True:
        began = clock()
        async with asyncio.timeout(left):
            piece = await child.stdout.read(CHUNK_BYTES)
        left -= clock() - began
        if not piece:
            return
        yield piece
