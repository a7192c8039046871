"""A file is shown to clamd while it arrives (FAULTS P148): an INSTREAM on a connection of its own.

clamd judges it when it has all. It ends the connection where it says `INSTREAM size limit exceeded`
(its StreamMaxLength), and says OK of what is beyond its MaxFileSize, MaxScanSize and MaxScanTime.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

import structlog

from app import metrics
from app.errors import FileRejectedError, ScannerUnavailableError
from app.fields import Scanned
from app.logs import warn_each_minute
from app.storage.circuit import Circuit

SCAN_SECONDS = 10  # of waiting for clamd, in all of one file; a delivery's lease is longer
LAST_WORD_SECONDS = 1  # from the end of a connection until what was said before it is read
ANSWER_BYTES = 1024
CLEAN = b"stream: OK\0"
# A name, which for the log ends before the file's digest and size.
_FOUND = re.compile(rb"stream: ([^(]{0,200}).*FOUND\0", re.DOTALL)

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
T = TypeVar("T")

log = structlog.get_logger()


class Scanner:
    """clamd at CLAMD_URL; one for each process."""

    def __init__(self, address: str, *, required: bool, seconds: float = SCAN_SECONDS) -> None:
        place = urlsplit(address)
        self.connect: Callable[[], Awaitable[Connection]]
        if place.scheme == "unix":
            self.connect = partial(asyncio.open_unix_connection, place.path)
        else:
            self.connect = partial(asyncio.open_connection, place.hostname, place.port)
        self.required = required
        self.seconds = seconds
        self.circuit = Circuit(ScannerUnavailableError, "scanner_hangs")

    @asynccontextmanager
    async def scan(self) -> AsyncIterator["Scan"]:
        """Raises ScannerUnavailableError if it is required, as all of a scan does."""
        scan = Scan(self)
        try:
            await scan.begin()
            yield scan
        finally:
            scan.close()


def scanning(scanner: Scanner | None) -> AbstractAsyncContextManager["Scan | None"]:
    return scanner.scan() if scanner else nullcontext()


class Scan:
    """One file. `failure` says why it is not judged."""

    def __init__(self, scanner: Scanner) -> None:
        self.failure: str | None = None
        self._scanner = scanner
        self._seconds_left = scanner.seconds
        self._writer: asyncio.StreamWriter
        self._answer: asyncio.Task[bytes] | None = None

    @property
    def result(self) -> Scanned:
        """Once it has ended."""
        return "unscanned" if self.failure else "clean"

    async def begin(self) -> None:
        async with self._told():
            self._scanner.circuit.enter()
            reader, self._writer = await self._within(self._scanner.connect())
            self._line = os.dup(self._writer.get_extra_info("socket").fileno())
            self._answer = asyncio.create_task(reader.readuntil(b"\0"))
            self._answer.add_done_callback(lambda said: said.cancelled() or said.exception())
            self._writer.write(b"zINSTREAM\0")

    async def feed(self, chunk: bytes) -> None:
        """Returns when clamd can take more."""
        if chunk and not self.failure:  # one without bytes would end the stream
            async with self._told():
                self._writer.writelines((len(chunk).to_bytes(4, "big"), chunk))
                await self._within(self._writer.drain())

    async def end(self) -> None:
        """Raises FileRejectedError."""
        if self._answer and not self.failure:
            async with self._told():
                self._writer.write(bytes(4))
                answer = await self._within(self._answer, proves=True)
                self._judge(answer)

    def _judge(self, answer: bytes) -> None:
        if found := _FOUND.fullmatch(answer):
            metrics.SCANS.labels("infected").inc()
            log.warning("file_rejected", signature=found[1].decode(errors="replace").strip())
            raise FileRejectedError
        if answer != CLEAN:
            raise EOFError
        metrics.SCANS.labels("clean").inc()

    def close(self) -> None:
        if self._answer:
            self._answer.cancel()
            self._answer = None
            self._writer.transport.abort()
            os.close(self._line)

    async def _within(self, waiting: Awaitable[T], *, proves: bool = False) -> T:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with self._scanner.circuit.call(seconds=self._seconds_left, proves=proves):
                return await waiting
        finally:
            self._seconds_left -= clock() - began

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        """What keeps it from being judged is counted, and raised if a scanner is required."""
        try:
            yield
        except (OSError, EOFError, asyncio.LimitOverrunError, ScannerUnavailableError) as failure:
            self.failure = await self._reason(failure)
            metrics.SCANS.labels(self.failure).inc()
            warn_each_minute("file_not_scanned", reason=self.failure)
            self.close()
            if self._scanner.required:
                raise ScannerUnavailableError from None

    async def _reason(self, failure: Exception) -> str:
        if isinstance(failure, ScannerUnavailableError):
            return "hangs"
        if isinstance(failure, TimeoutError):
            return "timeout"
        if self._answer and (said := await self._last_word(self._answer)):
            return "too_large" if said.startswith(b"INSTREAM size limit") else "error"
        return "unreachable"

    async def _last_word(self, answer: asyncio.Task[bytes]) -> bytes:
        """What it said before it left. A write that failed ends our connection unread; what came
        before is in the socket still.
        """
        await asyncio.wait([answer], timeout=LAST_WORD_SECONDS)
        if answer.done() and not answer.exception():
            return answer.result()
        with suppress(OSError):
            return os.read(self._line, ANSWER_BYTES)
        return b""
