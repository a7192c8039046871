"""A store or scanner that hangs: calls end in time, and new uploads are refused before they hold a
slot.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from app.errors import StorageUnavailableError, UnavailableError
from app.storage.part_buffers import PARTS_AT_ONCE, PARTS_IN_FLIGHT, PartBody

CALL_SECONDS = 7  # SECURITY promise 21 allows 10 for the answer, and there may be something to end
OPENS_AFTER = PARTS_IN_FLIGHT // PARTS_AT_ONCE  # time-outs in a row: so few uploads take all turns

log = structlog.get_logger()


class Circuit:
    """Open, it lets one upload try in CALL_SECONDS, until a call succeeds."""

    def __init__(
        self,
        refusal: type[UnavailableError] = StorageUnavailableError,
        event: str = "storage_hangs",
    ) -> None:
        self._refusal = refusal
        self._event = event
        self._timed_out = 0
        self._next_try = 0.0
        self._scopes: set[asyncio.Timeout] = set()

    def enter(self) -> None:
        """Before a new upload. Raises its refusal."""
        now = asyncio.get_running_loop().time()
        if self._timed_out >= OPENS_AFTER:
            if now < self._next_try:
                raise self._refusal
            self._next_try = now + CALL_SECONDS

    @asynccontextmanager
    async def call(
        self, body: PartBody | None = None, *, seconds: float = CALL_SECONDS, proves: bool = True
    ) -> AsyncIterator[None]:
        """Ends after so many seconds, or those in which nothing of the body has left. Raises
        TimeoutError. `proves`: once it succeeds, nothing hangs.
        """
        try:
            async with self._scope(seconds) as scope:
                if body:
                    body.on_move = lambda: _end_in(scope, CALL_SECONDS)
                yield
        except TimeoutError:
            self._timed_out += 1
            if self._timed_out == OPENS_AFTER:
                self._next_try = asyncio.get_running_loop().time() + CALL_SECONDS
                log.warning(self._event)
                for other in self._scopes:
                    _end_in(other, 0)
            raise
        if proves:
            self._timed_out = 0

    @asynccontextmanager
    async def wait(self) -> AsyncIterator[None]:
        """For a turn. Raises its refusal when it opens meanwhile."""
        try:
            async with self._scope(None):
                yield
        except TimeoutError:
            raise self._refusal from None

    @asynccontextmanager
    async def _scope(self, seconds: float | None) -> AsyncIterator[asyncio.Timeout]:
        async with asyncio.timeout(seconds) as scope:
            self._scopes.add(scope)
            try:
                yield scope
            finally:
                self._scopes.discard(scope)


def _end_in(scope: asyncio.Timeout, seconds: float) -> None:
    with suppress(RuntimeError):  # it has ended
        scope.reschedule(asyncio.get_running_loop().time() + seconds)
