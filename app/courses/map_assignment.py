"""A person says which task of the quest an assignment means; no course message changes that."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Uuid, bindparam, select, text, update

from app.activity.audit import record_audit
from app.courses.list_courses import MappedAssignment, read_assignment
from app.database import Session, Sessions, retried
from app.errors import FieldInvalidError, MappingConflictError, NotFoundError
from app.jobs.try_early import try_assignments
from app.learning.lost_templates import HOLD_QUEST, find_templates, take_template
from app.learning.task_copies import follow_templates
from app.models import CourseQuestTask, SparkAssignment, SparkCourse

_LOCK = (
    select(SparkCourse.quest_id).where(SparkCourse.id == bindparam("course_id")).with_for_update()
)
_ASSIGNMENT = select(SparkAssignment.id, SparkAssignment.task_id).where(
    SparkAssignment.course_id == bindparam("course_id"),
    SparkAssignment.spark_assignment_id == bindparam("named"),
)
_TASK = (
    select(CourseQuestTask.title, SparkAssignment.spark_assignment_id)
    .outerjoin(SparkAssignment, SparkAssignment.task_id == CourseQuestTask.id)
    .where(
        CourseQuestTask.id == bindparam("task_id"),
        CourseQuestTask.quest_id == bindparam("of_quest"),
    )
)
# What was paid with one task would be paid again with the other.
_HAS_WORK = text(
    """
    select exists (
      select from user_quest_tasks c
      join quest_task_completions k on k.task_id = c.id and k.user_id = c.user_id
      join spark.submission_revisions r on r.completion_id = k.id
      where c.quest_id = :of_quest and c.source_task_id = :task_id)
    """
).bindparams(bindparam("task_id", type_=Uuid))
_CHOOSE = (
    update(SparkAssignment)
    .where(SparkAssignment.id == bindparam("assignment_id"))
    .values(
        task_id=bindparam("chosen"),
        title=bindparam("called"),
        mapped_at=bindparam("at"),
        updated_at=bindparam("at"),
    )
)
NOT_ITS_TASK = "It must be a task of the course's quest, in course_quest_tasks."


@retried
async def map_assignment(
    sessions: Sessions,
    course_id: UUID,
    spark_assignment_id: str,
    task_id: UUID,
    *,
    caller: str,
    now: datetime,
) -> MappedAssignment:
    """Audited; the same again changes nothing but the moment. The students get their copies.

    Raises NotFoundError, FieldInvalidError or MappingConflictError.
    """
    async with sessions() as session, session.begin():
        quest_id = await _hold(session, course_id)
        named = {"course_id": course_id, "named": spark_assignment_id}
        assignment = (await session.execute(_ASSIGNMENT, named)).one_or_none()
        if assignment is None:
            raise NotFoundError
        title = await _check_task(session, task_id, quest_id, spark_assignment_id)
        if assignment.task_id != task_id:
            await _check_work(session, assignment.task_id, quest_id)
        chosen = {"assignment_id": assignment.id, "chosen": task_id, "called": title, "at": now}
        await session.execute(_CHOOSE, chosen)
        await follow_templates(session, quest_id, now=now)
        was = assignment.task_id and str(assignment.task_id)
        await record_audit(
            session,
            caller,
            "sensitive_update",
            user_id=None,
            what="assignment_task",
            assignment_id=str(assignment.id),
            task_id=str(task_id),
            was=was,
        )
        await try_assignments(session, [spark_assignment_id])
        return await read_assignment(session, assignment.id)


async def _hold(session: Session, course_id: UUID) -> UUID:
    """The course and its quest, as a sync does. Raises NotFoundError."""
    quest_id = (await session.execute(_LOCK, {"course_id": course_id})).scalar_one_or_none()
    if quest_id is None:
        raise NotFoundError
    await session.execute(HOLD_QUEST, {"of_quest": quest_id})
    await find_templates(session, quest_id)
    return quest_id


async def _check_task(
    session: Session, task_id: UUID, quest_id: UUID, spark_assignment_id: str
) -> str:
    """Its title. Raises FieldInvalidError or MappingConflictError."""
    await take_template(session, task_id, quest_id)
    found = await session.execute(_TASK, {"task_id": task_id, "of_quest": quest_id})
    task = found.one_or_none()
    if task is None:
        raise FieldInvalidError(name="task_id", hint=NOT_ITS_TASK)
    if task.spark_assignment_id not in (None, spark_assignment_id):
        hint = "Another assignment has this task: give that one another task first."
        raise MappingConflictError(hint=hint)
    return str(task.title)


async def _check_work(session: Session, task_id: UUID | None, quest_id: UUID) -> None:
    """Raises MappingConflictError."""
    found = await session.execute(_HAS_WORK, {"task_id": task_id, "of_quest": quest_id})
    if found.scalar_one():
        hint = "Homework is recorded with the task it has now, and would be paid twice."
        raise MappingConflictError(hint=hint)
