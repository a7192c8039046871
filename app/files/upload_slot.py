"""One of the few uploads that a process takes in at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from app import metrics
from app.errors import OverloadedError


@asynccontextmanager
async def upload_slot(*slots: asyncio.Semaphore) -> AsyncIterator[None]:
    """One of each. Raises OverloadedError when there is none."""
    async with AsyncExitStack() as stack:
        for each in slots:
            if each.locked():
                raise OverloadedError
            await stack.enter_async_context(each)
        with metrics.UPLOADS_RUNNING.track_inprogress():
            yield
