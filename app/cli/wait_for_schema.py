"""Before a service listens: no migration that it needs may be missing."""

import asyncio
import signal
from contextlib import suppress
from itertools import count

import structlog

from app.database import FAILURES, Sessions, create_engine
from app.migrate import newest_revisions, schema_is_current
from app.settings import Settings

LOOK_SECONDS = 0.5
LOOKS_TO_SAY = 120  # once a minute

log = structlog.get_logger()


def wait_for_schema(settings: Settings) -> bool:
    """False when a signal came first. A database that does not answer is not waited for: requests
    are 503 until it does.

    Blocking, with an event loop of its own.
    """
    return asyncio.run(_wait(settings))


async def _wait(settings: Settings) -> bool:
    engine = create_engine(settings)
    try:
        if not await _is_older(engine.connect):
            return True
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        for look in count():
            if look % LOOKS_TO_SAY == 0:
                log.warning("schema_is_older", hint="Run `python -m app migrate`.")
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), LOOK_SECONDS)
            if ended.is_set() or not await _is_older(engine.connect):
                break
        return not ended.is_set()
    finally:
        await engine.dispose()


async def _is_older(sessions: Sessions) -> bool:
    try:
        return not await schema_is_current(sessions, newest_revisions())
    except FAILURES:
        return False
