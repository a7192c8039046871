"""A roster file from a request onto the disk, because a zip has to be read from its end."""

import asyncio
import tempfile
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.errors import BodyTooLargeError, OverloadedError


@asynccontextmanager
async def spool_roster(body: AsyncIterable[bytes], *, max_bytes: int) -> AsyncIterator[Path]:
    """Where it is; it is removed at the end. Raises BodyTooLargeError or OverloadedError."""
    with tempfile.NamedTemporaryFile(prefix="spark-roster-") as file:
        size = 0
        async for chunk in body:
            size += len(chunk)
            if size > max_bytes:
                raise BodyTooLargeError
            try:
                await asyncio.to_thread(file.write, chunk)
            except OSError as full:
                raise OverloadedError from full
        file.flush()
        yield Path(file.name)
