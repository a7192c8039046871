"""One of the few uploads that a process takes in at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app import metrics
from app.errors import OverloadedError


@asynccontextmanager
async def upload_slot(slots: asyncio.Semaphore) -> AsyncIterator[None]:
    """Raises OverloadedError when there is none."""
    if slots.locked():
        raise OverloadedError
    async with slots:
        with metrics.UPLOADS_RUNNING.track_inprogress():
            yield
