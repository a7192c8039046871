"""What happened: rows of `user_activity_events`, in the shapes of CONTRACT 9.1.

Rows are written in the caller's transaction, so that an event exists exactly when its act does, and
so does its entry in the feed that others follow. Only failures, which have no transaction, go
another way (`failure_events`) and into no feed. No row holds an e-mail address, a name, a text or a
file name.
"""

import json
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, bindparam, insert, select

from app.activity.kinds import KINDS
from app.clock import new_id
from app.database import Session
from app.models import ActivityEvent, FeedEntry

CATEGORY = "lms"
_COLUMNS = ("id", "user_id", "session_id", "event_type", "event_category", "event_data", "page_url")

EVENT: dict[str, BindParameter[Any]] = {name: bindparam(f"event_{name}") for name in _COLUMNS}
INSERT = insert(ActivityEvent).values(EVENT)
# A piece of a statement that has `event_data`, one row with the column `said`: an event that can be
# followed.
EVENT_SQL = f"""
    event as (
      insert into user_activity_events
        (id, user_id, session_id, event_type, event_category, event_data, page_url)
      select :event_id, :event_user_id, :event_session_id, :event_event_type, '{CATEGORY}', said,
        :event_page_url
      from event_data
      returning id),
    followed as (insert into spark.events (event_id) select id from event)
"""  # noqa: S608 - our own words
_EVENT = INSERT.returning(ActivityEvent.id).cte("event")
_FOLLOWED = insert(FeedEntry).from_select(["event_id"], select(_EVENT.c.id))


async def record_event(
    session: Session,
    event_type: str,
    *,
    user_id: UUID | None,
    session_id: UUID,
    data: dict[str, Any],
    page_url: str,
) -> None:
    """`session_id` groups the events of one visit; a webhook uses its request's id.

    Raises KeyError for a type that `kinds` does not have.
    """
    statement = _FOLLOWED if KINDS[event_type].data else INSERT
    row = event_row(
        event_type, user_id=user_id, session_id=session_id, data=data, page_url=page_url
    )
    await session.execute(statement, row)


def event_values(event_type: str, *, data: dict[str, Any], **of: Any) -> dict[str, Any]:
    """Of EVENT_SQL and its `:event_event_data`; as `event_row`."""
    return event_row(event_type, data=data, **of) | {"event_event_data": json.dumps(data)}


def event_row(
    event_type: str,
    *,
    user_id: UUID | None,
    session_id: UUID,
    data: dict[str, Any],
    page_url: str,
) -> dict[str, Any]:
    return {
        "event_id": new_id(),  # in the order of time: what is written together is read together
        "event_user_id": user_id,
        "event_session_id": session_id,
        "event_event_type": event_type,
        "event_event_category": CATEGORY,
        "event_event_data": data,
        "event_page_url": page_url,
    }
