"""The real application behind a real socket, inside the test's own event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from app.main import create_app
from app.serve import http_config
from app.settings import Settings


@dataclass(frozen=True)
class Running:
    """A service that answers at `url`."""

    url: str
    settings: Settings
    app: FastAPI


_RUNNING: list[FastAPI] = []


async def everything_is_written() -> None:
    """Events of failed requests are written behind their answers: not of this test alone."""
    for app in _RUNNING:
        await app.state.resources.failure_events.settle()


@asynccontextmanager
async def run_app(settings: Settings) -> AsyncIterator[Running]:
    """Serves as `serve` does, without the worker: a test decides itself when to sweep."""
    app = create_app(settings)
    server = uvicorn.Server(http_config(app, host="127.0.0.1", port=0))
    # `serve()` would take the signals of the test run.
    serving = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    _RUNNING.append(app)
    try:
        yield Running(f"http://127.0.0.1:{port}", settings, app)
    finally:
        _RUNNING.remove(app)
        server.should_exit = True
        await serving
