"""Looks at the live schema while the service runs: the main app may change its part at any time."""

import asyncio
from collections.abc import Sequence

import structlog
from sqlalchemy.exc import DBAPIError

from app.adoption.compare import differences
from app.adoption.read_catalogue import TABLE_LOCKED, look
from app.database import Sessions, newest_revisions, schema_is_current, sqlstate_of

COMPARED_SECONDS = 60

log = structlog.get_logger()


class SchemaWatch:
    """Of one process. `names` are the tables and columns that differed when it was asked last."""

    def __init__(self, sessions: Sessions) -> None:
        self.names: Sequence[str] = ()
        self._sessions = sessions
        self._revisions = newest_revisions()
        self._compared_until = 0.0

    async def fits(self) -> bool:
        """Whether all migrations are applied, and nothing differed COMPARED_SECONDS ago or later.

        Raises one of OUTAGES.
        """
        if not await schema_is_current(self._sessions, self._revisions):
            return False
        now = asyncio.get_running_loop().time()
        if now >= self._compared_until:
            try:
                await self._compare()
            except DBAPIError as failure:
                # What is being changed just now is compared the next time.
                if sqlstate_of(failure) != TABLE_LOCKED:
                    raise
            self._compared_until = now + COMPARED_SECONDS
        return not self.names

    async def _compare(self) -> None:
        found = differences(await look(self._sessions))
        names = list(dict.fromkeys(finding.subject for finding in found))
        if names != self.names:
            log.warning("schema_differs", differences=names)
        self.names = names
