"""Requests byte by byte over a plain socket, for what no HTTP client would send."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx

from tests.support.patience import patient
from tests.support.running import Running
from tests.support.spark import SUBMISSION

DEADLINE_SECONDS = patient(30)


class Wire:
    """One connection; leaving it closes the socket, whatever the server is doing."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def send_head(self, *lines: str) -> None:
        """The head of a submission with these header lines."""
        head = [f"POST {SUBMISSION} HTTP/1.1", "Host: spark.test", *lines, "", ""]
        await self.send("\r\n".join(head).encode("latin-1"))

    async def read_head(self) -> httpx.Response:
        """The next status line and its headers; `100 Continue` is one of its own."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            head = await self._reader.readuntil(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        pairs = [tuple(line.split(": ", 1)) for line in lines]
        return httpx.Response(int(status.split()[1]), headers=[(a, b) for a, b in pairs])

    async def read_answer(self) -> httpx.Response:
        head = await self.read_head()
        async with asyncio.timeout(DEADLINE_SECONDS):
            content = await self._reader.readexactly(int(head.headers["content-length"]))
        return httpx.Response(head.status_code, headers=head.headers, content=content)

    async def read_to_end(self) -> bytes:
        """What comes until the server closes."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self._reader.read()


@asynccontextmanager
async def connect(running: Running, *, source: str | None = None) -> AsyncIterator[Wire]:
    """From another loopback address, if one is named."""
    address = urlsplit(running.url)
    reader, writer = await asyncio.open_connection(
        address.hostname, address.port, local_addr=(source, 0) if source else None
    )
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
