"""What the admin's log panel reads (CONTRACT 9.2)."""

from typing import Annotated, Any, Literal

from pydantic import Field

from app.fields import UUID_EXAMPLE, ContractModel, Id, Moment, NullableId

Status = Literal["success", "failed"]
EventType = Annotated[str, Field(max_length=100)]  # as the column
Limit = Annotated[int, Field(ge=1, le=500, description="Most events.", examples=[100])]


class ActivityLogEvent(ContractModel):
    """Something that happened."""

    id: Id = Field(title="Event id", description="The event.")
    timestamp: Moment = Field(description="When it happened.")
    event_type: EventType = Field(description="What happened.", examples=["spark_webhook_success"])
    event_category: str = Field(max_length=50, description="Always `lms`.", examples=["lms"])
    user_id: NullableId = Field(description="Of whom; null for a failure that names nobody.")
    user_name: str | None = Field(
        max_length=100, description="The user's display name today.", examples=["Ada Example"]
    )
    duration_ms: int | None = Field(
        title="Duration",
        description="In milliseconds; known for recorded submissions.",
        examples=[412],
    )
    event_data: dict[str, Any] = Field(
        description="Depends on the type; failures have `error_type` and `error_message`,"
        " and those of a request that was refused its `request_id`; refused homework that was"
        " signed has `spark_assignment_id`. `error_type` `unavailable` means that it was answered"
        " 503. `spark_rate_limited` (answered 429, `error_type` `rate_limited`) and"
        " `spark_failures_unwritten` (too many at once, as while the database was away) say in"
        " `times` how many, a row a minute.",
        examples=[{"spark_assignment_id": "test_assignment_001", "file_count": 1}],
    )
    description: str = Field(description="For people.", examples=["Submission recorded"])
    status: Status = Field(
        description=(
            "`success` where the type contains that word, and for `spark_account_linked`,"
            " `spark_submission_restored` and `spark_evidence_updated`; else `failed`."
        ),
        examples=["success"],
    )


class ActivitySummary(ContractModel):
    """Of every event that the filters let through, listed or not."""

    success_count: int = Field(
        ge=0, title="Successes", description="Events with success.", examples=[59]
    )
    failed_count: int = Field(
        ge=0,
        title="Failures",
        description="The others, without `spark_rate_limited`; of `spark_failures_unwritten` all"
        " their `times`.",
        examples=[1],
    )
    success_rate: float = Field(
        ge=0,
        le=100,
        description="Successes among successes and failures, per cent, with one decimal; 0 without"
        " any. What was answered 503 has failed; what was answered 429 does not count.",
        examples=[98.3],
    )
    event_type_counts: dict[str, int] = Field(
        title="Counts by type",
        description="Types that did not happen are left out.",
        examples=[{"spark_webhook_success": 59, "spark_webhook_failed": 1}],
    )


class AppliedFilters(ContractModel):
    """What was asked for, with the defaults filled in."""

    start_date: Moment = Field(title="Start", description="The first moment.")
    end_date: Moment = Field(title="End", description="The last moment.")
    event_type: EventType | None = Field(
        description="Null: all.", examples=["spark_webhook_failed"]
    )
    status: Status | None = Field(description="Null: both.", examples=["failed"])
    request_id: str | None = Field(description="Null: of any request.", examples=[UUID_EXAMPLE])
    limit: Limit


class ActivityData(ContractModel):
    """The newest events, and what they are taken from."""

    events: list[ActivityLogEvent] = Field(
        max_length=500, description="Newest first, at most `limit`."
    )
    total_count: int = Field(
        ge=0, title="Total", description="All events that the filters let through.", examples=[60]
    )
    summary: ActivitySummary = Field(description="Counts over all of them.")
    filters_applied: AppliedFilters = Field(title="Filters", description="As applied.")
