"""What happened: rows of `user_activity_events`, in the shapes of CONTRACT 9.1.

Rows are written in the caller's transaction, so that an event exists exactly when its act does, and
so does its entry in the feed that others follow. Only failures, which have no transaction, go
through a bounded queue and into no feed. No row holds an e-mail address, a name, a text or a file
name.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import bindparam, insert, select

from app import metrics
from app.activity.kinds import KINDS
from app.clock import new_id
from app.database import Session, Sessions
from app.models import ActivityEvent, FeedEntry

CATEGORY = "lms"
_COLUMNS = ("id", "user_id", "session_id", "event_type", "event_category", "event_data", "page_url")

# Built once: building a statement costs more than running it.
_INSERT = insert(ActivityEvent).values({name: bindparam(f"event_{name}") for name in _COLUMNS})
_EVENT = _INSERT.returning(ActivityEvent.id).cte("event")
_FOLLOWED = insert(FeedEntry).from_select(["event_id"], select(_EVENT.c.id))
EVENT = _FOLLOWED.cte("followed")  # a piece of a statement, with the parameters of `event_row`
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
    """`session_id` groups the events of one visit; a webhook uses its request's id.

    Raises KeyError for a type that `kinds` does not have.
    """
    statement = _FOLLOWED if KINDS[event_type].data else _INSERT
    row = event_row(
        event_type, user_id=user_id, session_id=session_id, data=data, page_url=page_url
    )
    await session.execute(statement, row)


def event_row(
    event_type: str,
    *,
    user_id: UUID | None,
    session_id: UUID,
    data: dict[str, Any],
    page_url: str,
) -> dict[str, Any]:
    return {
        "event_id": new_id(),  # in the order of time: what is written together is read together
        "event_user_id": user_id,
        "event_session_id": session_id,
        "event_event_type": event_type,
        "event_event_category": CATEGORY,
        "event_event_data": data,
        "event_page_url": page_url,
    }


@dataclass(frozen=True)
class FailureEvent:
    """A failed request; of nobody in particular. `address_hash` tells its senders apart."""

    event_type: str
    error_type: str
    error_message: str
    address_hash: str
    page_url: str


class FailureEvents:
    """Failures on their way to the table. A full queue drops them and counts what it drops."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._queue: asyncio.Queue[FailureEvent | None] = asyncio.Queue(QUEUE_EVENTS + 1)

    def put(self, event: FailureEvent) -> None:
        if self.waiting < QUEUE_EVENTS:
            self._queue.put_nowait(event)
        else:
            metrics.DROPPED_EVENTS.inc()

    @property
    def waiting(self) -> int:
        return self._queue.qsize()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write in the background; what waits at the end is written before leaving."""
        writer = asyncio.create_task(self._write_all())
        try:
            yield
        finally:
            self._queue.put_nowait(None)  # the end; its place is kept free
            await writer

    async def _write_all(self) -> None:
        ended = False
        while not ended:
            batch = [await self._queue.get()]
            while not self._queue.empty() and len(batch) < BATCH_EVENTS:
                batch.append(self._queue.get_nowait())
            ended = None in batch
            await self._write([event for event in batch if event is not None])

    async def _write(self, events: list[FailureEvent]) -> None:
        if not events:
            return
        try:
            async with self._sessions() as session, session.begin():
                await session.execute(_INSERT, [_row(event) for event in events])
        except Exception:  # noqa: BLE001 - events are not worth more than the service
            metrics.DROPPED_EVENTS.inc(len(events))


def _row(event: FailureEvent) -> dict[str, Any]:
    return event_row(
        event.event_type,
        user_id=None,
        session_id=uuid4(),
        data={
            "error_type": event.error_type,
            "error_message": event.error_message,
            "address_hash": event.address_hash,
        },
        page_url=event.page_url,
    )
