"""A network between a sender and the service that fails once, and then works."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

import httpx

Fault = Literal["unavailable", "answer lost"]

RETRY_AFTER_SECONDS = 1
UNAVAILABLE = (
    "HTTP/1.1 503 Service Unavailable\r\n"
    f"Retry-After: {RETRY_AFTER_SECONDS}\r\n"
    "Content-Type: text/html\r\nContent-Length: 4\r\nConnection: close\r\n\r\noops"
).encode()


@dataclass
class FlakyNetwork:
    """Passes requests on, one a connection; the first meets the `fault`.

    "unavailable" is the 503 of a proxy whose service is away. "answer lost" lets the service do
    its work, and then the connection breaks. Only for bodies with a Content-Length.
    """

    target: str
    fault: Fault
    url: str = ""
    heads: list[httpx.Headers] = field(default_factory=list)

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2]]
            self.heads.append(httpx.Headers([(name, value) for name, value in lines]))
            body = await reader.readexactly(int(self.heads[-1]["content-length"]))
            is_first = len(self.heads) == 1
            if is_first and self.fault == "unavailable":
                writer.write(UNAVAILABLE)
            else:
                answer = await self._ask(head, body)
                writer.write(b"" if is_first else answer)
            await writer.drain()
        finally:
            writer.close()

    async def _ask(self, head: bytes, body: bytes) -> bytes:
        """The whole answer of the service."""
        address = urlsplit(self.target)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(head + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            lines = answer.decode("latin-1").lower().split("\r\n")
            (length,) = (line.split(": ")[1] for line in lines if line.startswith("content-length"))
            return answer + await reader.readexactly(int(length))
        finally:
            writer.close()


@asynccontextmanager
async def flaky_network(target: str, fault: Fault) -> AsyncIterator[FlakyNetwork]:
    network = FlakyNetwork(target, fault)
    server = await asyncio.start_server(network.pass_on, "127.0.0.1", 0)
    network.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield network
