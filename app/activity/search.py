"""The newest events for the admin's log panel, and the counts of everything they are taken from.

Filters and counts are SQL's, over the whole range and not over the page (CONTRACT 9.2). The counts
are those of whole hours that were counted before, and of the rest from an index alone. The page is
put together from the newest of each type that was counted, so that a rare kind of event is not
looked for row by row.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    ColumnElement,
    FromClause,
    Integer,
    RowMapping,
    Select,
    SQLColumnExpression,
    String,
    Text,
    any_,
    bindparam,
    case,
    desc,
    func,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.sql.selectable import LateralFromClause

from app.activity.audit import record_audit_of_many
from app.activity.describe import describe_event
from app.activity.hours import COUNTED_UNTIL, HOUR
from app.activity.kinds import RATE_LIMITED, SUCCEEDED, UNWRITTEN
from app.activity.log_page import (
    ActivityData,
    ActivityLogEvent,
    ActivitySummary,
    AppliedFilters,
    Status,
)
from app.database import Session, Sessions
from app.models import LMS_EVENTS, REQUEST_ID, ActivityEvent, ActivityHour, User

SMALLEST = timedelta(microseconds=1)  # between two moments of the database


def _status(event_type: SQLColumnExpression[str]) -> ColumnElement[Status]:
    succeeded = event_type.contains("success") | event_type.in_(SUCCEEDED)
    return case((succeeded, "success"), else_="failed")


def _counted(first: str, last: str) -> Select[str, int]:
    """What the index says of the moments from `first`, up to `last`."""
    return (
        select(ActivityEvent.event_type, func.count().label("events"))
        .where(
            LMS_EVENTS,
            ActivityEvent.created_at >= bindparam(first),
            ActivityEvent.created_at < bindparam(last),
        )
        .group_by(ActivityEvent.event_type)
    )


_PARTS = union_all(
    _counted("start", "first_hour"),
    select(ActivityHour.event_type, ActivityHour.events).where(
        ActivityHour.hour >= bindparam("first_hour"), ActivityHour.hour < bindparam("last_hour")
    ),
    _counted("last_hour", "end"),
).subquery("parts")
# Failures alone say of which request they are: few, so they are found by that and nothing else.
_OF_REQUEST = (
    select(ActivityEvent)
    .where(LMS_EVENTS, bindparam("request_id", type_=Text) == REQUEST_ID)
    .cte("of_request")
    .prefix_with("MATERIALIZED")
)
_PARTS_OF_REQUEST = (
    select(_OF_REQUEST.c.event_type, func.count().label("events"))
    .where(_OF_REQUEST.c.created_at >= bindparam("start"))
    .where(_OF_REQUEST.c.created_at < bindparam("end"))
    .group_by(_OF_REQUEST.c.event_type)
    .subquery("parts")
)

_TIMES = ActivityEvent.event_data["times"].astext.cast(BigInteger)
# Each row counts as one of them already.
MORE_UNWRITTEN = select(func.coalesce(func.sum(_TIMES - 1), 0).cast(BigInteger)).where(
    LMS_EVENTS,
    ActivityEvent.event_type == UNWRITTEN,
    ActivityEvent.created_at >= bindparam("start"),
    ActivityEvent.created_at < bindparam("end"),
)

_TYPES = (
    func.unnest(bindparam("event_types", type_=ARRAY(String)))
    .table_valued("event_type")
    .render_derived()
)
_START: BindParameter[datetime] = bindparam("start_date")
_INDEXED = (ActivityEvent.event_type, ActivityEvent.created_at)


def _of_type(
    *columns: Any, order: Sequence[Any], since: ColumnElement[datetime]
) -> LateralFromClause:
    """Of one of `_TYPES` the newest events, as many as are wanted of all."""
    # Type and moment are compared as one row: then one index alone gives this order. If each were
    # compared for itself, the planner would take the index by moments, and read all of a week for a
    # rare type.
    return (
        select(*columns)
        .where(
            LMS_EVENTS,
            tuple_(*_INDEXED) >= tuple_(_TYPES.c.event_type, since),
            tuple_(*_INDEXED) <= tuple_(_TYPES.c.event_type, bindparam("end_date")),
        )
        .order_by(*map(desc, order))
        .limit(bindparam("at_most"))
        .lateral("of_type")
    )


# Read from the index alone: where a page begins that has as many of all types as are wanted.
_MOMENTS = _of_type(ActivityEvent.created_at, order=_INDEXED, since=_START)
_FIRST_ON_PAGE = (
    select(_MOMENTS.c.created_at)
    .select_from(_TYPES.join(_MOMENTS, true()))
    .order_by(desc(_MOMENTS.c.created_at))
    .offset(bindparam("at_most", type_=Integer) - 1)
    .limit(1)
    .scalar_subquery()
)
_FOUND = _of_type(
    ActivityEvent,
    order=(*_INDEXED, ActivityEvent.id),
    since=func.coalesce(_FIRST_ON_PAGE, _START),
)


def _page_of(events: FromClause) -> Select[*tuple[Any, ...]]:
    user_name = select(User.display_name).where(User.id == events.c.user_id).scalar_subquery()
    return (
        select(
            events.c.id,
            events.c.created_at.label("timestamp"),
            events.c.event_type,
            events.c.event_category,
            events.c.user_id,
            user_name.label("user_name"),
            events.c.duration_ms,
            events.c.event_data,
            _status(events.c.event_type).label("status"),
        )
        .order_by(desc(events.c.created_at), desc(events.c.id))
        .limit(bindparam("at_most"))
    )


NEWEST = _page_of(_FOUND).select_from(_TYPES.join(_FOUND, true()))
_FAILURES = _page_of(_OF_REQUEST)
NEWEST_OF_REQUEST = _FAILURES.where(
    _OF_REQUEST.c.created_at.between(_START, bindparam("end_date")),
    _OF_REQUEST.c.event_type == any_(bindparam("event_types", type_=ARRAY(String))),
)


async def search_activity(
    sessions: Sessions, filters: AppliedFilters, *, caller: str
) -> ActivityData:
    """The counts are exact; what they cost does not grow with the range. Audited."""
    async with sessions() as session, session.begin():
        counted_until = (await session.execute(COUNTED_UNTIL)).scalar_one()
        parts = _parts(filters, counted_until) | {"request_id": filters.request_id}
        counted = (await session.execute(select_counts(filters), parts)).all()
        counts = {event_type: events for event_type, _, events in counted}
        success_count = sum(events for _, status, events in counted if status == "success")
        failed_count = sum(counts.values()) - success_count - counts.get(RATE_LIMITED, 0)
        if counts.get(UNWRITTEN):
            failed_count += (await session.execute(MORE_UNWRITTEN, parts)).scalar_one()
        events = await _newest(session, filters, list(counts))
        whose = [event.user_id for event in events if event.user_id]
        await record_audit_of_many(session, caller, "sensitive_read", whose, what="activity")
        return ActivityData(
            events=events,
            total_count=sum(counts.values()),
            summary=_summary(counts, success_count, failed_count),
            filters_applied=filters,
        )


def _summary(counts: dict[str, int], success_count: int, failed_count: int) -> ActivitySummary:
    total = success_count + failed_count
    return ActivitySummary(
        success_count=success_count,
        failed_count=failed_count,
        success_rate=round(100 * success_count / total, 1) if total else 0.0,
        event_type_counts=counts,
    )


def _parts(filters: AppliedFilters, counted_until: datetime | None) -> dict[str, Any]:
    """Where the whole hours that were counted begin and end, and what lies around them."""
    start, end = filters.start_date, filters.end_date + SMALLEST
    first = _hour(start + HOUR - SMALLEST)
    last = min(_hour(end), counted_until or start)
    if first >= last:
        first = last = start
    return {"start": start, "first_hour": first, "last_hour": last, "end": end}


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def select_counts(filters: AppliedFilters) -> Select[str, Status, int]:
    parts = _PARTS if filters.request_id is None else _PARTS_OF_REQUEST
    event_type, status = parts.c.event_type, _status(parts.c.event_type)
    total = func.sum(parts.c.events).cast(BigInteger)
    counts = select(event_type, status, total).group_by(event_type).having(total > 0)
    if filters.event_type is not None:
        counts = counts.where(event_type == filters.event_type)
    if filters.status is not None:
        counts = counts.where(status == filters.status)
    return counts.order_by(event_type)


async def _newest(
    session: Session, filters: AppliedFilters, event_types: Sequence[str]
) -> list[ActivityLogEvent]:
    found = await session.execute(
        NEWEST if filters.request_id is None else NEWEST_OF_REQUEST,
        {
            "request_id": filters.request_id,
            "event_types": event_types,
            "start_date": filters.start_date,
            "end_date": filters.end_date,
            "at_most": filters.limit,
        },
    )
    return [_event(row) for row in found.mappings()]


async def find_failure(session: Session, request_id: str) -> ActivityLogEvent | None:
    """The last one of a request that failed."""
    found = await session.execute(_FAILURES, {"request_id": request_id, "at_most": 1})
    row = found.mappings().one_or_none()
    return _event(row) if row else None


def _event(row: RowMapping) -> ActivityLogEvent:
    data = row["event_data"] or {}
    duration_ms = row["duration_ms"]
    if duration_ms is None and isinstance(data.get("processing_time_ms"), int):
        duration_ms = data["processing_time_ms"]  # where a webhook says it
    said = {"description": describe_event(row["event_type"], data)}
    return ActivityLogEvent(**{**row, "event_data": data, "duration_ms": duration_ms, **said})
