"""What a course message makes of the course's assignments: template tasks, mapped and retired."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from app.courses.course import CourseAssignment
from app.database import Session, Statement
from app.learning.lost_templates import PILLAR
from app.models import SparkAssignment
from app.models.columns import TASK_XP

# The pillar and XP that the main app set stay. A task that a person chose is the main app's: all of
# it stays, with the assignment's title, unless it is gone and was not found again.
_WRITE = Statement(
    f"""
    with item as (
      select * from jsonb_to_recordset(:items::jsonb) as item (task_id uuid,
        spark_assignment_id text, title text, description text, place int, due_date timestamptz)),
    template as (
      insert into course_quest_tasks
        (id, quest_id, title, description, pillar, xp_value, order_index, is_required, updated_at)
      select task_id, :quest_id::uuid, title, description, '{PILLAR}', {TASK_XP}, place, true,
        :now::timestamptz
      from item where not exists (
        select from spark.assignments a where a.task_id = item.task_id and a.mapped_at is not null)
      on conflict (id) do update set title = excluded.title, description = excluded.description,
        order_index = excluded.order_index, is_required = true, updated_at = :now)
    insert into spark.assignments as a
      (course_id, spark_assignment_id, task_id, title, spark_title, place, due_date)
    select :course_id::uuid, spark_assignment_id, task_id, title, title, place, due_date from item
    on conflict (course_id, spark_assignment_id) do update set
      title = case when a.mapped_at is not null and a.task_id is not null
        then a.title else excluded.title end,
      mapped_at = case when a.task_id is not null then a.mapped_at end,
      task_id = excluded.task_id, spark_title = excluded.spark_title, place = excluded.place,
      due_date = excluded.due_date, retired_at = null, updated_at = :now
    """  # noqa: S608 - our own words
)
_RETIRE = Statement(
    """
    with retired as (
      update spark.assignments set retired_at = :now::timestamptz, updated_at = :now
      where course_id = :course_id and spark_assignment_id <> all (:kept::text[])
        and retired_at is null
      returning task_id),
    eased as (
      update course_quest_tasks t set is_required = false
      from retired where t.id = retired.task_id and not exists (
        select from spark.assignments a where a.task_id = t.id and a.mapped_at is not null))
    select count(*) as retired from retired
    """
)


async def find_tasks(session: Session, course_id: UUID) -> dict[str, UUID]:
    """The template of each assignment that the course has had, and still has one."""
    found = await session.execute(
        select(SparkAssignment.spark_assignment_id, SparkAssignment.task_id).where(
            SparkAssignment.course_id == course_id, SparkAssignment.task_id.is_not(None)
        )
    )
    return {row.spark_assignment_id: row.task_id for row in found}


async def write_assignments(
    session: Session,
    assignments: Sequence[CourseAssignment],
    tasks: Mapping[str, UUID],
    *,
    course_id: UUID,
    quest_id: UUID,
    now: datetime,
) -> int:
    """`tasks` are their templates. How many others were retired: nobody has to hand in what Spark
    no longer names. An empty list changes nothing.
    """
    if not assignments:
        return 0
    items = [
        {
            "task_id": str(tasks[item.spark_assignment_id]),
            "spark_assignment_id": item.spark_assignment_id,
            "title": item.title,
            "description": item.description,
            "place": place,
            "due_date": item.due_date and item.due_date.isoformat(),
        }
        for place, item in enumerate(assignments)
    ]
    course = {"course_id": course_id, "quest_id": quest_id, "now": now}
    await _WRITE.send(session, course | {"items": json.dumps(items)})
    [row] = await _RETIRE.send(session, course | {"kept": list(tasks)})
    retired: int = row["retired"]
    return retired
