"""An act in a process of its own, which may be killed (`kill -9`) at a chosen moment of it."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import Pool

MOMENTS: dict[str, tuple[Any, str]] = {
    "statement": (Engine, "before_cursor_execute"),
    "commit": (Engine, "commit"),  # before it is sent
    "end": (Pool, "checkin"),  # of a transaction: it was committed or rolled back
}


async def run_apart(
    act: Callable[[], Awaitable[None]], *moments: str, kill_at: int | None = None
) -> list[str] | None:
    """The moments of these kinds that it had, in order; None if it was killed at one of them."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:  # what is forked has no loop that runs
        os.write(writer, asyncio.run(_count(act, moments, kill_at)))
        os._exit(0)
    os.close(writer)
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    with os.fdopen(reader, "rb") as answer:
        counted = answer.read().decode()
    assert (os.WIFSIGNALED(status)) == (kill_at is not None)
    return counted.split() or None


async def _count(
    act: Callable[[], Awaitable[None]], moments: tuple[str, ...], kill_at: int | None
) -> bytes:
    passed: list[str] = []

    def pass_by(moment: str) -> Callable[..., None]:
        def count(*_: object) -> None:
            if len(passed) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            passed.append(moment)

        return count

    for moment in moments:
        target, name = MOMENTS[moment]
        event.listen(target, name, pass_by(moment))
    await act()
    return " ".join(passed).encode()
