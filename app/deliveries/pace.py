"""A body must keep arriving: no long pause, and no trickle that holds a slot for hours."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable

from app.errors import BodyTimeoutError, BodyTooLargeError

GRACE_SECONDS = 10  # before the average counts


async def keep_pace(
    chunks: AsyncIterable[bytes], *, idle_seconds: float, min_bytes_per_second: int
) -> AsyncGenerator[bytes, None]:
    """The chunks as they come. Raises BodyTimeoutError.

    Only waiting for the sender counts: time that the consumer takes is not the sender's fault.
    """
    clock = asyncio.get_running_loop().time
    source = aiter(chunks)
    waited, received = 0.0, 0
    while True:
        asked_at = clock()
        try:
            async with asyncio.timeout(idle_seconds):
                chunk = await anext(source)
        except TimeoutError:
            raise BodyTimeoutError from None
        except StopAsyncIteration:
            return
        waited += clock() - asked_at
        received += len(chunk)
        if waited > GRACE_SECONDS and received < waited * min_bytes_per_second:
            raise BodyTimeoutError
        yield chunk


async def read_all(body: AsyncIterable[bytes], *, max_bytes: int) -> bytes:
    """For small bodies. Raises BodyTooLargeError at the first byte too many."""
    content = bytearray()
    async for chunk in body:
        if len(content) + len(chunk) > max_bytes:
            raise BodyTooLargeError
        content += chunk
    return bytes(content)
