"""How many signed in, handed in, came by URL or were graded, and how many failed, hour by hour."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from app.activity.kinds import UNWRITTEN
from app.database import Sessions, Statement

# Failures that found no room are told by their route.
FLOWS: Mapping[str, tuple[str, ...]] = {
    "Sign-ins": (
        *("spark_sso_success", "spark_sso_failed"),
        *("spark_sso_token_expired", "spark_sso_invalid_token", "/spark/sso"),
    ),
    "Submissions": (
        *("spark_webhook_success", "spark_webhook_failed", "spark_webhook_invalid_signature"),
        *("spark_webhook_replay_attack", "/spark/webhook/submission"),
    ),
    "Files by URL": ("spark_file_download_success", "spark_file_download_failed"),
    "Grades": ("spark_grade_sync_success", "spark_grade_sync_failed"),
}

Outcomes = dict[str, list[tuple[int, int]]]  # of each flow, for each slot: succeeded, failed

_COUNT = Statement(
    f"""
    with counted as (
      select coalesce(max(hour) + interval '1 hour', '-infinity') as until
      from spark.activity_hours)
    select floor(extract(epoch from hour - :start::timestamptz)
        / extract(epoch from :width::interval))::int as slot,
      event_type, sum(events)::bigint as events
    from (
      select hour, event_type, events from spark.activity_hours where hour >= :start
      union all
      select date_trunc('hour', created_at, 'UTC'), event_type, count(*)
      from user_activity_events
      where event_category = 'lms' and created_at < :now::timestamptz
        and created_at >= greatest(:start, (select until from counted))
      group by 1, 2
      union all
      select date_trunc('hour', created_at, 'UTC'), page_url,
        sum((event_data ->> 'times')::bigint)
      from user_activity_events
      where event_category = 'lms' and event_type = '{UNWRITTEN}' and created_at >= :start
      group by 1, 2) hours
    group by 1, 2
    """  # noqa: S608 - our own words
)


async def count_outcomes(
    sessions: Sessions, start: datetime, width: timedelta, slots: int, *, now: datetime
) -> Outcomes:
    """From the full hour `start`, in slots of whole hours. They tell of nobody: not audited."""
    async with sessions() as session, session.begin():
        values = {"start": start, "width": width, "now": now}
        rows = await _COUNT.send(session, values)
    counts: Outcomes = {flow: [(0, 0)] * slots for flow in FLOWS}
    flow_of = {event_type: flow for flow, types in FLOWS.items() for event_type in types}
    for row in rows:
        if (flow := flow_of.get(row["event_type"])) and 0 <= row["slot"] < slots:
            good, bad = counts[flow][row["slot"]]
            is_good = "success" in row["event_type"]
            counts[flow][row["slot"]] = (
                good + row["events"] * is_good,
                bad + row["events"] * (not is_good),
            )
    return counts
