"""Before a service starts: the database must not hide rows from it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from app.adoption.compare import row_security
from app.adoption.finding import Finding
from app.adoption.read_catalogue import look
from app.database import FAILURES, create_engine
from app.migrate import UnfitDatabaseError
from app.settings import Settings

ANSWER_SECONDS = 4


def require_sight(settings: Settings) -> None:
    """Raises UnfitDatabaseError for a role that row security holds for: students would be unknown
    and homework lost, without an error. A database that does not answer is taken as it is.

    Blocking, with an event loop of its own: for commands, and for whoever makes the application.
    """
    with ThreadPoolExecutor(1) as thread:
        for finding in thread.submit(asyncio.run, _look(settings)).result():
            raise UnfitDatabaseError(
                f"The service does not start: {finding.text}.\n"
                f"Let who administers the database run `{finding.next_step}`."
            )


async def _look(settings: Settings) -> list[Finding]:
    engine = create_engine(settings)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return list(row_security(await look(engine.connect)))
    except FAILURES:
        return []
    finally:
        await engine.dispose()
