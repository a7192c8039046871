"""Write a stream of bytes as one object, with flat memory.

A file of up to one part is one PUT; a larger one is a multipart upload whose parts are cut from
one reused buffer. The whole object appears, or nothing: on any exit but success, cancellation
included, the unfinished upload is aborted; where it is the store that failed, by the sweep.
"""

import asyncio
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING

from app.errors import StorageUnavailableError
from app.settings import MEBIBYTE
from app.storage.bucket import Bucket
from app.storage.part_buffers import PART_BYTES, PARTS_AT_ONCE, PartBody

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

# The next part is filled this far while one is leaving; then the stream waits. The connection with
# the store has still to take less than 10 MB of what arrived.
MAX_AHEAD_BYTES = 7 * MEBIBYTE // 2
SETTLE_SECONDS = 2


async def store_stream(
    bucket: Bucket, object_key: str, chunks: AsyncIterable[bytes], *, content_type: str
) -> None:
    """Raises StorageUnavailableError, and whatever `chunks` raises.

    After a failure it is unknown whether the last call arrived: the caller deletes the key.
    """
    writer = _PartWriter(bucket, object_key, content_type)
    try:
        async for chunk in chunks:
            await writer.write(chunk)
        await writer.finish()
    except StorageUnavailableError:
        writer.cancel()
        raise
    except BaseException:
        await asyncio.shield(writer.abort())
        raise


class _PartWriter:
    """Cuts the stream into parts, and fills one while others are on their way."""

    def __init__(self, bucket: Bucket, object_key: str, content_type: str) -> None:
        self._bucket = bucket
        self._object_key = object_key
        self._content_type = content_type
        self._buffer = bucket.buffers.take()
        self._filled = 0
        self._upload_id: str | None = None
        self._last: PartBody | None = None
        self._sending: list[asyncio.Task[CompletedPartTypeDef]] = []

    async def write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            if self._filled == PART_BYTES:
                await self._send_part()
            taken = min(len(rest), PART_BYTES - self._filled)
            self._buffer[self._filled : self._filled + taken] = rest[:taken]
            self._filled += taken
            rest = rest[taken:]
        if self._filled > MAX_AHEAD_BYTES:
            await self._last_has_left()

    async def finish(self) -> None:
        if self._upload_id is None:
            body = PartBody(self._buffer, self._filled)
            await self._bucket.put(self._object_key, body, content_type=self._content_type)
        else:
            await self._send_part()
            await asyncio.wait(self._sending)
            parts = [sending.result() for sending in self._sending]
            await self._bucket.complete_upload(self._object_key, self._upload_id, parts=parts)
            self._upload_id = None
        self._bucket.buffers.give_back(self._buffer)

    def cancel(self) -> None:
        for sending in self._sending:
            sending.cancel()

    async def abort(self) -> None:
        """Parts that have left are waited for: one that comes after the abort would stay."""
        if pending := [sending for sending in self._sending if not sending.done()]:
            await asyncio.wait(pending, timeout=SETTLE_SECONDS)
            self.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        if self._upload_id is not None:
            await self._bucket.abort_upload(self._object_key, self._upload_id)

    async def _send_part(self) -> None:
        """Returns when the part is on its way, and there is another buffer to fill."""
        if len(self._sending) >= PARTS_AT_ONCE:
            await asyncio.wait([self._sending[-PARTS_AT_ONCE]])
        await self._last_has_left()
        if self._upload_id is None:
            self._upload_id = await self._bucket.create_upload(
                self._object_key, content_type=self._content_type
            )
        self._last = PartBody(self._buffer, self._filled)
        sending = await self._bucket.begin_part(
            self._object_key, self._upload_id, number=len(self._sending) + 1, body=self._last
        )
        self._sending.append(sending)
        self._buffer, self._filled = self._bucket.buffers.take(), 0

    async def _last_has_left(self) -> None:
        """Raises the error of a part that has failed."""
        if self._last is not None:
            await self._last.has_left.wait()
        for sending in self._sending:
            if sending.done():
                sending.result()
