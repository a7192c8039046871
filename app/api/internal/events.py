"""What happened, for the main app to follow along."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field

from app.activity.follow import BEGINNING, FollowedEvent, read_feed, skip_to_now
from app.activity.kinds import FOLLOWED, KINDS
from app.api.callers import Reader
from app.api.dependencies import Opened
from app.api.paging import CURSOR_EXAMPLE, CURSOR_PATTERN, LINKED, LimitQuery, Pages
from app.api.problem_groups import INTERNAL_PROBLEMS
from app.api.problems import problems
from app.errors import FieldInvalidError
from app.fields import ContractModel

router = APIRouter(prefix="/internal/v1/events", tags=["events"])


def _known_types(values: list[str]) -> list[str]:
    types = [name for value in values for name in value.split(",")]
    if not set(types) <= set(FOLLOWED):
        raise ValueError(f"unknown; known are {', '.join(FOLLOWED)}")
    return types


class EventQuery(LimitQuery):
    """From where on, and which."""

    after: str | None = Field(
        None,
        pattern=CURSOR_PATTERN,
        description="The `next_cursor` of the page before; without it the oldest events.",
        examples=[CURSOR_EXAMPLE],
    )
    cursor: str | None = Field(
        None,
        pattern=CURSOR_PATTERN,
        description="The same as `after`, as other lists call it.",
        examples=[CURSOR_EXAMPLE],
    )
    begin: str | None = Field(
        None,
        alias="from",
        pattern="^now$",
        description="`now`, in place of a cursor: no events, and the cursor behind all there are.",
        examples=["now"],
    )
    types: Annotated[list[str], AfterValidator(_known_types)] = Field(
        [],
        max_length=100,
        description="Only these types, repeated or with commas between; without it all.",
        examples=[["spark_webhook_success"]],
    )


class EventPage(ContractModel):
    """Events in their order."""

    items: list[FollowedEvent] = Field(max_length=200, description="Oldest first, at most `limit`.")
    next_cursor: str = Field(
        description="Always there: keep it once the items are handled, and send it as `after`.",
        examples=[CURSOR_EXAMPLE],
    )
    has_more: bool = Field(
        description="Whether there are more at this moment: ask again at once.", examples=[False]
    )


def _types() -> str:
    """A list for the contract."""
    kinds = ((event_type, KINDS[event_type]) for event_type in FOLLOWED)
    return "\n".join(
        f"- `{event_type}`: {kind.sentence}. {', '.join(f'`{key}`' for key in kind.data)}"
        for event_type, kind in kinds
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
    responses=LINKED | problems(*INTERNAL_PROBLEMS),
)
async def read_events(
    query: Annotated[EventQuery, Query()], opened: Opened, pages: Pages, caller: Reader
) -> EventPage:
    after = _place(query, pages)
    items: list[FollowedEvent] = []
    if query.begin:
        end, has_more = await skip_to_now(opened.sessions)
    else:
        items, end, has_more = await read_feed(
            opened.sessions, after, query.limit, query.types, caller=caller.name
        )
    next_cursor = pages.seal(end)
    if has_more and not query.begin:
        pages.link(next_cursor)
    return EventPage(items=items, next_cursor=next_cursor, has_more=has_more)


def _place(query: EventQuery, pages: Pages) -> int:
    """Raises FieldInvalidError."""
    given = {"after": query.after, "cursor": query.cursor, "from": query.begin}
    name, *more = [name for name, value in given.items() if value] or ["after"]
    if more:
        raise FieldInvalidError(name=more[0], hint=f"Send it without `{name}`.")
    cursor = query.after or query.cursor
    return pages.open(cursor, field=name) if cursor else BEGINNING
