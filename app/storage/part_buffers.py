"""The memory of parts: one buffer for each upload, and a few more for parts on their way.

An upload owns its buffer, so slow senders never take one from the others; only sending waits for
a turn. A buffer is kept for the next upload, for making one costs as much as filling it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

from app.errors import OverloadedError
from app.settings import MEBIBYTE

PART_BYTES = 5 * MEBIBYTE  # the smallest part S3 allows, so the least memory
PARTS_IN_FLIGHT = 4  # in this process
PARTS_AT_ONCE = 2  # of one file: the store still works on one while it is sent the next
TURN_SECONDS = 30
KEPT = 8  # what an idle process holds on to
KEPT_SECONDS = 5  # the others, for who comes next
SLICE_BYTES = 256 * 1024


class PartBuffers:
    """The buffers of one process."""

    def __init__(self) -> None:
        self._free: list[memoryview] = []
        self._in_flight = asyncio.Semaphore(PARTS_IN_FLIGHT)

    def take(self) -> memoryview:
        """PART_BYTES to fill. Pages of its own: the heap would keep them after a busy hour."""
        if self._free:
            return self._free.pop()
        return memoryview(mmap(-1, PART_BYTES, flags=MAP_PRIVATE | MAP_ANONYMOUS))

    def give_back(self, buffer: memoryview) -> None:
        """Only when no connection can still be reading from it."""
        self._free.append(buffer)
        if len(self._free) > KEPT:
            asyncio.get_running_loop().call_later(KEPT_SECONDS, self._let_go)

    def _let_go(self) -> None:
        """The one that was used least lately."""
        if len(self._free) > KEPT:
            del self._free[0]

    async def begin_turn(self) -> None:
        """Few parts at a time. Raises OverloadedError when a slow store keeps them all too long."""
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._in_flight.acquire()
        except TimeoutError:
            raise OverloadedError(limit="parts on their way") from None

    def end_turn(self) -> None:
        self._in_flight.release()


class PartBody:
    """The filled part of a buffer as the body of a request, sent without being copied.

    botocore takes it for a file, as it has `read` and `seek`; aiohttp takes it for a stream and
    iterates over it, once more from the start when a request is repeated. `has_left` is set when
    the last byte was handed to the connection, and `on_move` called before each slice.
    """

    def __init__(self, buffer: memoryview, size: int) -> None:
        self.buffer = buffer
        self.has_left = asyncio.Event()
        self.on_move: Callable[[], object] = bool  # nobody listens
        self._content = buffer[:size]

    def __len__(self) -> int:
        return len(self._content)

    async def __aiter__(self) -> AsyncIterator[memoryview]:
        for start in range(0, len(self), SLICE_BYTES):
            self.on_move()
            yield self._content[start : start + SLICE_BYTES]
        self.on_move()
        self.has_left.set()

    def read(self) -> bytes:
        return bytes(self._content)

    def seek(self, _: int) -> None:
        """Nothing to do: every iteration begins at the start."""
