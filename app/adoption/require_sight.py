"""Before a service starts: the database must not hide rows from it, and must take new students."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from app.adoption.compare import row_security
from app.adoption.organization import refuse_organization
from app.adoption.read_catalogue import look
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
            catalogue = await look(engine.connect)
            chosen = settings.optio_organization_id
            return [
                f"{hidden.text}.\nLet who administers the database run `{hidden.next_step}`."
                for hidden in row_security(catalogue)
            ] or [
                f"{refused.subject} {refused.text}.\n{refused.next_step}"
                for refused in await refuse_organization(engine.connect, catalogue, chosen)
            ]
    except FAILURES:
        return []
    finally:
        await engine.dispose()
