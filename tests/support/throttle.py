"""A TCP proxy in front of a server, which lets through only so many bytes a second, and counts."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

PIECE_BYTES = 64 * 1024
BURST_SECONDS = 0.02


class Throttle:
    """Towards the server all connections share one rate; answers pass freely."""

    def __init__(self, bytes_per_second: float) -> None:
        self.url = ""
        self.port = 0
        self.received_bytes = 0
        self._seconds_for_a_byte = 1 / bytes_per_second
        self._free_at = 0.0

    async def open(self, server: str) -> asyncio.Server:
        target = urlsplit(server)

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            answers, onwards = await asyncio.open_connection(target.hostname, target.port)
            try:
                await asyncio.gather(self._forward(reader, onwards), _pass_on(answers, writer))
            except (ConnectionError, asyncio.CancelledError):
                pass  # one side is gone, or the end has come
            finally:
                onwards.transport.abort()
                writer.transport.abort()

        opened = await asyncio.start_server(relay, "127.0.0.1", limit=PIECE_BYTES)
        self.port = opened.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return opened

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await self._read(reader):
            self.received_bytes += len(piece)
            writer.write(piece)
            await writer.drain()
        writer.write_eof()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        piece = await reader.read(PIECE_BYTES)
        now = time.monotonic()
        self._free_at = max(self._free_at, now) + len(piece) * self._seconds_for_a_byte
        if self._free_at - now > BURST_SECONDS:
            await asyncio.sleep(self._free_at - now)
        return piece


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(PIECE_BYTES):
        writer.write(piece)
        await writer.drain()
    writer.close()


@contextmanager
def throttled(server: str, *, bytes_per_second: float) -> Iterator[Throttle]:
    """In a thread of its own, so that whoever measures may block."""
    throttle, over, ready = Throttle(bytes_per_second), asyncio.Event(), threading.Event()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        opened = await throttle.open(server)
        ready.set()
        await over.wait()
        opened.close()
        relays = asyncio.all_tasks() - {asyncio.current_task()}
        for relay in relays:
            relay.cancel()
        await asyncio.gather(*relays, return_exceptions=True)
        await asyncio.sleep(0)  # what was aborted is closed in the next turn of the loop

    thread = threading.Thread(target=loop.run_until_complete, args=[run()])
    thread.start()
    try:
        ready.wait()
        yield throttle
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
