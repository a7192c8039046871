"""A file whose arriving bytes keep its upload from being swept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from app.database import OUTAGES
from app.errors import ServiceError
from app.files.store_file import Destination, NamedPart
from app.files.uploads import renew_uploads

RENEWALS_PER_LEASE = 3


@dataclass(frozen=True)
class LeasedPart:
    part: NamedPart
    destination: Destination
    upload_id: UUID

    @property
    def filename(self) -> str | None:
        return self.part.filename

    async def __aiter__(self) -> AsyncIterator[bytes]:
        clock = asyncio.get_running_loop().time
        due_after = self.destination.lease.total_seconds() / RENEWALS_PER_LEASE
        renewed_at = clock()
        async for chunk in self.part:
            if clock() - renewed_at >= due_after:
                renewed_at = clock()
                with suppress(ServiceError, *OUTAGES):  # committing asks whether it is still there
                    await renew_uploads(
                        self.destination.sessions, [self.upload_id], lease=self.destination.lease
                    )
            yield chunk
