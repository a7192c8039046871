"""The admin's log panel: what it asks for and what it reads (CONTRACT 9.2)."""

from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from app.api.internal.schemas import MOMENT_EXAMPLE, UUID_EXAMPLE, Success

FIRST_YEAR, LAST_YEAR = 1970, 9998  # moments near the ends of the calendar overflow
DATE_EXAMPLE = "2026-11-16"
MAX_TYPE_CHARACTERS = 100  # as the column

Status = Literal["success", "failed"]


def _first_moment(value: object) -> datetime:
    return _moment(str(value), time.min)


def _last_moment(value: object) -> datetime:
    return _moment(str(value), time.max)


def _moment(value: str, time_of_day: time) -> datetime:
    """Of an ISO date that time of its day in UTC; of an ISO moment itself. Raises ValueError."""
    try:
        moment = datetime.combine(date.fromisoformat(value), time_of_day)
    except ValueError:
        moment = datetime.fromisoformat(value)
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError("its year is out of range")
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


_DATE_OR_MOMENT = WithJsonSchema(
    {"anyOf": [{"type": "string", "format": kind} for kind in ("date", "date-time")]}
)
First = Annotated[datetime, BeforeValidator(_first_moment), _DATE_OR_MOMENT]
Last = Annotated[datetime, BeforeValidator(_last_moment), _DATE_OR_MOMENT]


class ActivityQuery(BaseModel):
    """Which events. Unknown parameters are refused: misspelt, a filter gives all."""

    model_config = ConfigDict(extra="forbid")

    start_date: First | None = Field(
        None,
        title="Start",
        description="ISO 8601 date or moment, UTC unless it says; default 7 days before the end.",
        examples=[DATE_EXAMPLE],
    )
    end_date: Last | None = Field(
        None,
        title="End",
        description="As `start_date`, a date with its whole day; default now.",
        examples=[DATE_EXAMPLE],
    )
    event_type: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_TYPE_CHARACTERS,
        pattern="^[a-z0-9_]+$",
        title="Event type",
        description="Only this type.",
        examples=["spark_webhook_failed"],
    )
    status: Status | None = Field(
        None, title="Status", description="Only events of this status.", examples=["failed"]
    )
    limit: int = Field(100, ge=1, le=500, title="Limit", description="Most events.", examples=[100])


class Event(BaseModel):
    """Something that happened."""

    id: UUID = Field(title="Event id", description="The event.", examples=[UUID_EXAMPLE])
    timestamp: datetime = Field(
        title="Timestamp", description="When it happened.", examples=[MOMENT_EXAMPLE]
    )
    event_type: str = Field(
        max_length=MAX_TYPE_CHARACTERS,
        title="Event type",
        description="What happened.",
        examples=["spark_webhook_success"],
    )
    event_category: str = Field(
        max_length=50, title="Event category", description="Always `lms`.", examples=["lms"]
    )
    user_id: UUID | None = Field(
        title="User id",
        description="Of whom; null for a failure that names nobody.",
        examples=[UUID_EXAMPLE],
    )
    user_name: str | None = Field(
        max_length=100,
        title="User name",
        description="The user's display name today.",
        examples=["Ada Example"],
    )
    duration_ms: int | None = Field(
        title="Duration",
        description="In milliseconds; known for recorded submissions.",
        examples=[412],
    )
    event_data: dict[str, Any] = Field(
        title="Event data",
        description="Depends on the type; failures have `error_type` and `error_message`.",
        examples=[{"spark_assignment_id": "test_assignment_001", "file_count": 1}],
    )
    description: str = Field(
        title="Description", description="For people.", examples=["Submission recorded"]
    )
    status: Status = Field(
        title="Status",
        description=(
            "`success` where the type contains that word, and for `spark_account_linked`,"
            " `spark_submission_restored` and `spark_evidence_updated`; else `failed`."
        ),
        examples=["success"],
    )


class ActivitySummary(BaseModel):
    """Of every event that the filters let through, listed or not."""

    success_count: int = Field(
        ge=0, title="Successes", description="Events with success.", examples=[59]
    )
    failed_count: int = Field(ge=0, title="Failures", description="The others.", examples=[1])
    success_rate: float = Field(
        ge=0,
        le=100,
        title="Success rate",
        description="Per cent, with one decimal; 0 without events.",
        examples=[98.3],
    )
    event_type_counts: dict[str, int] = Field(
        title="Counts by type",
        description="Types that did not happen are left out.",
        examples=[{"spark_webhook_success": 59, "spark_webhook_failed": 1}],
    )


class AppliedFilters(BaseModel):
    """What was asked for, with the defaults filled in."""

    start_date: datetime = Field(
        title="Start", description="The first moment.", examples=[MOMENT_EXAMPLE]
    )
    end_date: datetime = Field(
        title="End", description="The last moment.", examples=[MOMENT_EXAMPLE]
    )
    event_type: str | None = Field(
        max_length=MAX_TYPE_CHARACTERS,
        title="Event type",
        description="Null: all.",
        examples=["spark_webhook_failed"],
    )
    status: Status | None = Field(title="Status", description="Null: both.", examples=["failed"])
    limit: int = Field(ge=1, le=500, title="Limit", description="Most events.", examples=[100])


class ActivityData(BaseModel):
    """The newest events, and what they are taken from."""

    events: list[Event] = Field(
        max_length=500, title="Events", description="Newest first, at most `limit`."
    )
    total_count: int = Field(
        ge=0,
        title="Total",
        description="All events that the filters let through.",
        examples=[60],
    )
    summary: ActivitySummary = Field(title="Summary", description="Counts over all of them.")
    filters_applied: AppliedFilters = Field(title="Filters", description="As applied.")


class ActivityAnswer(BaseModel):
    """In the shape of the main app's log panel."""

    success: Success
    data: ActivityData = Field(title="Data", description="The events.")
