"""Homework that came before its student or course is tried again once that is there (DESIGN R41).

Who makes an account or a course orders it in the same transaction. Who refuses homework shares a
lock with them, so that one of the two sees what the other has written.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from app.database import Session, Statement
from app.errors import AssignmentAmbiguousError, AssignmentNotFoundError, StudentNotFoundError
from app.jobs.enqueue import ENQUEUE_SQL
from app.models import PLATFORM

BATCH_JOBS = 10_000  # in one statement, which has a time limit
REPLAY = "replay"  # the kind; its key is the delivery
# By the code of the refusal: what is missing.
MISSING = {
    StudentNotFoundError.code: "student",
    AssignmentNotFoundError.code: "course",
    AssignmentAmbiguousError.code: "course",
}

_CODES = ", ".join(f"'{code}'" for code in MISSING)
# ruff: noqa: S608 - of our own words


def outdated_sql(d: str) -> str:
    """Whether a newer message of the same student and assignment was taken, so that this row of
    the inbox has nothing to add. By index, row by row: for EXISTS the whole inbox may be read.
    """
    return f"""((
    select newer.id from spark.deliveries newer
    where newer.spark_user_id = {d}.spark_user_id and newer.id > {d}.id and newer.code is null
      and newer.spark_assignment_id = {d}.spark_assignment_id
    limit 1) is not null)"""


def waits_sql(d: str) -> str:
    """Whether this row of the inbox is homework that will be tried; what is nobody's never is."""
    return f"""({d}.code in ({_CODES}) and {d}.route = '/spark/webhook/submission'
  and {d}.media_type = 'application/json' and {d}.message is not null
  and {d}.spark_user_id is not null and not {outdated_sql(d)})"""


# Without an account nothing is tried: its own turn comes. In one order, so that two such acts
# cannot wait for each other.
_SOURCE = f"""
select '{REPLAY}' as kind, d.id::text as key, l.user_id, null::text as target,
  jsonb_build_object('early', true) as payload, now() as run_at
from spark.deliveries d
join lms_integrations l on l.lms_platform = '{PLATFORM}' and l.lms_user_id = d.spark_user_id
where {waits_sql("d")} and {{which}}
  and not exists (
    select from spark.jobs due
    where due.kind = '{REPLAY}' and due.key = d.id::text and due.state = 'waiting'
      and due.run_at <= now())
order by key limit {BATCH_JOBS}
"""


def _order(which: str) -> Statement:
    job = ENQUEUE_SQL.format(source=_SOURCE.format(which=which))
    return Statement(f"with {job} select id from enqueued")


OF_STUDENTS = _order("d.spark_user_id = any (:spark_user_ids::text[])")
OF_ASSIGNMENTS = _order("d.spark_assignment_id = any (:spark_assignment_ids::text[])")
# What came while its account or course was being made, by the time that takes at most. Of a replay
# the row was there to be seen.
_JUST_ARRIVED = _order(
    f"""d.id = :delivery_id and d.replayed_at is null and (
      d.code = '{StudentNotFoundError.code}' or exists (
        select from spark.assignments a
        where a.spark_assignment_id = d.spark_assignment_id
          and a.updated_at > d.received_at - interval '10 minutes')
      or exists (
        select from spark.links l
        where l.spark_assignment_id = d.spark_assignment_id
          and l.chosen_at > d.received_at - interval '10 minutes'))"""
)
# A student's is that of `lock_students`.
_SHARE_LOCKS = Statement(
    """
    select pg_advisory_xact_lock_shared(hashtextextended('student:' || :spark_user_id::text, 0)),
      pg_advisory_xact_lock_shared(hashtextextended('courses', 0))
    """
)
_LOCK_COURSES = Statement("select pg_advisory_xact_lock(hashtextextended('courses', 0))")


async def try_students(session: Session, spark_user_ids: Sequence[str]) -> None:
    """Of these, who are linked now. For whoever holds `lock_students`."""
    await _send(session, OF_STUDENTS, {"spark_user_ids": spark_user_ids})


async def try_assignments(session: Session, spark_assignment_ids: Sequence[str]) -> None:
    """For these, which mean something new now. Refusals wait until the transaction ends: last."""
    if spark_assignment_ids:
        await _LOCK_COURSES.send(session, {})
        await _send(session, OF_ASSIGNMENTS, {"spark_assignment_ids": spark_assignment_ids})


async def _send(session: Session, order: Statement, values: Mapping[str, Any]) -> None:
    """Until all are due."""
    while len(await order.send(session, values)) == BATCH_JOBS:
        pass


async def share_locks(session: Session, spark_user_id: str) -> None:
    """Before a refusal is written, which is then given to `try_arrived`."""
    await _SHARE_LOCKS.send(session, {"spark_user_id": spark_user_id})


async def try_arrived(session: Session, delivery_id: UUID) -> None:
    """If what it waits for has just come."""
    await _JUST_ARRIVED.send(session, {"delivery_id": delivery_id})
