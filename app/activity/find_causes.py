"""Why things failed: by code, with how many still are refused, and of how many students."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from app.activity.kinds import KINDS, SUCCEEDED
from app.clock import first_id
from app.database import Sessions, Statement, read_as
from app.errors import ServiceError, kinds

MOST_CAUSES = 50
FAILED = [kind for kind in KINDS if "success" not in kind and kind not in SUCCEEDED]


class Cause(NamedTuple):
    """`times` is what was counted, `refused` what lies in the inbox and could be mended, of so many
    `students`. The example is a delivery, or else a request.
    """

    code: str
    event_type: str | None
    times: int
    refused: int
    students: int
    last_seen: datetime
    delivery_id: str | None
    request_id: str | None


# Events of failures say the title; kinds of an error have its code, so the first of each counts.
ERRORS: Mapping[str, type[ServiceError]] = {
    error.code: error for error in reversed([*kinds()]) if error.__dict__.get("code")
} | {ServiceError.code: ServiceError}
_NAMES = {error.title: code for code, error in ERRORS.items()}

_FIND = Statement(
    """
    with names as (select * from unnest(:titles::text[], :codes::text[]) as n (title, code)),
    failed as (
      select coalesce(names.code, said.name) as code, min(event_type) as event_type,
        sum(times)::bigint as times, max(last_seen) as last_seen, max(request_id) as request_id
      from (
        select event_type, left(coalesce(event_data ->> 'error_message', event_data ->> 'code',
            event_data ->> 'error_type', event_type), 100) as name,
          sum(coalesce((event_data ->> 'times')::bigint, 1)) as times,
          max(created_at) as last_seen, max(event_data ->> 'request_id') as request_id
        from user_activity_events
        where event_category = 'lms' and event_type = any(:failed::text[])
          and created_at >= :start::timestamptz
        group by 1, 2) said
      left join names on names.title = said.name
      group by 1),
    kept as (
      select code, sum(refused)::bigint as refused, count(spark_user_id) as students,
        max(last_seen) as last_seen, max(delivery_id) as delivery_id
      from (
        select code, spark_user_id, count(*) as refused, max(received_at) as last_seen,
          max(id::text) as delivery_id
        from spark.deliveries
        where code is not null and id >= :first_id::uuid and received_at >= :start
        group by code, spark_user_id) of_student
      group by code)
    select code, event_type, greatest(times, refused) as times, coalesce(refused, 0) as refused,
      coalesce(students, 0) as students, greatest(failed.last_seen, kept.last_seen) as last_seen,
      delivery_id, request_id
    from failed full join kept using (code)
    order by times desc, code limit :most::int
    """
)
# For disks that turn, all events of the week are read rather than the failures, which lie apart.
_NEAR = Statement("select set_config('random_page_cost', '1.1', true)")


async def find_causes(sessions: Sessions, start: datetime) -> list[Cause]:
    """The most frequent first, MOST_CAUSES at most. They name nobody: not audited."""
    values = {
        "titles": list(_NAMES),
        "codes": list(_NAMES.values()),
        "failed": FAILED,
        "start": start,
        "first_id": first_id(start),
        "most": MOST_CAUSES,
    }
    async with sessions() as session, session.begin():
        await _NEAR.send(session, {})
        return [read_as(Cause, row) for row in await _FIND.send(session, values)]
