"""How often is too often (SECURITY D19), each route in a bucket of its own.

Failures count per client address, in this process (slowapi's limiter); what a Spark user or a
credential does counts where RATE_LIMIT_STORAGE_URI says, for all instances. A store that is down
lets requests through and is counted. This is the one module that knows slowapi and limits.
"""

import asyncio
import re
import time
from functools import lru_cache
from heapq import heappop, heappush
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import takewhile
from typing import Any

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio import storage as aio
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.storage.memory import Entry
from slowapi import Limiter
from slowapi.util import get_remote_address
from typing_extensions import override

from app import metrics
from app.errors import RateLimitedError
from app.logs import warn_each_minute

STORE_SECONDS = 0.5


class Counts(aio.MemoryStorage):
    """Counters of windows, whose keys bear the window's number, for any length of window.

    What `limits` has in this place looks at every key at each hit: 50,000 students made a sign-in
    cost 4 ms more. So here and in `Hits`: only what has run out is looked at.
    """

    STORAGE_SCHEME = ["async+memory"]  # noqa: RUF012 - `limits` takes the last class that has it

    def __init__(self, uri: str | None = None, **options: Any) -> None:
        super().__init__(uri, **options)
        self._ends: list[tuple[float, str]] = []  # a heap

    @override
    async def get(self, key: str) -> int:
        return self.storage[key]

    @override
    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = time.time()
        while self._ends and self._ends[0][0] < now:
            del self.storage[heappop(self._ends)[1]]
        if key not in self.storage:
            heappush(self._ends, (now + expiry, key))
        self.storage[key] += amount
        return self.storage[key]


class Hits(MemoryStorage):
    """Moving windows of one length, in the order of their latest hit."""

    STORAGE_SCHEME = ["memory"]  # noqa: RUF012

    @override
    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        now = time.time()
        for ended in [*takewhile(lambda key: self.events[key][0].expiry < now, self.events)]:
            del self.events[ended]
        hits = self.events.get(key, [])
        if len(hits) > limit - amount and hits[limit - amount].atime >= now - expiry:
            return False
        self.events.pop(key, None)
        self.events[key] = [*[Entry(expiry)] * amount, *hits][:limit]
        return True


class Limits:
    """The counters of one process."""

    def __init__(self, storage_uri: str) -> None:
        self._failures = Limiter(
            key_func=get_remote_address, strategy="moving-window", storage_uri="memory://"
        ).limiter
        storage = storage_from_string(
            f"async+{storage_uri}", implementation="redispy", wrap_exceptions=True
        )
        if not isinstance(storage, aio.Storage):
            raise TypeError("RATE_LIMIT_STORAGE_URI names no asynchronous store")
        # A moving window would look at every user's hits, in a thread, at every hit.
        self._successes = SlidingWindowCounterRateLimiter(storage)

    def count_failure(self, bucket: str, address: str, *, per_minute: int) -> None:
        """Raises RateLimitedError from the first failure past the limit."""
        limit = RateLimitItemPerMinute(per_minute)
        if not self._failures.hit(limit, bucket, address):
            reset_at = self._failures.get_window_stats(limit, bucket, address).reset_time
            raise RateLimitedError(retry_after=_seconds_until(reset_at))

    def is_spent(self, bucket: str, address: str, *, per_minute: int) -> bool:
        """Whether the next failure is past the limit. Counts nothing."""
        return not self._failures.test(RateLimitItemPerMinute(per_minute), bucket, address)

    async def count_success(self, bucket: str, who: str, *, per_minute: int) -> None:
        """Raises RateLimitedError; never because the store is down."""
        await self._count(RateLimitItemPerMinute(per_minute), bucket, who)

    async def count_success_of_hour(self, bucket: str, who: str, *, per_hour: int) -> None:
        """Raises RateLimitedError; never because the store is down."""
        await self._count(RateLimitItemPerHour(per_hour), bucket, who)

    async def _count(self, limit: RateLimitItem, bucket: str, who: str) -> None:
        try:
            async with asyncio.timeout(STORE_SECONDS):
                if await self._successes.hit(limit, bucket, who):
                    return
                stats = await self._successes.get_window_stats(limit, bucket, who)
        except (StorageError, TimeoutError) as failure:
            metrics.UNCOUNTED.inc()
            warn_each_minute("rates_not_counted", error_class=type(failure).__name__)
            return
        raise RateLimitedError(retry_after=_seconds_until(stats.reset_time))


def _seconds_until(moment: float) -> int:
    return max(1, round(moment - time.time()))


_WITH_PORT = re.compile(r"(?:\[([^]]*)\]|([\d.]+))(?::\d+)?")


@lru_cache(maxsize=4096)
def holder_of(address: str) -> str:
    """Who counts as one where an address has a share or a limit (DESIGN R15): an IPv4 address, or
    the /64 of an IPv6 one, within which one host takes any address it likes. Some gateways append
    the port. What is no address stays as it is.
    """
    match = _WITH_PORT.fullmatch(address)
    try:
        found = ip_address((match[1] or match[2] or "") if match else address)
    except ValueError:
        return address
    if isinstance(found, IPv4Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return f"{IPv6Address(int(found) >> 64 << 64)}/64"
