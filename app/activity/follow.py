"""Events in an order that a reader can follow, and nothing skipped.

A row's number is drawn before its act commits, so a reader who goes by numbers passes over those
that commit later. Readers go by positions instead, which rows get when they are committed: from the
reader itself, one reader at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, cast, func, select, update
from sqlalchemy.dialects.postgresql import REGCLASS

from app.database import Session, Sessions, retried
from app.models import SPARK, ActivityEvent, FeedEntry

BEGINNING = 0
TURN = 0x7370_6172_6B01  # the advisory lock of whoever gives positions; any number of our own


@dataclass(frozen=True)
class Happened:
    """`data` has the keys that `kinds` names for the type."""

    position: int
    id: UUID
    event_type: str
    created_at: datetime
    user_id: UUID | None
    event_data: Mapping[str, Any]


# Built once: building a statement costs more than running it.
AFTER = (
    select(
        FeedEntry.position,
        ActivityEvent.id,
        ActivityEvent.event_type,
        ActivityEvent.created_at,
        ActivityEvent.user_id,
        func.coalesce(ActivityEvent.event_data, func.jsonb_build_object()).label("event_data"),
    )
    .join(ActivityEvent, ActivityEvent.id == FeedEntry.event_id)
    .where(FeedEntry.position > bindparam("after"))
    .order_by(FeedEntry.position)
    .limit(bindparam("at_most"))
)
# A row that is being erased is left out, and not waited for.
_WAITING = (
    select(FeedEntry.number)
    .where(FeedEntry.position.is_(None))
    .order_by(FeedEntry.number)
    .limit(bindparam("at_most"))
    .with_for_update(skip_locked=True)
    .cte("waiting")
)
_SEQUENCE = cast(
    func.pg_get_serial_sequence(f"{SPARK}.{FeedEntry.__tablename__}", FeedEntry.number.name),
    REGCLASS,
)
_NEXT = select(_WAITING.c.number, func.nextval(_SEQUENCE).label("position")).cte("next")
PLACE = (
    update(FeedEntry).where(FeedEntry.number == _NEXT.c.number).values(position=_NEXT.c.position)
)
_TAKE_TURN = select(func.pg_advisory_xact_lock(TURN))


@retried
async def follow_events(sessions: Sessions, after: int, limit: int) -> Sequence[Happened]:
    """The events after a position, oldest first. Fewer than `limit` are all there are for now.

    Positions are committed when this returns. Whatever an event builds on comes before it.
    """
    async with sessions() as session, session.begin():
        happened = await _read(session, after, limit)
        if len(happened) < limit:
            # A statement of its own: the next one then sees what the reader before has committed.
            await session.execute(_TAKE_TURN)
            await session.execute(PLACE, {"at_most": limit})
            happened = await _read(session, after, limit)
    return happened


async def _read(session: Session, after: int, limit: int) -> list[Happened]:
    found = await session.execute(AFTER, {"after": after, "at_most": limit})
    return [Happened(**row) for row in found.mappings()]
