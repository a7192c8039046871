"""Bodies that are held whole share one budget of memory, counted as bytes arrive (DESIGN R43).

While others wait for room, somebody whose signature is not yet checked has a quarter of it: of an
address, or a student, that has more, the largest body that is still on its way is ended.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from app.errors import OverloadedError

WAIT_SECONDS = 2
SHARES = 4


class HeldBody:
    """The bytes of one request, until it is answered.

    `holder` is who brings them; they are nobody's until their signature was found right.
    """

    def __init__(self, budget: "BodyBudget", holder: str) -> None:
        self.holder = holder
        self.is_authentic = False
        self.size = 0
        self._budget = budget
        self._wait: asyncio.Timeout | None = None
        self._was_ended = False

    def vouch(self) -> None:
        """Their signature was found right."""
        self._budget.vouch(self)

    async def take(self, size: int) -> None:
        """Room for so many bytes more. Raises OverloadedError when there is none for a while."""
        await self._budget.take(self, size)

    def give_back(self, size: int) -> None:
        self._budget.give_back(self, size)

    @asynccontextmanager
    async def wait(self, seconds: float) -> AsyncIterator[None]:
        """Waiting inside can be ended: raises OverloadedError then, else TimeoutError in time."""
        self._was_ended = False  # bytes may have come just as it was to be ended
        try:
            async with asyncio.timeout(seconds) as self._wait:
                yield
        except TimeoutError:
            if self._was_ended:
                raise OverloadedError(limit="BODY_BUDGET_BYTES") from None
            raise
        finally:
            self._wait = None

    @property
    def can_be_ended(self) -> bool:
        return not self.is_authentic and self._wait is not None and not self._wait.expired()

    def end(self) -> None:
        if self._wait is not None:
            self._was_ended = True
            self._wait.reschedule(0)


class BodyBudget:
    """The memory of one process for bodies."""

    def __init__(self, max_bytes: int) -> None:
        self._free_bytes = max_bytes
        self._shares = Counter[str]()  # of what nobody has vouched for
        self._share_bytes = max_bytes // SHARES
        self._bodies: set[HeldBody] = set()
        self._waiting: set[HeldBody] = set()
        self._has_changed = asyncio.Event()

    @contextmanager
    def open(self, holder: str) -> Iterator[HeldBody]:
        body = HeldBody(self, holder)
        self._bodies.add(body)
        try:
            yield body
        finally:
            self._bodies.discard(body)
            self.give_back(body, body.size)

    async def take(self, body: HeldBody, size: int) -> None:
        """Raises OverloadedError."""
        if not self._has_room(body, size):
            await self._wait_for_room(body, size)
        self._free_bytes -= size
        body.size += size
        self._count(body, size)

    def give_back(self, body: HeldBody, size: int) -> None:
        self._free_bytes += size
        body.size -= size
        self._count(body, -size)
        self._has_changed.set()

    def vouch(self, body: HeldBody) -> None:
        """What it holds is no longer part of a share."""
        self._count(body, -body.size)
        body.is_authentic = True
        self._has_changed.set()

    def _count(self, body: HeldBody, size: int) -> None:
        """Add to the holder's share; who has none is forgotten."""
        if not body.is_authentic:
            self._shares[body.holder] += size
            if not self._shares[body.holder]:
                del self._shares[body.holder]

    async def _wait_for_room(self, body: HeldBody, size: int) -> None:
        self._waiting.add(body)
        try:
            async with body.wait(WAIT_SECONDS):
                while not self._has_room(body, size):
                    self._end_another(body, size)
                    self._has_changed.clear()
                    await self._has_changed.wait()
        except TimeoutError:
            raise OverloadedError(limit="BODY_BUDGET_BYTES") from None
        finally:
            self._waiting.discard(body)
            self._has_changed.set()

    def _has_room(self, body: HeldBody, size: int) -> bool:
        if size > self._free_bytes:
            return False
        is_alone = all(other.holder == body.holder for other in self._waiting)
        return is_alone or self._is_in_share(body, size)

    def _is_in_share(self, body: HeldBody, size: int) -> bool:
        return body.is_authentic or self._shares[body.holder] + size <= self._share_bytes

    def _end_another(self, body: HeldBody, size: int) -> None:
        if not self._is_in_share(body, size):
            return
        excessive = {
            holder for holder, held in self._shares.items() if held > self._share_bytes
        } - {body.holder}
        found = (one for one in self._bodies if one.holder in excessive and one.can_be_ended)
        largest = max(found, key=lambda one: one.size, default=None)
        if largest is not None:
            largest.end()
