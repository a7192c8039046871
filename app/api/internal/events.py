"""What happened, for the main app to follow along."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from app.activity.follow import BEGINNING, FollowedEvent, follow_events
from app.activity.kinds import KINDS
from app.api.callers import READ
from app.api.dependencies import Opened
from app.api.paging import CURSOR_EXAMPLE, CURSOR_PATTERN, Cursors, LimitQuery
from app.api.problems import problems
from app.errors import INTERNAL_PROBLEMS
from app.fields import ContractModel

router = APIRouter(prefix="/internal/v1/events", tags=["events"], dependencies=[READ])


class EventQuery(LimitQuery):
    """From where on."""

    after: str | None = Field(
        None,
        pattern=CURSOR_PATTERN,
        description="The `next_cursor` of the page before; without it the oldest events.",
        examples=[CURSOR_EXAMPLE],
    )


class EventPage(ContractModel):
    """Events in their order; fewer than `limit` are all there are for now."""

    items: list[FollowedEvent] = Field(max_length=200, description="Oldest first, at most `limit`.")
    next_cursor: str = Field(
        description="Always there: keep it once the items are handled, and send it as `after`.",
        examples=[CURSOR_EXAMPLE],
    )


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
    events = await follow_events(opened.sessions, after, query.limit)
    last = events[-1][0] if events else after
    return EventPage(items=[event for _, event in events], next_cursor=cursors.seal(last))
