"""Web and worker in one process: what `python -m app serve` and the demo run."""

import asyncio
import gc
import signal
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI
from typing_extensions import override

from app.accept import Connection
from app.main import create_app
from app.settings import Settings
from app.worker import run_worker

# How long running requests may take to end: a person at a terminal waits less than a host.
SIGINT_GRACE_SECONDS = 3
SIGTERM_GRACE_SECONDS = 25
CLEANUP_SECONDS = 2  # for requests that are cancelled then
CONNECTIONS_A_TURN = 16
KEEP_ALIVE_SECONDS = 75  # longer than a proxy's: else we close just as it sends the next request
# Python looks for cycles at 700 more than at the last look, which 32 requests at once are all the
# time: a tenth of a submission's CPU, and there is nothing to find.
YOUNG_OBJECTS = 10_000


def http_config(app: FastAPI, *, host: str, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        server_header=False,
        proxy_headers=False,  # TRUSTED_PROXY_HOPS decides instead (DESIGN R15)
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        reset_contextvars=True,  # the next request of a connection inherits nothing of the last one
        timeout_graceful_shutdown=SIGTERM_GRACE_SECONDS,
    )


def listen_often(listener: socket.socket) -> list[socket.socket]:
    """The same socket several times: of each one uvloop takes one connection in a turn of its loop,
    so that behind many new ones a request would wait for as many turns.
    """
    return [listener, *(listener.dup() for _ in range(CONNECTIONS_A_TURN - 1))]


class Server(uvicorn.Server):
    """uvicorn with the worker beside it. A signal ends both in order and is not raised again."""

    def __init__(self, settings: Settings, *, host: str, port: int) -> None:
        self._app = create_app(settings)
        self._settings = settings
        super().__init__(http_config(self._app, host=host, port=port))

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            return  # uvicorn would drop connections and skip the shutdown: the grace is the limit
        if sig == signal.SIGINT:
            self.config.timeout_graceful_shutdown = SIGINT_GRACE_SECONDS
        super().handle_exit(sig, frame)

    @override
    async def main_loop(self) -> None:
        # Else each full collection, of which a large JSON body causes several, looks at all that
        # the imports left, and everybody waits: 280 ms where it is now 17.
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS)
        worker = asyncio.create_task(run_worker(self._app.state.resources))
        try:
            await self.on_serving()
            await super().main_loop()
        finally:
            self._captured_signals.clear()
            worker.cancel()
            await asyncio.wait([worker])

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Requests that are cancelled clean up, and what they do it with is closed after that."""
        close, requests = self.lifespan.shutdown, self.server_state.tasks

        async def close_behind_requests() -> None:
            if requests:
                await asyncio.wait(requests, timeout=CLEANUP_SECONDS)
            await close()

        self.lifespan.shutdown = close_behind_requests
        await super().shutdown(sockets)

    async def on_serving(self) -> None:
        """Called once, when requests are served."""

    @property
    def base_url(self) -> str:
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
