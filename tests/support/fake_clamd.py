"""clamd as a client meets it: its protocol, its limit, what it finds, and what may go wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

# Spelled backwards, or scanners would take away this very file.
EICAR = rb"*H+H$!ELIF-TSET-SURIVITNA-DRADNATS-RACIE$}7)CC7)^P(45XZP\4[PA@%P!O5X"[::-1]
SIGNATURE = "Eicar-Test-Signature"
DEFAULT_LIMIT = 100 * 1024 * 1024  # of StreamMaxLength, since 1.4

Mood = Literal[
    "judges",  # at once
    "thinks",  # has all, and judges when `may_judge` is set
    "hangs",  # takes the connection, and reads nothing
    "leaves",  # in the middle of the first chunk
    "fails",  # has all, and cannot scan it
    "loses patience",  # its ReadTimeout; told with another end than the command had
    "babbles",  # has all, and never ends its answer
]


class FakeClamd:
    """One connection, one INSTREAM."""

    def __init__(self) -> None:
        self.port = 0
        self.forget()

    def forget(self) -> None:
        self.mood: Mood = "judges"
        self.limit = DEFAULT_LIMIT
        self.signature = SIGNATURE
        self.may_judge = asyncio.Event()
        self.has_all = asyncio.Event()
        self.scanned: list[bytes] = []
        self.connections = self.given_up = 0

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if await reader.readuntil(b"\0") != b"zINSTREAM\0":
                writer.write(b"UNKNOWN COMMAND\0")
            elif self.mood == "hangs":
                await asyncio.Event().wait()
            elif self.mood == "loses patience":
                writer.write(b"COMMAND READ TIMED OUT\n")
            else:
                writer.write(await self._scan(reader))
            await writer.drain()
        except (EOFError, ConnectionError):
            self.given_up += 1
        finally:
            writer.close()

    async def _scan(self, reader: asyncio.StreamReader) -> bytes:
        content = bytearray()
        while size := int.from_bytes(await reader.readexactly(4), "big"):
            if len(content) + size > self.limit:
                return b"INSTREAM size limit exceeded. ERROR\0"
            if self.mood == "leaves":
                await reader.readexactly(1)
                raise EOFError
            content += await reader.readexactly(size)
        self.has_all.set()
        if self.mood == "thinks":
            await self.may_judge.wait()
        self.scanned.append(bytes(content))
        if self.mood == "fails":
            return b"stream: Can't allocate memory ERROR\0"
        if self.mood == "babbles":
            return b"stream: " + b"x" * 200_000
        found = b"stream: %s(44d88612fea8a8f36de82e1278abb02f:68) FOUND\0" % self.signature.encode()
        return found if EICAR in content else b"stream: OK\0"


@asynccontextmanager
async def run_fake_clamd(socket: str | None = None) -> AsyncIterator[FakeClamd]:
    """On loopback, or on this socket."""
    fake = FakeClamd()
    serving: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(fake.serve(reader, writer)))

    if socket:
        server = await asyncio.start_unix_server(begin, socket)
    else:
        server = await asyncio.start_server(begin, "127.0.0.1")
        fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
