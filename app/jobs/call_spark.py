"""Calling Spark's own API, with its key and no faster than it allows (DESIGN R47)."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import httpx

from app import metrics
from app.database import Sessions
from app.jobs.call_target import Call, TargetTest, call_target, read_test, sign_call
from app.jobs.targets import change_target
from app.settings import Settings

SPARK = "spark"  # as a target
BURST = 4  # calls that need not wait for their turn

HINTS = {
    "delivered": "Grades can be sent.",
    "spark_401": "Key or signature is wrong: compare SPARK_API_KEY and SPARK_OUTBOUND_SECRET.",
    "spark_403": "Key or signature is wrong: compare SPARK_API_KEY and SPARK_OUTBOUND_SECRET.",
    "spark_404": "It can be reached; the key was not checked, because Spark has no /ping.",
    "spark_unreachable": "Nobody answers there: is SPARK_API_URL right?",
    "spark_certificate_invalid": "Its certificate is not valid for SPARK_API_URL.",
}


class Pace:
    """So many calls a minute, evenly after the first few."""

    def __init__(self, per_minute: int) -> None:
        self._every = 60 / per_minute
        self._next = 0.0

    async def wait(self) -> None:
        now = asyncio.get_running_loop().time()
        turn = max(self._next, now - BURST * self._every) + self._every
        self._next = turn
        await asyncio.sleep(turn - now)


class SparkApi:
    """SPARK_API_URL, called with our key."""

    def __init__(
        self,
        settings: Settings,
        client: httpx.AsyncClient,
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], UUID],
    ) -> None:
        self._settings = settings
        self._client = client
        self._now = now
        self._new_id = new_id
        self._pace = Pace(settings.spark_api_per_minute)

    async def call(self, method: str, path: str, message_id: str, body: bytes = b"") -> Call:
        """Waits for its turn. `message_id` is the same in each attempt."""
        await self._pace.wait()
        url, headers = f"{self._settings.spark_api_url}{path}", self._headers(message_id, body)
        call = await call_target(self._client, SPARK, method, url, body, headers)
        metrics.SPARK_CALLS.labels(path, call.outcome.code).inc()
        return call

    async def test(self) -> TargetTest:
        """`GET /ping`, whose empty body is signed."""
        call = await self.call("GET", "/ping", str(self._new_id()))
        return read_test(call, HINTS, "Ask again; if it stays so, ask Spark.")

    def _headers(self, message_id: str, body: bytes) -> dict[str, str]:
        settings = self._settings
        key = settings.spark_api_key
        return sign_call(settings.outbound_secrets, message_id, body, now=self._now()) | {
            "Authorization": f"Bearer {key.get_secret_value() if key else ''}",
            "Idempotency-Key": message_id,
            "X-Request-Id": str(self._new_id()),
        }


async def test_spark(sessions: Sessions, spark_api: SparkApi, *, caller: str) -> TargetTest:
    """The target is open again if it answers."""
    tested = await spark_api.test()
    if tested.ok:
        await change_target(sessions, SPARK, "open", caller=caller)
    return tested
