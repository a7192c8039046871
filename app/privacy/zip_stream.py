"""A zip that is made while it is sent, in flat memory whatever the size and number of its entries.

A zip ends with its directory, and the library keeps that in memory until then: here it waits on
disk. What fails on the way ends the stream in the middle, so what arrived does not open.
"""

import asyncio
import pickle  # nosec
import zipfile
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from contextlib import closing
from tempfile import SpooledTemporaryFile
from typing import Any

from typing_extensions import override

HELD_BYTES = 1024 * 1024  # the rest is on disk
CHUNK_BYTES = 256 * 1024

Entry = tuple[zipfile.ZipInfo, AsyncIterable[bytes]]


async def stream_zip(entries: AsyncIterator[Entry]) -> AsyncGenerator[bytes, None]:
    """In chunks."""
    with closing(_Sink()) as sink, closing(_Directory()) as directory:
        target: Any = sink
        archive = zipfile.ZipFile(target, "w")  # not closed on a failure: that would make it whole
        kept: Any = directory
        archive.filelist, archive.NameToInfo = kept, _Forgetful()
        try:
            async for info, content in entries:
                with archive.open(info, "w") as file:
                    async for chunk in content:
                        file.write(chunk)
                        yield b"".join(sink.take())
            await asyncio.to_thread(archive.close)  # every entry is written once more
        finally:
            archive.fp = None  # or it would be closed when it is forgotten
        for chunk in sink.take():
            yield chunk


class _Sink:
    """Bytes that a zip wrote and nobody took yet. Without `seek`, as the zip has to know."""

    def __init__(self) -> None:
        self._waiting = SpooledTemporaryFile(HELD_BYTES)  # noqa: SIM115 - closed with it

    def close(self) -> None:
        self._waiting.close()

    def write(self, content: bytes) -> int:
        return self._waiting.write(content)

    def flush(self) -> None:
        pass

    def take(self) -> Iterator[bytes]:
        self._waiting.seek(0)
        while chunk := self._waiting.read(CHUNK_BYTES):
            yield chunk
        self._waiting.seek(0)
        self._waiting.truncate()


class _Directory:
    """What a zip asks of its list of entries."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(HELD_BYTES)  # noqa: SIM115 - closed with it
        self._length = 0

    def close(self) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[zipfile.ZipInfo]:
        self._file.seek(0)
        for _ in range(self._length):
            yield pickle.load(self._file)  # noqa: S301 - only we write that file  # nosec

    def append(self, info: zipfile.ZipInfo) -> None:
        pickle.dump(info, self._file, pickle.HIGHEST_PROTOCOL)
        self._length += 1


class _Forgetful(dict[str, zipfile.ZipInfo]):
    """Names are unique by the ids in them."""

    @override
    def __setitem__(self, name: str, info: zipfile.ZipInfo) -> None:
        pass
