"""What happened: rows of `user_activity_events`, in the shapes of CONTRACT 9.1.

Rows are written in the caller's transaction, so that an event exists exactly when its act does.
Only failures, which have no transaction, go through a bounded queue. No row holds an e-mail
address, a name, a text or a file name.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert

from app import metrics
from app.database import OUTAGES, Session, Sessions
from app.models import ActivityEvent

CATEGORY = "lms"
INSERT_EVENT = insert(ActivityEvent)  # built once: building costs more than running it
QUEUE_EVENTS = 1000
BATCH_EVENTS = 100


async def record_event(
    session: Session,
    event_type: str,
    *,
    user_id: UUID | None,
    session_id: UUID,
    data: dict[str, Any],
    page_url: str,
) -> None:
    """`session_id` groups the events of one visit; a webhook uses its request's id."""
    await session.execute(
        INSERT_EVENT,
        {
            "user_id": user_id,
            "session_id": session_id,
            "event_type": event_type,
            "event_category": CATEGORY,
            "event_data": data,
            "page_url": page_url,
        },
    )


@dataclass(frozen=True)
class FailureEvent:
    """A failed request; of nobody in particular."""

    event_type: str
    error_type: str
    error_message: str
    page_url: str


class FailureEvents:
    """Failures on their way to the table. A full queue drops them and counts what it drops."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._queue: asyncio.Queue[FailureEvent] = asyncio.Queue(QUEUE_EVENTS)

    def put(self, event: FailureEvent) -> None:
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            metrics.DROPPED_EVENTS.inc()

    @property
    def waiting(self) -> int:
        return self._queue.qsize()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write in the background; what waits at the end is written before leaving."""
        writer = asyncio.create_task(self._write_forever())
        try:
            yield
        finally:
            writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer
            while not self._queue.empty():
                await self._write(self._take())

    async def _write_forever(self) -> None:
        while True:
            await self._write([await self._queue.get(), *self._take(BATCH_EVENTS - 1)])

    def _take(self, count: int = BATCH_EVENTS) -> list[FailureEvent]:
        return [self._queue.get_nowait() for _ in range(min(count, self._queue.qsize()))]

    async def _write(self, events: list[FailureEvent]) -> None:
        try:
            async with self._sessions() as session, session.begin():
                await session.execute(INSERT_EVENT, [_row(event) for event in events])
        except OUTAGES:
            metrics.DROPPED_EVENTS.inc(len(events))


def _row(event: FailureEvent) -> dict[str, Any]:
    return {
        "session_id": uuid4(),
        "event_type": event.event_type,
        "event_category": CATEGORY,
        "event_data": {"error_type": event.error_type, "error_message": event.error_message},
        "page_url": event.page_url,
    }
