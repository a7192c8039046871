"""Failed requests as events: they have no transaction, so they go through a bounded queue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from app import metrics
from app.activity.record_event import INSERT, event_row
from app.database import Sessions

QUEUE_EVENTS = 1000
BATCH_EVENTS = 100


class FailureEvents:
    """Failures on their way to the table. A full queue drops them and counts what it drops."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(QUEUE_EVENTS)

    def put(self, event_type: str, *, page_url: str, **data: str) -> None:
        """A failed request, of nobody in particular: `request_id`, why (`error_type`,
        `error_message`), and `address_hash`, which tells its senders apart; of an authentic message
        what it says of itself.
        """
        if self._queue.full():
            metrics.DROPPED_EVENTS.inc()
            return
        row = event_row(event_type, user_id=None, session_id=uuid4(), data=data, page_url=page_url)
        self._queue.put_nowait(row)

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
            await self.settle()
            writer.cancel()

    async def settle(self) -> None:
        """Wait until everything that was put so far is written, or could not be."""
        await self._queue.join()

    async def _write_all(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while not self._queue.empty() and len(batch) < BATCH_EVENTS:
                batch.append(self._queue.get_nowait())
            await self._write(batch)
            for _ in batch:
                self._queue.task_done()

    async def _write(self, rows: list[dict[str, Any]]) -> None:
        try:
            async with self._sessions() as session, session.begin():
                await session.execute(INSERT, rows)
        except Exception:  # noqa: BLE001 - events are not worth more than the service
            metrics.DROPPED_EVENTS.inc(len(rows))
