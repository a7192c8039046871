"""What who follows events reads."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from app.api.internal.schemas import MOMENT_EXAMPLE, UUID_EXAMPLE
from app.api.paging import CURSOR_EXAMPLE, CURSOR_PATTERN, LimitQuery


class EventQuery(LimitQuery):
    """From where on."""

    after: str | None = Field(
        None,
        pattern=CURSOR_PATTERN,
        title="After",
        description="The `next_cursor` of the page before; without it the oldest events.",
        examples=[CURSOR_EXAMPLE],
    )


class FollowedEvent(BaseModel):
    """Something that happened, and is committed."""

    id: UUID = Field(
        title="Event id",
        description="The same event again has the same id.",
        examples=[UUID_EXAMPLE],
    )
    type: str = Field(
        max_length=100,
        title="Type",
        description="What happened. Leave out the types you do not know.",
        examples=["spark_webhook_success"],
    )
    occurred_at: datetime = Field(
        title="Occurred at",
        description="When the act began that is recorded; not the order of this list.",
        examples=[MOMENT_EXAMPLE],
    )
    user_id: UUID | None = Field(
        title="User id",
        description="Of whom; null if it is of nobody in particular, or too old to tell.",
        examples=[UUID_EXAMPLE],
    )
    data: dict[str, Any] = Field(
        title="Data",
        description="Ids and counts; the route says which keys a type has.",
        examples=[{"completion_id": UUID_EXAMPLE, "submission_id": UUID_EXAMPLE}],
    )


class EventPage(BaseModel):
    """Events in their order; fewer than `limit` are all there are for now."""

    items: list[FollowedEvent] = Field(
        max_length=200, title="Items", description="Oldest first, at most `limit`."
    )
    next_cursor: str = Field(
        title="Next cursor",
        description="Always there: keep it once the items are handled, and send it as `after`.",
        examples=[CURSOR_EXAMPLE],
    )
