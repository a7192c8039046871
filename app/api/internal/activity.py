"""The events of this integration, for the main app's log panel."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from app.activity.log_page import ActivityData, AppliedFilters, EventType, Limit, Status
from app.activity.search import search_activity
from app.api.callers import Reader
from app.api.dependencies import Now, Opened
from app.api.problem_groups import INTERNAL_PROBLEMS
from app.api.problems import problems
from app.clock import EPOCH
from app.errors import FieldInvalidError
from app.fields import ContractModel, FirstMoment, LastMoment, OfRequest, Success

router = APIRouter(prefix="/internal/v1", tags=["activity"])

DEFAULT_SPAN = timedelta(days=7)


class ActivityQuery(ContractModel):
    """Which events. Unknown parameters are refused: misspelt, a filter gives all."""

    model_config = ConfigDict(extra="forbid")

    start_date: FirstMoment = Field(
        None,
        title="Start",
        description=(
            "ISO 8601 date or moment, UTC unless it says; default 7 days before the end, and with"
            " `request_id` the oldest event."
        ),
    )
    end_date: LastMoment = Field(
        None, title="End", description="As `start_date`, a date with its whole day; default now."
    )
    event_type: EventType | None = Field(
        None,
        min_length=1,
        pattern="^[a-z0-9_]+$",
        description="Only this type.",
        examples=["spark_webhook_failed"],
    )
    status: Status | None = Field(
        None, description="Only events of this status.", examples=["failed"]
    )
    request_id: OfRequest = None
    limit: Limit = 100


class ActivityAnswer(ContractModel):
    """In the shape of the main app's log panel."""

    success: Success
    data: ActivityData = Field(description="The events.")


@router.get(
    "/activity",
    name="searchActivity",
    summary="Search the activity log",
    description=(
        "Events of category `lms`, newest first; filters narrow it together. Total and summary"
        " cover everything they let through, not only the events listed. Failures say"
        " `success: false` as well."
    ),
    responses=problems(*INTERNAL_PROBLEMS),
)
async def read_activity(
    query: Annotated[ActivityQuery, Query()], opened: Opened, now: Now, caller: Reader
) -> ActivityAnswer:
    end = query.end_date or now
    filters = AppliedFilters(
        start_date=query.start_date or (EPOCH if query.request_id else end - DEFAULT_SPAN),
        end_date=end,
        event_type=query.event_type,
        status=query.status,
        request_id=query.request_id,
        limit=query.limit,
    )
    if filters.start_date > filters.end_date:
        raise FieldInvalidError(name="start_date", hint="It lies after the end.")
    found = await search_activity(opened.sessions, filters, caller=caller.name)
    return ActivityAnswer(success=True, data=found)
