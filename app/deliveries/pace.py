"""A body must keep arriving: no long pause, and no trickle that holds a slot for hours."""

import asyncio
from collections.abc import AsyncIterable
from contextlib import suppress
from typing import Self

from app.deliveries.hold_body import HeldBody
from app.errors import BodyTimeoutError, BodyTooLargeError

GRACE_SECONDS = 10  # before the average counts


class PacedBody:
    """The chunks of a body as they come; BodyTimeoutError is raised when they do not.

    Only waiting for the sender counts: time that the consumer takes is not the sender's fault. With
    `keeps_all` the pieces are kept, for a diagnosis. With `held`, others who need its room may end
    it: OverloadedError.
    """

    def __init__(
        self,
        chunks: AsyncIterable[bytes],
        *,
        idle_seconds: float,
        min_bytes_per_second: int,
        held: HeldBody | None = None,
        keeps_all: bool = False,
    ) -> None:
        self.received_bytes = 0
        self._chunks = aiter(chunks)
        self._idle_seconds = idle_seconds
        self._min_bytes_per_second = min_bytes_per_second
        self._held = held
        self._wait = held.wait if held else asyncio.timeout
        self._kept = bytearray() if keeps_all else None
        self._clock = asyncio.get_running_loop().time
        self._waited = 0.0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        asked_at = self._clock()
        try:
            async with self._wait(self._idle_seconds):
                chunk = await anext(self._chunks)
        except TimeoutError:
            raise BodyTimeoutError from None
        self._waited += self._clock() - asked_at
        self.received_bytes += len(chunk)
        is_slow = self.received_bytes < self._waited * self._min_bytes_per_second
        if is_slow and self._waited > GRACE_SECONDS:
            raise BodyTimeoutError
        if self._kept is not None and self._held is not None:
            await self._held.take(len(chunk))
            self._kept += chunk
        return chunk

    def stop_keeping(self) -> None:
        if self._kept is not None and self._held is not None:
            self._held.give_back(len(self._kept))
        self._kept = None

    async def read_whole(self) -> bytes | None:
        """Everything, with what is still to come; None if it is not kept."""
        if self._kept is None:
            return None
        with suppress(BodyTimeoutError):
            async for _ in self:
                pass
        return bytes(self._kept)


async def read_all(body: AsyncIterable[bytes], held: HeldBody, *, max_bytes: int) -> bytes:
    """Raises BodyTooLargeError at the first byte too many, OverloadedError without room for it."""
    content = bytearray()
    async for chunk in body:
        if len(content) + len(chunk) > max_bytes:
            raise BodyTooLargeError
        await held.take(len(chunk))
        content += chunk
    return bytes(content)
