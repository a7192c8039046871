"""Events of whole hours, counted once the hour is over.

An event is dated by the start of its transaction. No statement lives longer than 7 s and no
transaction has many, so an hour that ended an hour ago gets no more events. Retention removes
events and counts of the same age; an erasure, which deletes events earlier, takes them out of the
counts first (`forget_hours`).
"""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    SQLColumnExpression,
    bindparam,
    func,
    insert,
    literal_column,
    select,
    text,
    update,
)

from app.database import Session, Sessions
from app.models import LMS_EVENTS, ActivityEvent, ActivityHour

HOUR = timedelta(hours=1)
SETTLED = HOUR  # after its end
AT_ONCE = 24 * HOUR  # in one statement


def _hour(moment: SQLColumnExpression[datetime]) -> ColumnElement[datetime]:
    return func.date_trunc(literal_column("'hour'"), moment, literal_column("'UTC'"))


# One worker counts at a time; readers are not kept out.
_TAKE_TURN = text("LOCK TABLE spark.activity_hours IN SHARE ROW EXCLUSIVE MODE")
COUNTED_UNTIL = select(func.max(ActivityHour.hour) + HOUR)
# From the next event on: hours without any are passed over.
_FIRST = (
    select(_hour(func.min(ActivityEvent.created_at)).label("hour"))
    .where(
        LMS_EVENTS,
        ActivityEvent.created_at
        >= func.coalesce(
            COUNTED_UNTIL.scalar_subquery(), literal_column("'-infinity'::timestamptz")
        ),
    )
    .cte("first")
)
_LAST = func.least(_FIRST.c.hour + AT_ONCE, _hour(func.now() - SETTLED))
COUNT = insert(ActivityHour).from_select(
    ["hour", "event_type", "events"],
    select(_hour(ActivityEvent.created_at), ActivityEvent.event_type, func.count())
    .where(
        LMS_EVENTS,
        ActivityEvent.created_at >= select(_FIRST.c.hour).scalar_subquery(),
        ActivityEvent.created_at < select(_LAST).scalar_subquery(),
    )
    .group_by(_hour(ActivityEvent.created_at), ActivityEvent.event_type),
)


async def count_hours(sessions: Sessions) -> int:
    """Every hour that is over and not counted yet, a day in one transaction: how many counts."""
    made = 0
    while counts := await _count_day(sessions):
        made += counts
    return made


async def _count_day(sessions: Sessions) -> int:
    async with sessions() as session, session.begin():
        await session.execute(_TAKE_TURN)
        return (await session.execute(COUNT)).rowcount


# An hour that is over was counted with the user's events in it.
_OF_USER = (
    select(
        _hour(ActivityEvent.created_at).label("hour"),
        ActivityEvent.event_type,
        func.count().label("events"),
    )
    .where(ActivityEvent.user_id == bindparam("of_user"), LMS_EVENTS)
    .group_by("hour", ActivityEvent.event_type)
    .subquery()
)
_FORGET = (
    update(ActivityHour)
    .where(ActivityHour.hour == _OF_USER.c.hour, ActivityHour.event_type == _OF_USER.c.event_type)
    .values(events=func.greatest(ActivityHour.events - _OF_USER.c.events, 0))
)


async def forget_hours(session: Session, user_id: UUID) -> None:
    """Take this user's events out of the counts, before they are deleted in the same transaction.

    Waits for a count that runs.
    """
    await session.execute(_FORGET, {"of_user": user_id})
