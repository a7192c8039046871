"""A person says which task of the quest an assignment means; no course message changes that."""

from datetime import datetime
from uuid import UUID

from app.activity.audit import record_audit
from app.courses.list_courses import MappedAssignment, read_assignment
from app.database import Session, Sessions, Statement, retried
from app.errors import FieldInvalidError, MappingConflictError, NotFoundError
from app.jobs.try_early import try_assignments
from app.learning.lost_templates import HOLD_QUEST, find_templates, take_template
from app.learning.task_copies import follow_templates

_LOCK = Statement("select quest_id from spark.courses where id = :course_id for update")
_ASSIGNMENT = Statement(
    """
    select id, task_id from spark.assignments
    where course_id = :course_id and spark_assignment_id = :named
    """
)
_TASK = Statement(
    """
    select t.title, a.spark_assignment_id
    from course_quest_tasks t left join spark.assignments a on a.task_id = t.id
    where t.id = :task_id and t.quest_id = :of_quest
    """
)
# What was paid with one task would be paid again with the other.
_HAS_WORK = Statement(
    """
    select from user_quest_tasks c
    join quest_task_completions k on k.task_id = c.id and k.user_id = c.user_id
    join spark.submission_revisions r on r.completion_id = k.id
    where c.quest_id = :of_quest and c.source_task_id = :task_id limit 1
    """
)
_CHOOSE = Statement(
    """
    update spark.assignments
    set task_id = :task_id, title = :title, mapped_at = :now, updated_at = :now
    where id = :id
    """
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
        found = await _ASSIGNMENT.send(session, named)
        if not found:
            raise NotFoundError(hint="The course has no such assignment.")
        assignment_id, was = found[0].values()
        title = await _check_task(session, task_id, quest_id, spark_assignment_id)
        if was != task_id:
            await _check_work(session, was, quest_id)
        chosen = {"id": assignment_id, "task_id": task_id, "title": title, "now": now}
        await _CHOOSE.send(session, chosen)
        await follow_templates(session, quest_id, now=now)
        await record_audit(
            session,
            caller,
            "sensitive_update",
            user_id=None,
            what="assignment_task",
            assignment_id=str(assignment_id),
            task_id=str(task_id),
            was=was and str(was),
        )
        await try_assignments(session, [spark_assignment_id])
        return await read_assignment(session, assignment_id)


async def _hold(session: Session, course_id: UUID) -> UUID:
    """The course and its quest, as a sync does. Raises NotFoundError."""
    found = await _LOCK.send(session, {"course_id": course_id})
    if not (found and found[0]["quest_id"]):
        raise NotFoundError(hint="There is no such course, or it was not synced yet.")
    quest_id: UUID = found[0]["quest_id"]
    await session.execute(HOLD_QUEST, {"of_quest": quest_id})
    await find_templates(session, quest_id)
    return quest_id


async def _check_task(
    session: Session, task_id: UUID, quest_id: UUID, spark_assignment_id: str
) -> str:
    """Its title. Raises FieldInvalidError or MappingConflictError."""
    await take_template(session, task_id, quest_id)
    found = await _TASK.send(session, {"task_id": task_id, "of_quest": quest_id})
    if not found:
        raise FieldInvalidError(name="task_id", hint=NOT_ITS_TASK)
    if found[0]["spark_assignment_id"] not in (None, spark_assignment_id):
        hint = "Another assignment has this task: give that one another task first."
        raise MappingConflictError(hint=hint)
    return str(found[0]["title"])


async def _check_work(session: Session, task_id: UUID | None, quest_id: UUID) -> None:
    """Raises MappingConflictError."""
    if await _HAS_WORK.send(session, {"task_id": task_id, "of_quest": quest_id}):
        hint = "Homework is recorded with the task it has now, and would be paid twice."
        raise MappingConflictError(hint=hint)
