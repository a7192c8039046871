"""Students in whole courses: enrolled by a sign-in or a roster, dropped by a roster.

Every function runs in the caller's transaction. Nothing is deleted; who is dropped is inactive.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from app.activity.audit import record_audit_of_many
from app.adoption.log_out import log_out
from app.database import Session, Statement
from app.learning.enrolment import turn_sql
from app.learning.organisations import is_own_sql
from app.learning.task_copies import COPY_MISSING, THE_ENROLMENT
from app.models import PLATFORM

Enrolment = tuple[UUID, UUID]  # a user and a quest
PAIRS_AT_ONCE = 1000  # each copies its course's tasks, so that no statement meets its time limit

# Made, or active again, with their tasks. The students' turns are taken.
_ENROL = Statement(
    f"""
    with pair as (
      select distinct user_id, quest_id
      from unnest(:user_ids::uuid[], :quest_ids::uuid[]) as named (user_id, quest_id)),
    known as (
      select distinct on (user_id, quest_id) id, user_id, quest_id, is_active
      from pair join user_quests using (user_id, quest_id)
      order by user_id, quest_id, {THE_ENROLMENT}),
    woken as (
      update user_quests q set is_active = true, last_picked_up_at = :now::timestamptz
      from known where q.id = known.id and known.is_active is not true
      returning q.id, q.user_id, q.quest_id),
    made as (
      insert into user_quests
        (user_id, quest_id, started_at, last_picked_up_at, personalization_completed)
      select user_id, quest_id, :now, :now, true from pair
      where not exists (
        select from known k where k.user_id = pair.user_id and k.quest_id = pair.quest_id)
      returning id, user_id, quest_id),
    enrolled as (select * from woken union all select * from made),
    {COPY_MISSING}
    select user_id, quest_id from enrolled
    """  # noqa: S608 - of our own pieces
)
# Shared locks, in one order: a sync that goes on at this moment ends first, so that its new tasks
# are there to be copied; one that comes later sees who is enrolled.
# The student's turn is taken before a quest is locked: PostgreSQL locks what it is about to return.
_CLAIMED = Statement(
    f"""
    select quests.id, quests.lms_course_id,
      course.id is null or {is_own_sql("course.spark_org_id", ":user_id")} as is_own,
      {turn_sql(":user_id")}
    from quests left join spark.courses course on course.quest_id = quests.id
    where quests.lms_platform = '{PLATFORM}' and quests.quest_type = 'course' and quests.is_active
      and (:courses::text[] is null or quests.lms_course_id = any (:courses))
    order by quests.id
    for share of quests
    """  # noqa: S608 - of our own pieces
)
_DROP = Statement(
    """
    update user_quests set is_active = false
    where is_active
      and (user_id, quest_id) in (select * from unnest(:user_ids::uuid[], :quest_ids::uuid[]))
    returning user_id, quest_id
    """
)
# Of whom no course is left.
_REVOKE = Statement(
    f"""
    update spark.lms_sessions s set revoked_at = :now
    where user_id = any (:user_ids::uuid[]) and lms_platform = '{PLATFORM}' and revoked_at is null
      and not exists (
        select from user_quests e join quests q on q.id = e.quest_id
        where e.user_id = s.user_id and e.is_active and q.lms_platform = '{PLATFORM}')
    returning user_id
    """  # noqa: S608 - our own word
)


async def enrol_in_courses(
    session: Session, user_id: UUID, course_ids: Sequence[str] | None, *, now: datetime
) -> int:
    """In the courses of these Spark ids; None means in all of the student's own organisations.

    Of courses with one id only those of the student's own organisations, if there are any. How
    many enrolments are new or active again.
    """
    quests = await find_courses(session, user_id, course_ids)
    if not quests:
        return 0
    pairs = _columns([(user_id, quest_id) for quest_id in quests])
    return len(await _ENROL.send(session, pairs | {"now": now}))


async def find_courses(
    session: Session, user_id: UUID, course_ids: Sequence[str] | None
) -> dict[UUID, str]:
    """The quests that `enrol_in_courses` would enrol in, with the Spark ids of their courses."""
    courses = None if course_ids is None else list(course_ids)
    found = await _CLAIMED.send(session, {"user_id": user_id, "courses": courses})
    own = {quest["lms_course_id"] for quest in found if quest["is_own"]}
    return {
        quest["id"]: quest["lms_course_id"]
        for quest in found
        if quest["is_own"] or (courses is not None and quest["lms_course_id"] not in own)
    }


async def enrol_students(
    session: Session, pairs: Sequence[Enrolment], *, now: datetime
) -> set[Enrolment]:
    """Those that are new or active again. The caller has the students' turns."""
    enrolled: set[Enrolment] = set()
    ordered = sorted(pairs)  # as each statement does, so that no two acts wait for each other
    for first in range(0, len(ordered), PAIRS_AT_ONCE):
        part = ordered[first : first + PAIRS_AT_ONCE]
        found = await _ENROL.send(session, _columns(part) | {"now": now})
        enrolled |= {(row["user_id"], row["quest_id"]) for row in found}
    return enrolled


async def drop_students(
    session: Session, pairs: Sequence[Enrolment], *, now: datetime, caller: str
) -> set[Enrolment]:
    """Those that were active. Sessions of students without any other course are revoked, which is
    audited.
    """
    if not pairs:
        return set()
    found = await _DROP.send(session, _columns(pairs))
    dropped = {(row["user_id"], row["quest_id"]) for row in found}
    whose = {"user_ids": [user_id for user_id, _ in dropped], "now": now}
    ended = [row["user_id"] for row in await _REVOKE.send(session, whose)]
    if ended:
        await log_out(session, ended, now)
    await record_audit_of_many(session, caller, "authn_token_revoked", ended, sessions=len(ended))
    return dropped


def _columns(pairs: Sequence[Enrolment]) -> dict[str, Any]:
    return {
        "user_ids": [user_id for user_id, _ in pairs],
        "quest_ids": [quest_id for _, quest_id in pairs],
    }
