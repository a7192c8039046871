"""A transfer's leases while its bytes arrive."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from app.database import FAILURES
from app.errors import AccountInactiveError

RENEWALS_PER_LEASE = 3


class Renewal:
    """Renews a lease a few times in its duration, and only while it is asked to."""

    def __init__(self, lease: timedelta, renew: Callable[[], Awaitable[None]]) -> None:
        self._renew = renew
        self._due_after = lease.total_seconds() / RENEWALS_PER_LEASE
        self._clock = asyncio.get_running_loop().time
        self._renewed_at = self._clock()

    async def when_due(self, _: bytes = b"") -> None:
        """A failure is passed over: whoever commits in the end asks whether it still holds.

        Raises AccountInactiveError: there is nothing more to be received.
        """
        if self._clock() - self._renewed_at < self._due_after:
            return
        self._renewed_at = self._clock()
        try:
            await self._renew()
        except AccountInactiveError:
            raise
        except FAILURES:
            pass
