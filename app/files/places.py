"""Places for what this process does at once: who finds none waits a while, in turn (DESIGN R44)."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from prometheus_client import Gauge

from app import metrics
from app.errors import OverloadedError

WAIT_SECONDS = 20


class Places:
    """A place is one of each of these; one holder has at most `each`, where that is given.

    `running` counts who has one.
    """

    def __init__(
        self,
        *shared: asyncio.Semaphore,
        each: int | None = None,
        wait_seconds: float = WAIT_SECONDS,
        running: Gauge = metrics.UPLOADS_RUNNING,
        limit: str = "MAX_CONCURRENT_UPLOADS",
    ) -> None:
        self._shared = shared
        self._each = each
        self._wait_seconds = wait_seconds
        self._running = running
        self._limit = limit
        # A holder who has no place and waits for none is forgotten.
        self._own: WeakValueDictionary[Hashable, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def take(self, holder: Hashable = None) -> AsyncIterator[None]:
        """Raises OverloadedError for who waited in vain."""
        # One's own come first, so that who waits for them keeps no other from a place.
        needed = [*self._own_of(holder), *self._shared]
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._wait_seconds):
                    for semaphore in needed:
                        await stack.enter_async_context(semaphore)
            except TimeoutError:
                raise OverloadedError(limit=self._limit) from None
            with self._running.track_inprogress():
                yield

    def _own_of(self, holder: Hashable) -> list[asyncio.Semaphore]:
        if self._each is None:
            return []
        return [self._own.setdefault(holder, asyncio.Semaphore(self._each))]
