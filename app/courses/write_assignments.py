"""What a course message makes of the course's assignments: template tasks, mapped and retired."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import case, select, update
from sqlalchemy.dialects.postgresql import insert

from app.courses.course import CourseAssignment
from app.database import Session
from app.learning.lost_templates import PILLAR
from app.models import CourseQuestTask, SparkAssignment
from app.models.columns import TASK_XP

# By a person, so they are the main app's.
_CHOSEN = select(SparkAssignment.task_id).where(
    SparkAssignment.mapped_at.is_not(None), SparkAssignment.task_id.is_not(None)
)
# Unless the task is gone, and was not found again.
_STAYS = SparkAssignment.mapped_at.is_not(None) & SparkAssignment.task_id.is_not(None)


async def find_tasks(session: Session, course_id: UUID) -> dict[str, UUID]:
    """The template of each assignment that the course has had, and still has one."""
    found = await session.execute(
        select(SparkAssignment.spark_assignment_id, SparkAssignment.task_id).where(
            SparkAssignment.course_id == course_id, SparkAssignment.task_id.is_not(None)
        )
    )
    return {row.spark_assignment_id: row.task_id for row in found}


async def write_tasks(
    session: Session,
    assignments: Sequence[CourseAssignment],
    tasks: dict[str, UUID],
    *,
    quest_id: UUID,
    now: datetime,
) -> None:
    """The pillar and XP that the main app set stay; of a task that a person chose, all stays."""
    new = insert(CourseQuestTask)
    written = new.on_conflict_do_update(
        index_elements=[CourseQuestTask.id],
        set_={
            column: new.excluded[column]
            for column in ("title", "description", "order_index", "is_required", "updated_at")
        },
    )
    chosen = await session.execute(_CHOSEN.where(SparkAssignment.task_id.in_(tasks.values())))
    theirs = set(chosen.scalars())
    rows: list[dict[str, Any]] = [
        {
            "id": tasks[item.spark_assignment_id],
            "quest_id": quest_id,
            "title": item.title,
            "description": item.description,
            "pillar": PILLAR,
            "xp_value": TASK_XP,
            "order_index": place,
            "is_required": True,
            "updated_at": now,
        }
        for place, item in enumerate(assignments)
        if tasks[item.spark_assignment_id] not in theirs
    ]
    if rows:
        await session.execute(written, rows)


async def map_tasks(
    session: Session,
    assignments: Sequence[CourseAssignment],
    tasks: dict[str, UUID],
    *,
    course_id: UUID,
    now: datetime,
) -> None:
    new = insert(SparkAssignment)
    mapped = new.on_conflict_do_update(
        index_elements=[SparkAssignment.course_id, SparkAssignment.spark_assignment_id],
        set_={
            column: new.excluded[column]
            for column in ("task_id", "spark_title", "place", "due_date")
        }
        | {
            "title": case((_STAYS, SparkAssignment.title), else_=new.excluded.title),
            "mapped_at": case((_STAYS, SparkAssignment.mapped_at)),
            "retired_at": None,
            "updated_at": now,
        },
    )
    rows = [
        {
            "course_id": course_id,
            "spark_assignment_id": item.spark_assignment_id,
            "task_id": tasks[item.spark_assignment_id],
            "title": item.title,
            "spark_title": item.title,
            "place": place,
            "due_date": item.due_date,
        }
        for place, item in enumerate(assignments)
    ]
    if rows:
        await session.execute(mapped, rows)


async def retire_others(
    session: Session, kept: Sequence[str], *, course_id: UUID, now: datetime
) -> int:
    """Nobody has to hand in what Spark no longer names. An empty list retires nothing."""
    if not kept:
        return 0
    retired = await session.execute(
        update(SparkAssignment)
        .where(
            SparkAssignment.course_id == course_id,
            SparkAssignment.spark_assignment_id.not_in(kept),
            SparkAssignment.retired_at.is_(None),
        )
        .values(retired_at=now, updated_at=now)
        .returning(SparkAssignment.task_id)
    )
    task_ids = list(retired.scalars())
    await session.execute(
        update(CourseQuestTask)
        .where(CourseQuestTask.id.in_(task_ids), CourseQuestTask.id.not_in(_CHOSEN))
        .values(is_required=False)
    )
    return len(task_ids)
