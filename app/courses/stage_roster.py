"""Rows of a roster file into the database, in batches, so that no file of any size is held."""

import asyncio
from collections.abc import Callable
from itertools import islice
from uuid import UUID

from sqlalchemy import delete, insert, update

from app.courses.roster_file import RosterFile
from app.database import Sessions
from app.models import RosterImport, RosterRow

BATCH_ROWS = 2000
INSERT_ROW = insert(RosterRow)


async def stage_roster(
    sessions: Sessions,
    file: RosterFile,
    import_id: UUID,
    *,
    max_bytes: int,
    tell: Callable[[int], None],
) -> None:
    """Raises what reading the file raises; then nothing of it is kept."""
    async with sessions() as session, session.begin():
        await session.execute(insert(RosterImport).values(id=import_id, is_whole=file.is_whole))
    try:
        await _stage_rows(sessions, file, import_id, max_bytes=max_bytes, tell=tell)
    except Exception:
        async with sessions() as session, session.begin():
            await session.execute(delete(RosterImport).where(RosterImport.id == import_id))
        raise


async def _stage_rows(
    sessions: Sessions,
    file: RosterFile,
    import_id: UUID,
    *,
    max_bytes: int,
    tell: Callable[[int], None],
) -> None:
    rows = file.rows(max_bytes=max_bytes, tell=tell)
    number = 0
    # In a thread: reading takes the processor, and other requests want it as well.
    while batch := await asyncio.to_thread(lambda: list(islice(rows, BATCH_ROWS))):
        numbered = [
            row | {"import_id": import_id, "number": number + place}
            for place, row in enumerate(batch)
        ]
        number += len(batch)
        async with sessions() as session, session.begin():
            await session.execute(INSERT_ROW, numbered)


async def set_state(sessions: Sessions, import_id: UUID, state: str) -> None:
    async with sessions() as session, session.begin():
        await session.execute(
            update(RosterImport).where(RosterImport.id == import_id).values(state=state)
        )
