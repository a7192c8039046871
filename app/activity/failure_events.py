"""Failed requests as events: they have no transaction, so they go through a bounded queue.

While the database is away they wait. What finds no room, and what is answered 429, is only counted:
a row a minute says how often. So the rate of success is right after an outage, too.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import insert

from app import metrics
from app.activity.hours import SETTLED
from app.activity.kinds import RATE_LIMITED, UNWRITTEN
from app.activity.record_event import EVENT, event_row
from app.clock import moment_of
from app.database import OUTAGES, Sessions, explain_outage
from app.errors import OverloadedError
from app.logs import warn_each_minute
from app.models import ActivityEvent

QUEUE_EVENTS = 1000
BATCH_EVENTS = 100
COUNT_SECONDS = 60
RETRY_SECONDS = 2
LAST_SECONDS = 2  # for what waits at the end

# When it failed, however late it is written; but an hour that was counted gets no more events.
_OLDEST = func.now() - (SETTLED - timedelta(minutes=1))
_WRITE = (
    insert(ActivityEvent)
    .values(EVENT)
    .values(
        created_at=func.greatest(
            bindparam("failed_at", type_=ActivityEvent.__table__.c.created_at.type), _OLDEST
        )
    )
    .on_conflict_do_nothing()  # a connection that was cut in COMMIT may have written it
)

Row = dict[str, Any]


class FailureEvents:
    """Failures on their way to the table."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._queue: asyncio.Queue[Row] = asyncio.Queue()
        self._counted: dict[tuple[str, ...], Row] = {}

    def put(self, event_type: str, *, page_url: str, **data: str) -> None:
        """A failed request, of nobody in particular: `request_id`, why (`error_type`,
        `error_message`), and `address_hash`, which tells its senders apart; of an authentic message
        what it says of itself.
        """
        if self.waiting < QUEUE_EVENTS:
            self._queue.put_nowait(_row(event_type, page_url, data))
            return
        metrics.DROPPED_EVENTS.inc()
        warn_each_minute("events_dropped")
        self._count(UNWRITTEN, page_url, data["error_type"], data["error_message"])

    def put_limited(self, *, page_url: str, error_message: str) -> None:
        """A request that was answered 429."""
        self._count(RATE_LIMITED, page_url, "rate_limited", error_message)

    def _count(self, event_type: str, page_url: str, error_type: str, error_message: str) -> None:
        key = (event_type, page_url, error_type)
        if key not in self._counted:
            data = {"error_type": error_type, "error_message": error_message, "times": 0}
            self._counted[key] = _row(event_type, page_url, data)
        self._counted[key]["event_event_data"]["times"] += 1

    @property
    def waiting(self) -> int:
        return self._queue.qsize()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write in the background; what waits at the end is written before leaving, unless the
        database is away.
        """
        tasks = [asyncio.create_task(self._write_all()), asyncio.create_task(self._put_counts())]
        try:
            yield
        finally:
            self.put_counts()
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_SECONDS):
                    await self.settle()
            self._lose(self.waiting)
            for task in tasks:
                task.cancel()

    async def settle(self) -> None:
        """Wait until everything that was put so far is written, or cannot be."""
        await self._queue.join()

    def put_counts(self) -> None:
        """What was counted since the last time."""
        for row in self._counted.values():
            self._queue.put_nowait(row)
        self._counted = {}

    async def _put_counts(self) -> None:
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            self.put_counts()

    async def _write_all(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while not self._queue.empty() and len(batch) < BATCH_EVENTS:
                batch.append(self._queue.get_nowait())
            while not await self._write(batch):  # noqa: ASYNC110 - nobody says when it is back
                await asyncio.sleep(RETRY_SECONDS)
            for _ in batch:
                self._queue.task_done()

    async def _write(self, rows: list[Row]) -> bool:
        """False if it is worth trying again."""
        try:
            async with self._sessions() as session, session.begin():
                await session.execute(_WRITE, rows)
        except Exception as failure:  # noqa: BLE001 - events are not worth more than the service
            if isinstance(failure, (OverloadedError, *OUTAGES)) and explain_outage(failure):
                return False
            self._lose(len(rows))
        return True

    def _lose(self, events: int) -> None:
        if events:
            metrics.DROPPED_EVENTS.inc(events)
            warn_each_minute("events_dropped")


def _row(event_type: str, page_url: str, data: dict[str, Any]) -> Row:
    row = event_row(event_type, user_id=None, session_id=uuid4(), data=data, page_url=page_url)
    return row | {"failed_at": moment_of(row["event_id"])}
