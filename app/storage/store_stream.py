"""Write a stream of bytes as one object, with flat memory.

A file of up to one part is one PUT; a larger one is a multipart upload whose parts are cut from
one reused buffer. The whole object appears, or nothing: on any exit but success, cancellation
included, the unfinished upload is aborted.
"""

import asyncio
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING

from app.settings import MEBIBYTE
from app.storage.bucket import Bucket

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

PART_BYTES = 5 * MEBIBYTE  # the smallest part S3 allows, so the least memory


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
    except BaseException:
        await asyncio.shield(writer.abort())
        raise


class _PartWriter:
    """Cuts the stream into parts; nothing is sent until a part is full or the stream ends."""

    def __init__(self, bucket: Bucket, object_key: str, content_type: str) -> None:
        self._bucket = bucket
        self._object_key = object_key
        self._content_type = content_type
        self._buffer = bytearray(PART_BYTES)
        self._filled = 0
        self._upload_id: str | None = None
        self._parts: list[CompletedPartTypeDef] = []

    async def write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            if self._filled == PART_BYTES:
                await self._send_part()
            taken = min(len(rest), PART_BYTES - self._filled)
            self._buffer[self._filled : self._filled + taken] = rest[:taken]
            self._filled += taken
            rest = rest[taken:]

    async def finish(self) -> None:
        if self._upload_id is None:
            await self._bucket.put(self._object_key, self._body, content_type=self._content_type)
            return
        await self._send_part()
        await self._bucket.complete_upload(self._object_key, self._upload_id, parts=self._parts)
        self._upload_id = None

    async def abort(self) -> None:
        if self._upload_id is not None:
            await self._bucket.abort_upload(self._object_key, self._upload_id)

    @property
    def _body(self) -> memoryview:
        return memoryview(self._buffer)[: self._filled]

    async def _send_part(self) -> None:
        if self._upload_id is None:
            self._upload_id = await self._bucket.create_upload(
                self._object_key, content_type=self._content_type
            )
        stored = await self._bucket.put_part(
            self._object_key, self._upload_id, number=len(self._parts) + 1, body=self._body
        )
        self._parts.append(stored)
        self._filled = 0
