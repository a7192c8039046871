"""The transaction: a course becomes a quest, its assignments template tasks, and both follow Spark.

The course's row is locked first, so two messages at once end as one of them entirely. Students who
are enrolled get new tasks, and untouched ones follow; nothing with work in it is deleted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from app.activity.record_event import record_event
from app.courses.copy_course import carry_over
from app.courses.course import CoursePayload
from app.courses.message_order import Last, check_order
from app.courses.write_assignments import find_tasks, write_assignments
from app.database import Session, Sessions, Statement, retried
from app.deliveries.inbox import Entry, keep_delivery
from app.deliveries.open import Delivery
from app.deliveries.payload import Subject
from app.fields import AnswerWarning
from app.jobs.try_early import try_assignments
from app.learning.lost_templates import find_templates
from app.learning.organisations import has_organisation
from app.learning.task_copies import follow_templates
from app.models import PLATFORM, Quest
from app.settings import Settings


@dataclass(frozen=True)
class CourseSync:
    """What a sync did; `task_count` are tasks that were made or updated."""

    quest_id: UUID
    title: str
    is_new: bool
    task_count: int
    retired: int
    warnings: Sequence[AnswerWarning]


async def rehearse_sync(
    sessions: Sessions, settings: Settings, course: CoursePayload, entry: Entry, delivery: Delivery
) -> CourseSync:
    """What a sync would do, and raises; everything is undone."""
    async with sessions() as session, session.begin() as transaction:
        synced = await _sync(session, settings, course, entry, delivery)
        await transaction.rollback()
    return synced


@retried
async def sync_course(
    sessions: Sessions, settings: Settings, course: CoursePayload, entry: Entry, delivery: Delivery
) -> CourseSync:
    """Atomic; the same state again changes nothing. Raises MessageSupersededError."""
    async with sessions() as session, session.begin():
        synced = await _sync(session, settings, course, entry, delivery)
        await record_event(
            session,
            "spark_course_sync_success",
            user_id=None,
            session_id=entry.id,
            data={
                "spark_org_id": course.spark_org_id,
                "spark_course_id": course.spark_course_id,
                "quest_id": str(synced.quest_id),
                "task_count": synced.task_count,
                "retired_count": synced.retired,
            },
            page_url=entry.route,
        )
        await keep_delivery(session, entry, Subject(spark_course_id=course.spark_course_id))
    return synced


async def _sync(
    session: Session, settings: Settings, course: CoursePayload, entry: Entry, delivery: Delivery
) -> CourseSync:
    now = delivery.now
    course_id, known_quest, last = await _lock_course(session, course, now=now)
    requires_time, sent_at = settings.webhook_require_time, course.sent_at
    warnings = await check_order(session, entry, last, sent_at=sent_at, requires_time=requires_time)
    quest_id = known_quest or delivery.new_id()
    await _write_quest(session, course, quest_id=quest_id, now=now)
    marks = {"digest": entry.digest, "said_at": sent_at}
    await _TAKEN.send(session, marks | {"course": course_id, "quest": quest_id})
    await find_templates(session, quest_id)
    assignments = course.assignments or []
    known = await find_tasks(session, course_id)
    tasks = {
        item.spark_assignment_id: known.get(item.spark_assignment_id) or delivery.new_id()
        for item in assignments
    }
    retired = await write_assignments(
        session, assignments, tasks, course_id=course_id, quest_id=quest_id, now=now
    )
    warnings += await carry_over(session, course, course_id, quest_id, now=now)
    await follow_templates(session, quest_id, now=now)
    await try_assignments(session, list(tasks.keys() - known.keys()))
    return CourseSync(
        quest_id=quest_id,
        title=course.course_title,
        is_new=known_quest is None,
        task_count=len(tasks),
        retired=retired,
        warnings=[*warnings, *await _miss_organisation(session, course)],
    )


# The predecessor's course, which knew no organisation, is that of the first one whose message names
# it (ADOPTION #21): no message of ours has made it.
_LOCK = Statement(
    f"""
    with theirs as (
      update spark.courses mapped set spark_org_id = :org_id, synced_at = :now
      where lms_platform = '{PLATFORM}' and spark_course_id = :course_id and spark_org_id = ''
        and course_digest is null and :org_id <> '' and not exists (
          select from spark.courses named where named.lms_platform = mapped.lms_platform
            and named.spark_course_id = :course_id and named.spark_org_id <> '')
      returning *),
    ours as (
      insert into spark.courses (lms_platform, spark_org_id, spark_course_id, synced_at)
      select '{PLATFORM}', :org_id::text, :course_id::text, :now::timestamptz
      where not exists (select from theirs)
      on conflict (lms_platform, spark_org_id, spark_course_id) do update
      set synced_at = excluded.synced_at
      returning *)
    select id, quest_id, course_digest, course_sent_at
    from (select * from theirs union all select * from ours) course
    """  # noqa: S608 - our own word
)
_TAKEN = Statement(
    """
    update spark.courses set quest_id = :quest, course_digest = :digest,
      course_sent_at = coalesce(:said_at, course_sent_at)
    where id = :course
    """
)


async def _lock_course(
    session: Session, course: CoursePayload, *, now: datetime
) -> tuple[UUID, UUID | None, Last]:
    """The course, its quest if it has one, and the marks of the message taken last."""
    named = {"org_id": course.spark_org_id or "", "course_id": course.spark_course_id, "now": now}
    [locked] = await _LOCK.send(session, named)
    last = (locked["course_digest"], locked["course_sent_at"])
    return locked["id"], locked["quest_id"], last


async def _miss_organisation(session: Session, course: CoursePayload) -> list[AnswerWarning]:
    if course.spark_org_id or not await has_organisation(session, course.spark_course_id):
        return []
    detail = "Without it this is not the course of this id that has an organisation."
    return [AnswerWarning(code="organisation_missing", detail=detail, field="spark_org_id")]


async def _write_quest(
    session: Session, course: CoursePayload, *, quest_id: UUID, now: datetime
) -> None:
    shown = {
        "title": course.course_title,
        "description": course.course_description,
        "is_active": True,
        "updated_at": now,
    }
    await session.execute(
        insert(Quest)
        .values(
            id=quest_id,
            quest_type="course",
            is_public=False,
            lms_platform=PLATFORM,
            lms_course_id=course.spark_course_id,
            **shown,
        )
        .on_conflict_do_update(index_elements=[Quest.id], set_=shown)
    )
