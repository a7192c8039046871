"""The cheapest HTTP client that measures right: whole requests out, status and body back.

A client library takes longer for a small request than the service does; then it would be measured.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import uvloop

T = TypeVar("T")


class Connection:
    """One kept-alive connection, for one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, url: str, *, source: str | None = None) -> Self:
        """From this address, or any."""
        address, local = urlsplit(url), (source, 0) if source else None
        opened = await asyncio.open_connection(address.hostname, address.port, local_addr=local)
        return cls(*opened)

    async def call(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of an answer with a length, or without a body."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        _, found, rest = head.partition(b"\r\ncontent-length:")
        length = int(rest.partition(b"\r\n")[0]) if found else 0
        return int(head[9:12]), await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


def request_bytes(
    method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def in_turn(
    url: str, requests: Iterable[bytes], *, at_once: int, done: Callable[[int, bytes, float], None]
) -> float:
    """Send them over so many connections; the seconds from first to last.

    `done` is told status, body and seconds of each.
    """
    clock = asyncio.get_running_loop().time
    connections = [await Connection.open(url) for _ in range(at_once)]
    waiting = iter(requests)

    async def work(connection: Connection) -> None:
        for request in waiting:
            began = clock()
            status, body = await connection.call(request)
            done(status, body, clock() - began)

    began = clock()
    await asyncio.gather(*map(work, connections))
    took = clock() - began
    for connection in connections:
        connection.close()
    return took


def run(main: Coroutine[Any, Any, T]) -> T:
    """On uvloop, as the service."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
