"""What happened, for the main app to follow along."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.activity.follow import BEGINNING, Happened, follow_events
from app.activity.kinds import KINDS
from app.api.callers import READ
from app.api.dependencies import Opened
from app.api.internal.events_schemas import EventPage, EventQuery, FollowedEvent
from app.api.paging import Cursors
from app.api.problems import problems
from app.errors import INTERNAL_PROBLEMS

router = APIRouter(prefix="/internal/v1/events", tags=["events"], dependencies=[READ])


def _types() -> str:
    """A list for the contract."""
    return "\n".join(
        f"- `{event_type}`: {kind.sentence}. {', '.join(f'`{key}`' for key in kind.data)}"
        for event_type, kind in KINDS.items()
        if kind.data
    )


@router.get(
    "",
    name="followEvents",
    summary="Follow what happens",
    description=(
        "Committed events, oldest first. Send `next_cursor` as `after` and no event is skipped,"
        " however many are recorded at once; who repeats a cursor gets the same events again, but"
        " for those of students who were erased since. An event without `user_id` may be old and"
        " then lacks the ids of students' own rows. Types, and the keys of their `data`:\n\n"
        + _types()
    ),
    responses=problems(*INTERNAL_PROBLEMS),
)
async def read_events(query: Annotated[EventQuery, Query()], opened: Opened) -> EventPage:
    cursors = Cursors(router.prefix, opened.cursor_keys)
    after = cursors.open(query.after, field="after") if query.after else BEGINNING
    happened = await follow_events(opened.sessions, after, query.limit)
    last = happened[-1].position if happened else after
    return EventPage(items=[_event(one) for one in happened], next_cursor=cursors.seal(last))


def _event(happened: Happened) -> FollowedEvent:
    return FollowedEvent(
        id=happened.id,
        type=happened.event_type,
        occurred_at=happened.created_at,
        user_id=happened.user_id,
        data=dict(happened.event_data),
    )
