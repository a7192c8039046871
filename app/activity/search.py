"""The newest events for the admin's log panel, and the counts of everything they are taken from.

Filters and counts are SQL's, over the whole range and not over the page (CONTRACT 9.2). The counts
are those of whole hours that were counted before, and of the rest from an index alone. The page is
put together from the newest of each type that was counted, so that a rare kind of event is not
looked for row by row.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, TextClause, TextualSelect, text
from sqlalchemy.dialects.postgresql import JSONB

from app.activity.audit import record_audit_of_many
from app.activity.describe import describe_event
from app.activity.hours import COUNTED_UNTIL, HOUR
from app.activity.kinds import RATE_LIMITED, SUCCEEDED, UNWRITTEN
from app.activity.log_page import ActivityData, ActivityLogEvent, ActivitySummary, AppliedFilters
from app.database import Session, Sessions
from app.fields import REFERENCE_CHARACTERS
from app.models import LMS_EVENTS, REQUEST_ID

REFERENCE_DAYS = 30
SMALLEST = timedelta(microseconds=1)  # between two moments of the database


def _status(event_type: str) -> str:
    return f"""case when {event_type} like '%success%' or {event_type} in {SUCCEEDED}
        then 'success' else 'failed' end"""


def _counted(first: str, last: str) -> str:
    """What the index says of the moments from `first`, up to `last`."""
    return f"""
      select event_type, count(*) as events from user_activity_events
      where {LMS_EVENTS} and created_at >= {first} and created_at < {last} group by event_type"""  # noqa: S608


_PARTS = f"""{_counted(":start", ":first_hour")}
      union all select event_type, events from spark.activity_hours
      where hour >= :first_hour and hour < :last_hour
      union all {_counted(":last_hour", ":end")}"""  # noqa: S608
# Failures alone say of which request they are: few, so they are found by that and nothing else.
_OF_REQUEST = f"""
    with of_request as materialized (
      select * from user_activity_events where {LMS_EVENTS} and {REQUEST_ID} = :request_id)"""  # noqa: S608
_PARTS_OF_REQUEST = f"""{_OF_REQUEST}
      select event_type, count(*) as events from of_request
      where created_at >= :start and created_at < :end group by event_type"""  # noqa: S608
# Each row counts as one of them already.
MORE_UNWRITTEN = text(
    f"""
    select coalesce(sum((event_data ->> 'times')::bigint - 1), 0)::bigint
    from user_activity_events
    where {LMS_EVENTS} and event_type = '{UNWRITTEN}'
      and created_at >= :start and created_at < :end
    """  # noqa: S608
)


def _newest_of_types(columns: str, order: str, since: str) -> str:
    """Of each of the types the newest events, as many as are wanted of all."""
    # Type and moment are compared as one row: then one index alone gives this order. If each were
    # compared for itself, the planner would take the index by moments, and read all of a week for a
    # rare type.
    return f"""
      unnest(cast(:event_types as text[])) as type (event_type) cross join lateral (
        select {columns} from user_activity_events
        where {LMS_EVENTS}
          and (user_activity_events.event_type, created_at) >= (type.event_type, {since})
          and (user_activity_events.event_type, created_at) <= (type.event_type, :end_date)
        order by {order} limit cast(:at_most as bigint)) as event"""  # noqa: S608


_INDEXED = "user_activity_events.event_type desc, created_at desc"
# Read from the index alone: where a page begins that has as many of all types as are wanted.
_FIRST_ON_PAGE = f"""coalesce((
        select event.created_at from {_newest_of_types("created_at", _INDEXED, ":start_date")}
        order by event.created_at desc offset cast(:at_most as bigint) - 1 limit 1), :start_date)"""  # noqa: S608


def _page_of(events: str, *, after: str = "") -> TextualSelect:
    return text(
        f"""{after}
    select event.id, event.created_at as timestamp, event.event_type, event.event_category,
      event.user_id, (select display_name from users where users.id = event.user_id) as user_name,
      event.duration_ms, event.event_data,
      {_status("event.event_type")} as status
    from {events}
    order by event.created_at desc, event.id desc limit cast(:at_most as bigint)
    """  # noqa: S608
    ).columns(event_data=JSONB)


NEWEST = _page_of(_newest_of_types("*", f"{_INDEXED}, id desc", _FIRST_ON_PAGE))
_FAILURES = _page_of("of_request as event", after=_OF_REQUEST)
# A student names the end of an id alone. Failures to sign in are few, and soon forgotten.
_REFERRED = _page_of(
    "of_request as event",
    after=f"""
    with of_request as materialized (
      select * from user_activity_events where {LMS_EVENTS}
        and event_type in ('spark_sso_failed', 'spark_sso_token_expired',
          'spark_sso_invalid_token', 'spark_deep_link_failed')
        and created_at > now() - interval '{REFERENCE_DAYS} days'
        and right({REQUEST_ID}, {REFERENCE_CHARACTERS}) = :request_id)""",  # noqa: S608
)
NEWEST_OF_REQUEST = _page_of(
    """(select * from of_request where created_at between :start_date and :end_date
      and event_type = any (cast(:event_types as text[]))) as event""",
    after=_OF_REQUEST,
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


def select_counts(filters: AppliedFilters) -> TextClause:
    parts = _PARTS if filters.request_id is None else _PARTS_OF_REQUEST
    asked = filters.model_dump(include={"event_type", "status"}, exclude_none=True)
    wanted = " and ".join(f"{name} = :{name}" for name in asked) or "true"
    return text(
        f"""
    select event_type, status, sum(events)::bigint as events
    from (select part.*, {_status("event_type")} as status from ({parts}) part) counted
    where {wanted} group by event_type, status having sum(events) > 0 order by event_type
    """  # noqa: S608 - our own words
    ).bindparams(**asked)


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
    """The last one of a request that failed; also by what the page of a failed sign-in says."""
    is_reference = len(request_id) == REFERENCE_CHARACTERS
    for statement in (_FAILURES, *[_REFERRED] * is_reference):
        found = await session.execute(statement, {"request_id": request_id, "at_most": 1})
        if row := found.mappings().one_or_none():
            return _event(row)
    return None


def _event(row: RowMapping) -> ActivityLogEvent:
    data = row["event_data"] or {}
    duration_ms = row["duration_ms"]
    if duration_ms is None and isinstance(data.get("processing_time_ms"), int):
        duration_ms = data["processing_time_ms"]  # where a webhook says it
    said = {"description": describe_event(row["event_type"], data)}
    return ActivityLogEvent(**{**row, "event_data": data, "duration_ms": duration_ms, **said})
