"""Files that arrive before their metadata wait on disk until the signature is known (DESIGN R10).

The temporary files have no name, so a crash leaves none behind; a quota bounds what all requests
of this process may put there.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

from app.errors import OverloadedError
from app.files.multipart import FormPart

READ_BYTES = 256 * 1024


@dataclass(frozen=True)
class SpooledPart:
    """A part on disk; reads like the FormPart it was."""

    name: str
    filename: str | None
    content_type: str | None
    file: IO[bytes]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await asyncio.to_thread(self.file.seek, 0)
        while chunk := await asyncio.to_thread(self.file.read, READ_BYTES):
            yield chunk


class Spool:
    """The disk that early files of this process may use."""

    def __init__(self, max_bytes: int) -> None:
        self._free_bytes = max_bytes

    @contextmanager
    def open(self) -> "Iterator[SpoolShare]":
        share = SpoolShare(self)
        try:
            yield share
        finally:
            share.close()

    def take(self, size: int) -> None:
        if size > self._free_bytes:
            raise OverloadedError
        self._free_bytes -= size

    def give_back(self, size: int) -> None:
        self._free_bytes += size


class SpoolShare:
    """The early files of one request; closing it frees their disk."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._taken = 0
        self._files: list[IO[bytes]] = []

    async def keep(self, part: FormPart) -> SpooledPart:
        """Raises OverloadedError when the quota or the disk is full."""
        file = tempfile.TemporaryFile(prefix="spark-")  # noqa: SIM115 - closed with the share
        self._files.append(file)
        async for chunk in part:
            self._spool.take(len(chunk))
            self._taken += len(chunk)
            await _on_disk(file.write, chunk)
        await _on_disk(file.flush)
        return SpooledPart(part.name, part.filename, part.content_type, file)

    def close(self) -> None:
        self._spool.give_back(self._taken)
        for file in self._files:
            with suppress(OSError):  # what a full disk did not take is written again here
                file.close()


async def _on_disk(act: Callable[..., object], *arguments: object) -> None:
    try:
        await asyncio.to_thread(act, *arguments)
    except OSError as full:
        raise OverloadedError from full
