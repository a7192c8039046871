"""The transaction: a course becomes a quest, its assignments template tasks, and both follow Spark.

The course's row is locked first, so two messages at once end as one of them entirely. Students who
are enrolled get new tasks, and untouched ones follow; nothing with work in it is deleted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, func, update
from sqlalchemy.dialects.postgresql import insert

from app.activity.record_event import record_event
from app.courses.copy_course import carry_over
from app.courses.course import CoursePayload
from app.courses.message_order import Last, check_order
from app.courses.write_assignments import find_tasks, write_assignments
from app.database import Session, Sessions, retried
from app.deliveries.inbox import Entry, keep_delivery
from app.deliveries.open import Delivery
from app.deliveries.payload import Subject
from app.fields import AnswerWarning
from app.jobs.try_early import try_assignments
from app.learning.lost_templates import find_templates
from app.learning.organisations import has_organisation
from app.learning.task_copies import follow_templates
from app.models import PLATFORM, Quest, SparkCourse


@dataclass(frozen=True)
class CourseSync:
    """What a sync did: tasks by what became of them; and what was noticed."""

    quest_id: UUID
    title: str
    is_new: bool
    created: int
    updated: int
    retired: int
    warnings: Sequence[AnswerWarning]

    @property
    def task_count(self) -> int:
        return self.created + self.updated


async def rehearse_sync(
    sessions: Sessions,
    course: CoursePayload,
    entry: Entry,
    delivery: Delivery,
    *,
    requires_time: bool,
) -> CourseSync:
    """What a sync would do, and raises; everything is undone."""
    async with sessions() as session, session.begin() as transaction:
        synced = await _sync(session, course, entry, delivery, requires_time=requires_time)
        await transaction.rollback()
    return synced


@retried
async def sync_course(
    sessions: Sessions,
    course: CoursePayload,
    entry: Entry,
    delivery: Delivery,
    *,
    requires_time: bool,
) -> CourseSync:
    """Atomic; the same state again changes nothing. Raises MessageSupersededError."""
    async with sessions() as session, session.begin():
        synced = await _sync(session, course, entry, delivery, requires_time=requires_time)
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
    session: Session,
    course: CoursePayload,
    entry: Entry,
    delivery: Delivery,
    *,
    requires_time: bool,
) -> CourseSync:
    now = delivery.now
    course_id, known_quest, last = await _lock_course(session, course, now=now)
    warnings = await check_order(
        session, entry, last, sent_at=course.sent_at, requires_time=requires_time
    )
    quest_id = known_quest or delivery.new_id()
    await _write_quest(session, course, quest_id=quest_id, now=now)
    marks = {"digest": entry.digest, "said_at": course.sent_at}
    await session.execute(_TAKEN, marks | {"course": course_id, "quest": quest_id})
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
    new = tasks.keys() - known.keys()
    await try_assignments(session, list(new))
    return CourseSync(
        quest_id=quest_id,
        title=course.course_title,
        is_new=known_quest is None,
        created=len(new),
        updated=len(tasks) - len(new),
        retired=retired,
        warnings=[*warnings, *await _miss_organisation(session, course)],
    )


_NEW = insert(SparkCourse)
_LOCK = _NEW.on_conflict_do_update(
    index_elements=[
        SparkCourse.lms_platform,
        SparkCourse.spark_org_id,
        SparkCourse.spark_course_id,
    ],
    set_={"synced_at": _NEW.excluded.synced_at},
).returning(
    SparkCourse.id, SparkCourse.quest_id, SparkCourse.course_digest, SparkCourse.course_sent_at
)
_TAKEN = (
    update(SparkCourse)
    .where(SparkCourse.id == bindparam("course"))
    .values(
        quest_id=bindparam("quest"),
        course_digest=bindparam("digest"),
        course_sent_at=func.coalesce(bindparam("said_at"), SparkCourse.course_sent_at),
    )
)


async def _lock_course(
    session: Session, course: CoursePayload, *, now: datetime
) -> tuple[UUID, UUID | None, Last]:
    """The course, its quest if it has one, and the marks of the message taken last."""
    locked = await session.execute(
        _LOCK,
        {
            "lms_platform": PLATFORM,
            "spark_org_id": course.spark_org_id or "",
            "spark_course_id": course.spark_course_id,
            "synced_at": now,
        },
    )
    course_id, quest_id, digest, sent_at = locked.one()
    return course_id, quest_id, (digest, sent_at)


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
