"""Looks at the live schema while the service runs: the main app may change its part at any time."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError

from app.adoption.compare import differences
from app.adoption.organization import refuse_organization
from app.adoption.read_catalogue import look
from app.adoption.shape import LiveShape
from app.database import Sessions, sqlstate_of
from app.migrate import newest_revisions, schema_is_current

COMPARED_SECONDS = 55  # and what /readyz believes: what changes is seen within a minute
AGAIN_SECONDS = 5  # after it could not be compared

log = structlog.get_logger()


class SchemaWatch:
    """Of one process. `names` are the tables and columns that differed when it was asked last."""

    def __init__(self, sessions: Sessions, shape: LiveShape, organization_id: UUID | None) -> None:
        self.names: Sequence[str] = ()
        self._sessions, self._shape, self._organization_id = sessions, shape, organization_id
        self._revisions = newest_revisions()
        self._compared_until = 0.0

    async def fits(self) -> bool:
        """Whether no migration is missing, and nothing differed COMPARED_SECONDS ago or later.

        Raises one of OUTAGES.
        """
        if not await schema_is_current(self._sessions, self._revisions):
            return False
        now = asyncio.get_running_loop().time()
        if now >= self._compared_until:
            try:
                await self._compare()
                self._compared_until = now + COMPARED_SECONDS
            except DBAPIError as failure:
                # As while a table is being changed, which is what has to be seen.
                log.warning("schema_not_compared", sqlstate=sqlstate_of(failure))
                self._compared_until = now + AGAIN_SECONDS
        return not self.names

    async def _compare(self) -> None:
        catalogue = await look(self._sessions)
        found = differences(catalogue)
        if not found:
            self._shape.learn(catalogue)
            found = await refuse_organization(self._sessions, catalogue, self._organization_id)
        names = list(dict.fromkeys(finding.subject for finding in found))
        if names != list(self.names):
            log.warning("schema_differs", differences=names)
        self.names = names
