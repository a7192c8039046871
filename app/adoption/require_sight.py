"""Before a service starts: the database must not hide rows from it, and must take new students."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from app.adoption.compare import row_security
from app.adoption.organization import judge_organization
from app.adoption.read_catalogue import look
from app.adoption.shape import LiveShape
from app.database import FAILURES, create_engine
from app.migrate import UnfitDatabaseError
from app.settings import Settings

ANSWER_SECONDS = 4


def require_sight(settings: Settings) -> None:
    """Raises UnfitDatabaseError for a role that row security holds for: students would be unknown
    and homework lost, without an error; and where a link needs an organisation that is not set. A
    database that does not answer is taken as it is.

    Blocking, with an event loop of its own: for commands, and for whoever makes the application.
    """
    with ThreadPoolExecutor(1) as thread:
        for reason in thread.submit(asyncio.run, _look(settings)).result():
            raise UnfitDatabaseError(f"The service does not start: {reason}")


async def _look(settings: Settings) -> list[str]:
    engine = create_engine(settings)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return [
                f"{hidden.text}.\nLet who administers the database run `{hidden.next_step}`."
                for hidden in row_security(await look(engine.connect))
            ] or await _look_for_organization(engine, settings.optio_organization_id)
    except FAILURES:
        return []
    finally:
        await engine.dispose()


async def _look_for_organization(engine: AsyncEngine, organization_id: UUID | None) -> list[str]:
    async with engine.connect() as session:
        shape = await LiveShape().read(session)
        finding = await judge_organization(session, shape, organization_id)
    if finding is None or finding.mark != "refuse":
        return []
    return [f"{finding.subject} {finding.text}.\n{finding.next_step}"]
