"""The events of this integration, for the main app's log panel."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from app.activity.describe import describe_event
from app.activity.search import Activity, FoundEvent, Wanted, search_activity
from app.api.callers import READ
from app.api.dependencies import Now, Opened
from app.api.internal.activity_schemas import (
    ActivityAnswer,
    ActivityData,
    ActivityQuery,
    ActivitySummary,
    AppliedFilters,
    Event,
)
from app.api.problems import problems
from app.errors import (
    INTERNAL_PROBLEMS,
    FieldInvalidError,
)

router = APIRouter(prefix="/internal/v1", tags=["activity"], dependencies=[READ])

DEFAULT_SPAN = timedelta(days=7)


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
    query: Annotated[ActivityQuery, Query()], opened: Opened, now: Now
) -> ActivityAnswer:
    end = query.end_date or now
    wanted = Wanted(
        start_date=query.start_date or end - DEFAULT_SPAN,
        end_date=end,
        event_type=query.event_type,
        status=query.status,
    )
    if wanted.start_date > wanted.end_date:
        raise FieldInvalidError(name="start_date", hint="It lies after the end.")
    found = await search_activity(opened.sessions, wanted, limit=query.limit)
    return ActivityAnswer(
        success=True,
        data=ActivityData(
            events=[_event(event) for event in found.events],
            total_count=found.success_count + found.failed_count,
            summary=_summary(found),
            filters_applied=AppliedFilters(**vars(wanted), limit=query.limit),
        ),
    )


def _event(event: FoundEvent) -> Event:
    facts = dict(vars(event))
    return Event(
        timestamp=facts.pop("created_at"),
        description=describe_event(event.event_type, event.event_data),
        **facts,
    )


def _summary(found: Activity) -> ActivitySummary:
    total = found.success_count + found.failed_count
    return ActivitySummary(
        success_count=found.success_count,
        failed_count=found.failed_count,
        success_rate=round(100 * found.success_count / total, 1) if total else 0.0,
        event_type_counts=dict(found.event_type_counts),
    )
