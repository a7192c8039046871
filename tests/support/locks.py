"""Holds a transaction of the service at a chosen statement, from a connection beside it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from tests.support.patience import patient
from tests.support.stores import Stores

LAST_TABLE = "user_activity_events"  # the last one that recording a submission writes to
DEADLINE_SECONDS = patient(20)


class Holder:
    """A connection whose transaction holds a lock until it ends."""

    def __init__(self, connection: AsyncConnection, stores: Stores) -> None:
        self._connection = connection
        self._stores = stores

    async def execute(self, statement: str) -> None:
        await self._connection.execute(text(statement))

    async def commit(self) -> None:
        await self._connection.commit()

    async def release(self) -> None:
        await self._connection.rollback()

    async def wait_for(self, waiting: int = 1) -> list[int]:
        """Until so many backends wait for a lock; who they are."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(found := await self.waiting()) < waiting:  # noqa: ASYNC110 - it happens elsewhere
                await asyncio.sleep(0.02)
        return found

    async def waiting(self) -> list[int]:
        rows = await self._stores.execute(
            "SELECT DISTINCT l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE NOT l.granted AND a.datname = current_database()"
        )
        return [row["pid"] for row in rows]

    async def somebody_waits(self) -> bool:
        return bool(await self.waiting())

    async def nobody_waits(self) -> bool:
        return not await self.waiting()

    async def terminate_waiting(self) -> None:
        """As an administrator, or a failover, ends them."""
        for pid in await self.wait_for():
            await self._stores.execute(f"SELECT pg_terminate_backend({pid})")


@asynccontextmanager
async def hold(stores: Stores, table: str = LAST_TABLE) -> AsyncIterator[Holder]:
    """Nobody writes to the table until then; who tries waits."""
    engine = create_async_engine(stores.variables["DATABASE_URL"], poolclass=NullPool)
    async with engine.connect() as connection:
        holder = Holder(connection, stores)
        await holder.execute(f"LOCK TABLE {table} IN SHARE MODE")
        yield holder
