"""A TCP proxy that breaks what passes through it: in front of Postgres, the S3 server, or us.

It runs in the test's event loop, or as `throttled` in a thread, and forwards bytes as they are, so
that signatures over the Host header hold. Every fault stays until `restore`; a fault that counts
is over when it is used up.
"""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from queue import Queue
from threading import Thread
from urllib.parse import urlsplit

from tests.support.patience import patient

CHUNK_BYTES = 64 * 1024
BURST_SECONDS = 0.02
ALWAYS = 1_000_000
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Act(Enum):
    """What happens to a request that is aimed at."""

    LOSE_REQUEST = auto()
    """The connection is cut; nothing was forwarded."""
    LOSE_ANSWER = auto()
    """It is forwarded and answered; the connection is cut instead of the answer."""
    ANSWER = auto()
    """It is swallowed and answered by an HTTP status."""
    HOLD = auto()
    """It is forwarded when all is restored; others pass meanwhile."""


@dataclass
class Aim:
    """Requests with these bytes in their first chunk: `skip` of them pass, the next `times` do not.

    `heads` are those chunks, up to where an HTTP body begins. In HTTP the bytes are for example
    `PUT /`.
    """

    act: Act
    words: bytes
    skip: int = 0
    times: int = 1
    status: int = 503
    code: str = "SlowDown"
    retry_after: int = 0
    heads: list[bytes] = field(default_factory=list)

    @property
    def seen(self) -> int:
        return len(self.heads)

    @property
    def hits(self) -> int:
        return max(0, min(self.seen - self.skip, self.times))

    def takes(self, chunk: bytes) -> bool:
        if self.words not in chunk:
            return False
        self.heads.append(chunk.partition(b"\r\n\r\n")[0])
        return self.skip < self.seen <= self.skip + self.times


@dataclass(eq=False)
class _Connection:
    """Both ends, and what has passed in each direction; idle when all is answered."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    asked: int = 0
    answered: int = 0
    loses_answer: bool = False
    is_idle: bool = True
    pumps: list[asyncio.Task[None]] = field(default_factory=list)

    def cut(self) -> None:
        """By reset: neither end may take it for an orderly close."""
        for end in (self.client, self.server):
            if (raw := end.get_extra_info("socket")) is not None:
                with suppress(OSError):  # the other end was faster
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.transport.abort()


class FaultProxy:
    """Passes everything on until it is told otherwise."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener: asyncio.Server | None = None
        self._hurry = asyncio.Event()
        self._port = 0
        self._connections: set[_Connection] = set()
        self._flowing = asyncio.Event()
        self.passed_bytes = 0
        self._clear()

    def _clear(self) -> None:
        self._flowing.set()
        self._hurry.set()
        self._hurry = asyncio.Event()
        self._aims: list[Aim] = []
        self._seconds_for_a_byte = self._free_at = 0.0
        self._cut_asked = self._cut_answered = ALWAYS * CHUNK_BYTES
        self._refused_of = 0
        self._accepted = 0

    @property
    def port(self) -> int:
        """On loopback; the same for its whole life."""
        return self._port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ports_to_server(self) -> set[int]:
        """Its own ends of the connections to the server."""
        ends = [each.server.get_extra_info("sockname") for each in self._connections]
        return {end[1] for end in ends if end}

    async def restore(self) -> None:
        """Everything passes again, at the same port; what hung goes on."""
        self._clear()
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
            self._port = self._listener.sockets[0].getsockname()[1]

    async def drain(self) -> None:
        """Until all that is on its way has been answered or cut, also what its sender gave up: a
        request that has left may arrive long after.
        """
        async with asyncio.timeout(patient(20)):
            while not all(connection.is_idle for connection in self._connections):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.02)

    async def refuse(self) -> None:
        """Nobody listens any more, and open connections are cut."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """What is open now; new connections are taken."""
        for connection in list(self._connections):
            connection.cut()

    def hang(self) -> None:
        """Connections are accepted and stay open, and nothing passes."""
        self._flowing.clear()

    def throttle(self, bytes_per_second: int) -> None:
        """Towards the server all connections share this rate; answers pass freely. Of a new
        connection the kernel takes little that the link has not.
        """
        assert self._listener
        for listening in self._listener.sockets:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CHUNK_BYTES)
        self._seconds_for_a_byte = 1 / bytes_per_second

    def cut_after(self, *, asked: int | None = None, answered: int | None = None) -> None:
        """Each connection, once so many bytes went to the server or came from it."""
        self._cut_asked = self._cut_asked if asked is None else asked
        self._cut_answered = self._cut_answered if answered is None else answered

    def flap(self, refused_of: int = 2) -> None:
        """Every so many-th connection is cut as soon as it is accepted, beginning with the next."""
        self.cut()
        self._refused_of, self._accepted = refused_of, 0

    def aim(self, aim: Aim) -> Aim:
        self._aims.append(aim)
        return aim

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self._accepted += 1
        try:
            from_server, server = await asyncio.open_connection(*self._target)
        except OSError:
            client.transport.abort()
            return
        connection = _Connection(client, server)
        self._connections.add(connection)
        if self._refused_of and self._accepted % self._refused_of == 1 % self._refused_of:
            connection.cut()
        connection.pumps += [
            asyncio.create_task(self._ask(connection, reader)),
            asyncio.create_task(self._answer(connection, from_server)),
        ]
        with suppress(asyncio.CancelledError):  # at the proxy's end
            await asyncio.wait(connection.pumps)
        connection.cut()
        self._connections.discard(connection)

    async def _ask(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        """From client to server."""
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                connection.is_idle = False
                await self._flowing.wait()
                for aim in [aim for aim in self._aims if aim.takes(chunk)]:
                    if aim.act is Act.LOSE_REQUEST:
                        return connection.cut()
                    if aim.act is Act.ANSWER:
                        return await _answer_instead(connection, reader, chunk, aim)
                    if aim.act is Act.HOLD:
                        await self._hurry.wait()
                    connection.loses_answer = aim.act is Act.LOSE_ANSWER
                allowed = self._cut_asked - connection.asked
                connection.asked += len(chunk)
                await self._take_time(len(chunk))
                self.passed_bytes += len(chunk)
                connection.server.write(chunk[:allowed])
                await connection.server.drain()
                if len(chunk) >= allowed:
                    return connection.cut()
            if connection.server.can_write_eof():
                connection.server.write_eof()
        return None

    async def _answer(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        """From server to client; its end is the connection's."""
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                await self._flowing.wait()
                if connection.loses_answer:
                    break
                allowed = self._cut_answered - connection.answered
                connection.answered += len(chunk)
                connection.is_idle = True
                connection.client.write(chunk[:allowed])
                await connection.client.drain()
                if len(chunk) >= allowed:
                    break
        if not reader.at_eof():
            connection.cut()
        connection.client.close()

    async def _take_time(self, size: int) -> None:
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + size * self._seconds_for_a_byte
        if self._free_at - now > BURST_SECONDS:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), self._free_at - now)

    async def close(self) -> None:
        await self.refuse()
        pumps = [pump for connection in self._connections for pump in connection.pumps]
        for pump in pumps:
            pump.cancel()
        if pumps:
            await asyncio.wait(pumps)


async def _answer_instead(
    connection: _Connection, reader: asyncio.StreamReader, chunk: bytes, aim: Aim
) -> None:
    """Swallows the request, as a store does that is overloaded, and says so in S3's words."""
    head, _, begun = chunk.partition(b"\r\n\r\n")
    announced = LENGTH.search(head)
    left = int(announced[1]) - len(begun) if announced else 0
    while left > 0 and (more := await reader.read(CHUNK_BYTES)):
        left -= len(more)
    body = f"<?xml version='1.0'?><Error><Code>{aim.code}</Code></Error>".encode()
    lines = (
        f"HTTP/1.1 {aim.status} Fault",
        "Content-Type: application/xml",
        f"Content-Length: {len(body)}",
        *([f"Retry-After: {aim.retry_after}"] if aim.retry_after else []),
        "Connection: close",
    )
    connection.client.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    await connection.client.drain()
    connection.client.close()
    connection.server.transport.abort()


@asynccontextmanager
async def run_proxy(host: str, port: int) -> AsyncIterator[FaultProxy]:
    proxy = FaultProxy((host, port))
    await proxy.restore()
    try:
        yield proxy
    finally:
        await proxy.close()


@contextmanager
def throttled(server: str, *, bytes_per_second: int) -> Iterator[FaultProxy]:
    """In a thread of its own, so that whoever measures may block."""
    target, ready = urlsplit(server), Queue[tuple[FaultProxy, Callable[[], object]]]()

    async def run() -> None:
        over = asyncio.Event()
        end = partial(asyncio.get_running_loop().call_soon_threadsafe, over.set)
        async with run_proxy(str(target.hostname), target.port or 80) as proxy:
            proxy.throttle(bytes_per_second)
            ready.put((proxy, end))
            await over.wait()

    thread = Thread(target=lambda: asyncio.run(run()))
    thread.start()
    proxy, end = ready.get()
    try:
        yield proxy
    finally:
        end()
        thread.join()
