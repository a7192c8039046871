"""Consoles over databases of their own: of a month's use, and with hostile texts everywhere."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from app.accounts.service_keys import SCOPES, create_key
from app.database import Sessions
from app.settings import Settings
from tests.support.canaries import CANARIES
from tests.support.console import at_console
from tests.support.databases import look_into, ready_database
from tests.support.lived_in import live_a_month, write_hostile
from tests.support.running import run_app


@dataclass(frozen=True)
class Console:
    """`visitor` is signed in; whoever has the key may sign in, too."""

    url: str
    key: str
    visitor: httpx.AsyncClient
    sessions: Sessions


@asynccontextmanager
async def _open(
    settings: Settings, fill: Callable[[Sessions], Awaitable[None]]
) -> AsyncIterator[Console]:
    async with (
        ready_database(settings) as own,
        look_into(own) as sessions,
        run_app(own) as running,
        at_console(running.url, sessions, SCOPES) as visitor,
    ):
        await fill(sessions)
        key = await create_key(sessions, "Ada", SCOPES)
        CANARIES.release(key)
        yield Console(running.url, key, visitor, sessions)


@pytest.fixture(scope="module")
async def lived_in(settings: Settings) -> AsyncIterator[Console]:
    async with _open(settings, live_a_month) as console:
        yield console


@pytest.fixture(scope="module")
async def hostile(settings: Settings) -> AsyncIterator[Console]:
    async with _open(settings, write_hostile) as console:
        yield console


@pytest.fixture(scope="module")
async def empty(settings: Settings) -> AsyncIterator[Console]:
    async def leave(_: Sessions) -> None: ...

    async with _open(settings, leave) as console:
        yield console
