"""Events in an order that a reader can follow, and nothing skipped.

A row's number is drawn before its act commits, so a reader who goes by numbers passes over those
that commit later. Readers go by positions instead, which rows get when they are committed: from the
reader itself, one reader at a time.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import Field
from sqlalchemy import ARRAY, Text, any_, bindparam, cast, func, select, update
from sqlalchemy.dialects.postgresql import REGCLASS

from app.activity.audit import record_audit_of_many
from app.database import Session, Sessions, retried
from app.fields import UUID_EXAMPLE, ContractModel, Id, Moment, NullableId
from app.models import SPARK, ActivityEvent, FeedEntry

BEGINNING = 0
WINDOW = 1000  # events that are looked through for those of some types, in one page
BATCH, BATCHES = 5000, 20  # that get their places at once, for who begins now
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


_EVENT = (
    ActivityEvent.id,
    ActivityEvent.event_type.label("type"),
    ActivityEvent.created_at.label("occurred_at"),
    ActivityEvent.user_id,
    func.coalesce(ActivityEvent.event_data, func.jsonb_build_object()).label("data"),
)
AFTER = (
    select(FeedEntry.position, *_EVENT)
    .join(ActivityEvent, ActivityEvent.id == FeedEntry.event_id)
    .where(FeedEntry.position > bindparam("after"))
    .order_by(FeedEntry.position)
    .limit(bindparam("at_most"))
)
_WINDOW = (
    select(FeedEntry.position, FeedEntry.event_id)
    .where(FeedEntry.position > bindparam("after"))
    .order_by(FeedEntry.position)
    .limit(bindparam("window"))
    .cte("looked_through")
)
_LOOKED_THROUGH = select(func.count(), func.max(_WINDOW.c.position))
OF_TYPES = (
    select(_WINDOW.c.position, *_EVENT)
    .join(ActivityEvent, ActivityEvent.id == _WINDOW.c.event_id)
    .where(ActivityEvent.event_type == any_(bindparam("types", type_=ARRAY(Text))))
    .order_by(_WINDOW.c.position)
    .limit(bindparam("at_most"))
)
_END = select(func.max(FeedEntry.position))
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


async def read_feed(
    sessions: Sessions,
    after: int,
    limit: int,
    types: Sequence[str] = (),
    *,
    caller: str,
    window: int = WINDOW,
) -> tuple[list[FollowedEvent], int, bool]:
    """Events of these types, or of all; the position to go on from; and whether there are more.
    With types a page may have fewer than `limit`, and even none, while there are. Audited.
    """
    if types:
        asked = {"after": after, "at_most": limit + 1, "types": list(types), "window": window}
        events, end, is_last = await _follow_types(sessions, asked)
    else:
        events, end, is_last = await follow_events(sessions, after, limit + 1), after, True
    shown = [event for _, event in events[:limit]]
    whose = [event.user_id for event in shown if event.user_id]
    async with sessions() as session, session.begin():  # the feed's turn is given back already
        await record_audit_of_many(session, caller, "sensitive_read", whose, what="events")
    if len(events) > limit:
        return shown, events[limit - 1][0], True
    positions = (position for position, _ in events)
    return shown, max(end, *positions, after), not is_last


async def skip_to_now(sessions: Sessions, *, batch: int = BATCH) -> tuple[int, bool]:
    """The position behind all that is committed, and whether so many events wait for theirs that
    it is not.
    """
    for _ in range(BATCHES):
        placed, end = await _place(sessions, at_most=batch)
        if placed < batch:
            return end, False
    return end, True


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


@retried
async def _follow_types(
    sessions: Sessions, asked: dict[str, Any]
) -> tuple[list[tuple[int, FollowedEvent]], int, bool]:
    """As `follow_events`, with the end of what was looked through, and whether that was all. Rare
    types do not make a page read the whole feed.
    """
    window = {name: asked[name] for name in ("after", "window")}
    async with sessions() as session, session.begin():
        count, end = (await session.execute(_LOOKED_THROUGH, window)).one()
        if count < asked["window"]:
            await session.execute(_TAKE_TURN)
            await session.execute(PLACE, {"at_most": asked["window"]})
            count, end = (await session.execute(_LOOKED_THROUGH, window)).one()
        found = await session.execute(OF_TYPES, asked)
        events = [(row["position"], FollowedEvent(**row)) for row in found.mappings()]
    return events, end or asked["after"], count < asked["window"]


@retried
async def _place(sessions: Sessions, *, at_most: int) -> tuple[int, int]:
    """How many events got their places, and the last place."""
    async with sessions() as session, session.begin():
        await session.execute(_TAKE_TURN)
        placed = await session.execute(PLACE, {"at_most": at_most})
        end = await session.execute(_END)
        return placed.rowcount, end.scalar_one() or BEGINNING


async def _read(session: Session, after: int, limit: int) -> list[tuple[int, FollowedEvent]]:
    found = await session.execute(AFTER, {"after": after, "at_most": limit})
    return [(row["position"], FollowedEvent(**row)) for row in found.mappings()]
