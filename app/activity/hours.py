"""Events of whole hours, counted once the hour is over.

An event is dated by the start of its transaction. No statement lives longer than 7 s and no
transaction has many, so an hour that ended an hour ago gets no more events. Retention removes
events and counts of the same age; an erasure, which deletes events earlier, takes them out of the
counts first (`forget_hours`).
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select, text, update

from app.database import Session, Sessions
from app.models import LMS_EVENTS, ActivityEvent, ActivityHour

HOUR = timedelta(hours=1)
SETTLED = HOUR  # after its end
_HOUR = "date_trunc('hour', created_at, 'UTC')"

# One worker counts at a time; readers are not kept out.
_TAKE_TURN = text("LOCK TABLE spark.activity_hours IN SHARE ROW EXCLUSIVE MODE")
COUNTED_UNTIL = select(func.max(ActivityHour.hour) + HOUR)
# A day in one statement, from the next event on: hours without any are passed over.
COUNT = text(
    f"""
    with first as (
      select date_trunc('hour', min(created_at), 'UTC') as hour from user_activity_events
      where {LMS_EVENTS} and created_at >= coalesce(
        (select max(hour) + interval '1 hour' from spark.activity_hours), '-infinity'))
    insert into spark.activity_hours (hour, event_type, events)
    select {_HOUR}, event_type, count(*) from user_activity_events
    where {LMS_EVENTS} and created_at >= (select hour from first)
      and created_at < (select least(hour + interval '1 day',
        date_trunc('hour', now() - interval '{SETTLED}', 'UTC')) from first)
    group by {_HOUR}, event_type
    returning 1
    """  # noqa: S608 - our own words
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
        return len((await session.execute(COUNT)).all())


async def forget_hours(
    session: Session, events: ColumnElement[bool], values: Mapping[str, Any]
) -> None:
    """Take these events out of the counts, before they are deleted in the same transaction.

    Waits for a count that runs.
    """
    hour = func.date_trunc("hour", ActivityEvent.created_at, "UTC").label("hour")
    kind = ActivityEvent.event_type
    # An hour that is over was counted with them in it.
    counted = select(hour, kind, func.count().label("events")).where(events, LMS_EVENTS)
    theirs = counted.group_by(hour, kind).subquery()
    left = func.greatest(ActivityHour.events - theirs.c.events, 0)
    fewer = update(ActivityHour).values(events=left)
    of_them = (ActivityHour.hour == theirs.c.hour) & (
        ActivityHour.event_type == theirs.c.event_type
    )
    await session.execute(fewer.where(of_them), values)
