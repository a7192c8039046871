"""Where a form stands until its signature is known, and which one is ended for another (R44).

A form that begins with its metadata stands here for milliseconds. One that begins with its files
stays until they have come, and so does one that never means to say who it is. All is of this
process.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from app.errors import OverloadedError

PLACES = 64
SLOW_AFTER_SECONDS, SLOW_BYTES_PER_SECOND = 30, 1024 * 1024


class Stay:
    """One form in the room; `received` tells how many bytes of it have come."""

    def __init__(
        self,
        address: str,
        received: Callable[[], int],
        scope: asyncio.Timeout,
        *,
        slow_after_seconds: float = SLOW_AFTER_SECONDS,
    ) -> None:
        self.address = address
        self.is_over = False
        self._received = received
        self._scope = scope
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._slow_after_seconds = slow_after_seconds

    @property
    def is_slow(self) -> bool:
        stayed = self._clock() - self._began
        is_judged = stayed > self._slow_after_seconds
        return is_judged and self._received() < stayed * SLOW_BYTES_PER_SECOND

    def end(self) -> None:
        """Wherever it waits, OverloadedError is raised there."""
        self.is_over = True
        self._scope.reschedule(self._clock())


class WaitingRoom:
    def __init__(
        self, places: int = PLACES, *, slow_after_seconds: float = SLOW_AFTER_SECONDS
    ) -> None:
        self._places = places
        self._slow_after_seconds = slow_after_seconds
        self._stays: list[Stay] = []  # in the order they came

    @asynccontextmanager
    async def stay(self, address: str, received: Callable[[], int]) -> AsyncIterator[Stay]:
        """Raises OverloadedError when another ends it."""
        self._make_room(address)
        try:
            async with asyncio.timeout(None) as scope:
                stay = Stay(address, received, scope, slow_after_seconds=self._slow_after_seconds)
                self._stays.append(stay)
                try:
                    yield stay
                    if stay.is_over:  # it was ended just as it left
                        raise OverloadedError(limit="waiting room")
                finally:
                    stay.is_over = True
                    self._stays.remove(stay)
        except TimeoutError:
            raise OverloadedError(limit="waiting room") from None

    def _make_room(self, address: str) -> None:
        """A slow form gives way first; then the oldest of the address that will hold most."""
        stays = [stay for stay in self._stays if not stay.is_over]
        if len(stays) < self._places:
            return
        held = Counter([address, *(stay.address for stay in stays)])
        slow = [stay for stay in stays if stay.is_slow]
        max(slow or stays, key=lambda stay: held[stay.address]).end()
