"""Events in an order that a reader can follow, and nothing skipped.

A row's number is drawn before its act commits, so a reader who goes by numbers passes over those
that commit later. Readers go by positions instead, which rows get when they are committed: from the
reader itself, one reader at a time.
"""

from typing import Any

from pydantic import Field
from sqlalchemy import bindparam, cast, func, select, update
from sqlalchemy.dialects.postgresql import REGCLASS

from app.database import Session, Sessions, retried
from app.fields import UUID_EXAMPLE, ContractModel, Id, Moment, NullableId
from app.models import SPARK, ActivityEvent, FeedEntry

BEGINNING = 0
TURN = 0x7370_6172_6B01  # the advisory lock of whoever gives positions; any number of our own


class FollowedEvent(ContractModel):
    """Something that happened, and is committed."""

    id: Id = Field(title="Event id", description="The same event again has the same id.")
    type: str = Field(
        max_length=100,
        description="What happened. Leave out the types you do not know.",
        examples=["spark_webhook_success"],
    )
    occurred_at: Moment = Field(
        description="When the act began that is recorded; not the order of this list."
    )
    user_id: NullableId = Field(
        description="Of whom; null if it is of nobody in particular, or too old to tell."
    )
    data: dict[str, Any] = Field(
        description="Ids and counts; the route says which keys a type has.",
        examples=[{"completion_id": UUID_EXAMPLE, "submission_id": UUID_EXAMPLE}],
    )


AFTER = (
    select(
        FeedEntry.position,
        ActivityEvent.id,
        ActivityEvent.event_type.label("type"),
        ActivityEvent.created_at.label("occurred_at"),
        ActivityEvent.user_id,
        func.coalesce(ActivityEvent.event_data, func.jsonb_build_object()).label("data"),
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
async def follow_events(
    sessions: Sessions, after: int, limit: int
) -> list[tuple[int, FollowedEvent]]:
    """The events after a position, each behind its own, oldest first. Fewer than `limit` are all
    there are for now.

    Positions are committed when this returns. Whatever an event builds on comes before it.
    """
    async with sessions() as session, session.begin():
        events = await _read(session, after, limit)
        if len(events) < limit:
            # A statement of its own: the next one then sees what the reader before has committed.
            await session.execute(_TAKE_TURN)
            await session.execute(PLACE, {"at_most": limit})
            events = await _read(session, after, limit)
    return events


async def _read(session: Session, after: int, limit: int) -> list[tuple[int, FollowedEvent]]:
    found = await session.execute(AFTER, {"after": after, "at_most": limit})
    return [(row["position"], FollowedEvent(**row)) for row in found.mappings()]
