"""What a server can do wrong with a request: scripted faults, and files that are badly served.

Most of it no ASGI server would send, so it goes into the connection itself: `Connections` knows
which one a request came by. Every fault ends its connection.
"""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CHUNK = bytes(range(256)) * 256
METADATA_SERVICE = "https://169.254.169.254/latest/meta-data/"
HUGE_BYTES = 10_000_000
TOO_BIG_BYTES = 60_000_000
GZIP = {"Content-Encoding": "gzip"}

Fault = dict[str, Any]
_TRANSPORTS: dict[tuple[str, int], asyncio.Transport] = {}


class Connections(HttpToolsProtocol):
    """uvicorn's own, but for the note of each connection's transport."""

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client:
            _TRANSPORTS[self.client] = transport

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self.client:
            _TRANSPORTS.pop(self.client, None)
        super().connection_lost(exc)


class Broken(Response):
    """An answer that `act` gives by itself; it is over when the client has gone."""

    def __init__(self, act: Callable[[asyncio.Transport], Awaitable[None]]) -> None:
        super().__init__()
        self._act = act

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if transport := _TRANSPORTS.get(tuple(scope["client"])):
            acting = asyncio.ensure_future(self._act(transport))
            while (await receive())["type"] != "http.disconnect":
                pass
            acting.cancel()


def play(fault: Fault, path: str) -> Response:
    """What a scripted fault does, once the request was read; see fake_spark.py."""
    if "status" in fault:
        return Response(fault.get("body", ""), fault["status"], fault.get("headers"))
    acts: dict[str, Callable[[], Response]] = {
        "hang": lambda: Broken(_never),
        "drop": lambda: Broken(_drop),
        "half": lambda: raw(b"Content-Length: 1000", body=b'{"state": "rec'),
        "huge": lambda: StreamingResponse(served(HUGE_BYTES), media_type="application/json"),
        "redirect": lambda: RedirectResponse(path, 302),
        "slow": lambda: Broken(partial(_slow, seconds=fault["seconds"])),
    }
    return acts[fault["act"]]()


def serve_case(request: Request) -> Response:
    """`/files/{case}/{number}`: how it is served, and how many bytes, headers, or which status."""
    case, number = request.path_params["case"], request.path_params["number"]
    length = b"Content-Length: %d" % number
    cases: dict[str, Callable[[], Response]] = {
        "ok": lambda: StreamingResponse(served(number), headers={"Content-Length": str(number)}),
        "chunked": lambda: StreamingResponse(served(number)),
        "endless": lambda: StreamingResponse(served(None)),
        "gzip": lambda: Response(gzip.compress(content(number)), headers=GZIP),
        "status": lambda: Response(None, number, dict(request.query_params)),
        "redirect": lambda: RedirectResponse(METADATA_SERVICE, 302),
        "no-length": lambda: raw(body=content(number)),
        "cut": lambda: raw(length, body=content(number // 2)),
        "cut-chunk": lambda: raw(b"Transfer-Encoding: chunked", body=b"%x\r\nabc" % number),
        "too-big": lambda: raw(b"Content-Length: %d" % TOO_BIG_BYTES, body=content(number)),
        "headers": lambda: raw(*[b"X-%d: y" % one for one in range(number)], body=b""),
        "drip": lambda: Broken(partial(_drip, size=number)),
    }
    return cases[case]()


def content(size: int) -> bytes:
    """The bytes of a file of this size."""
    return (CHUNK * (size // len(CHUNK) + 1))[:size]


async def served(size: int | None) -> AsyncIterator[bytes]:
    """In chunks, as fast as they are taken; without an end if there is no size."""
    left = size
    while left is None or left > 0:
        await asyncio.sleep(0)  # else nobody notices that the client has gone
        yield CHUNK if left is None else CHUNK[:left]
        left = None if left is None else left - len(CHUNK)


def raw(*headers: bytes, body: bytes) -> Broken:
    """A 200 of these headers and no others; the connection ends with it."""
    head = b"\r\n".join([b"HTTP/1.1 200 OK", *headers, b"Connection: close", b"", b""])

    async def act(transport: asyncio.Transport) -> None:
        transport.write(head + body)
        transport.close()

    return Broken(act)


async def _never(transport: asyncio.Transport) -> None:
    await asyncio.Event().wait()


async def _drop(transport: asyncio.Transport) -> None:
    transport.abort()


async def _slow(transport: asyncio.Transport, seconds: float) -> None:
    await asyncio.sleep(seconds)
    transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    transport.close()


async def _drip(transport: asyncio.Transport, size: int) -> None:
    transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    for position in range(size):
        transport.write(CHUNK[position : position + 1])
        await asyncio.sleep(1)
