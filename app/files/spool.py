"""Files that arrive before their metadata wait on disk until the signature is known (DESIGN R10).

The temporary files have no name, so a crash leaves none behind; a quota bounds what all requests
of this process may put there, and who wants more than is left takes it from who has too much (R44).
"""

import asyncio
import errno
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

from app.errors import OverloadedError
from app.files.multipart import FormPart
from app.files.waiting_room import Stay
from app.settings import SettingsError

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


@contextmanager
def on_disk() -> Iterator[None]:
    """Round what the disk may refuse. Raises OverloadedError."""
    try:
        yield
    except OSError as full:
        raise OverloadedError(limit="disk") from full


def require_folder() -> None:
    """Raises SettingsError where no temporary file can be made. That the disk is full may pass."""
    folder = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - of files without a name
    try:
        with tempfile.TemporaryFile(dir=folder, prefix="spark-"):
            pass
    except OSError as failure:
        if failure.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise SettingsError(
                f"TMPDIR: no file can be made in {folder}: {failure.strerror}."
            ) from None


class Spool:
    """The disk that early files of this process may use."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = self.free_bytes = max_bytes
        self._shares: list[SpoolShare] = []  # in the order they came

    @contextmanager
    def open(self, stay: Stay) -> "Iterator[SpoolShare]":
        share = SpoolShare(self, stay)
        self._shares.append(share)
        try:
            yield share
        finally:
            self._shares.remove(share)
            share.close()

    def take(self, size: int, share: "SpoolShare") -> None:
        """Raises OverloadedError."""
        while size > self.free_bytes:
            self._make_room(share)
        self.free_bytes -= size

    def give_back(self, size: int) -> None:
        self.free_bytes += size

    def _make_room(self, asking: "SpoolShare") -> None:
        """End the largest form of another address that holds more than half, or else of all slow
        ones that have more than who asks. A form that is known keeps what it has.

        Raises OverloadedError when there is none.
        """
        held: Counter[str] = Counter()
        for share in self._shares:
            held[share.stay.address] += share.taken
        others = [
            share
            for share in self._shares
            if share is not asking and share.taken and not share.stay.is_over
        ]
        greedy = [
            share
            for share in others
            if share.stay.address != asking.stay.address
            and held[share.stay.address] > self._max_bytes / 2
        ]
        slow = [share for share in others if share.stay.is_slow and share.taken > asking.taken]
        ended = max(greedy or slow, key=lambda share: share.taken, default=None)
        if ended is None:
            raise OverloadedError(limit="SPOOL_MAX_BYTES")
        ended.stay.end()
        ended.close()


class SpoolShare:
    """The early files of one request; closing it frees their disk."""

    def __init__(self, spool: Spool, stay: Stay) -> None:
        self.stay = stay
        self.taken = 0
        self._spool = spool
        self._files: list[IO[bytes]] = []

    async def keep(self, part: FormPart) -> SpooledPart:
        """Raises OverloadedError when the quota or the disk is full."""
        with on_disk():
            file = tempfile.TemporaryFile(prefix="spark-")  # noqa: SIM115 - closed with the share
        self._files.append(file)
        async for chunk in part:
            if self.stay.is_over:  # and its files are closed
                raise OverloadedError(limit="SPOOL_MAX_BYTES")
            self._spool.take(len(chunk), self)
            self.taken += len(chunk)
            with on_disk():
                await asyncio.to_thread(file.write, chunk)
        with on_disk():
            await asyncio.to_thread(file.flush)
        return SpooledPart(part.name, part.filename, part.content_type, file)

    def close(self) -> None:
        self._spool.give_back(self.taken)
        self.taken = 0
        for file in self._files:
            with suppress(OSError):  # what a full disk did not take is written again here
                file.close()
