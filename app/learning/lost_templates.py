"""Templates that the main app's editor deleted and made anew: an assignment finds its own again.

An edit of a course deletes all its templates, in `course_quest_tasks` and `quest_template_tasks`,
and writes them with new ids (ADOPTION #20). What is kept of an assignment is its title and place.
"""

from uuid import UUID

from sqlalchemy import Uuid, bindparam, text

from app.adoption.shape import has_template_tasks
from app.database import Session
from app.learning.task_copies import TITLE_KEY
from app.models.columns import PILLARS, TASK_XP

PILLAR = "stem"  # of a template that nobody else made (CONTRACT 8.3)

HOLD_QUEST = text("select from quests where id = :of_quest for no key update")
# Of equal titles the first assignment gets the first template, and what is retired comes last.
_LOST = f"""
    lost as (
      select a.id, {TITLE_KEY.format("a.title")} as title, row_number() over (
        partition by {TITLE_KEY.format("a.title")}
        order by a.retired_at is not null, a.place, a.id) as place
      from spark.assignments a join spark.courses c on c.id = a.course_id
      where c.quest_id = :of_quest and a.task_id is null),
    free as (
      select t.*, {TITLE_KEY.format("t.title")} as key, row_number() over (
        partition by {TITLE_KEY.format("t.title")} order by t.order_index, t.id) as place
      from {{table}} t where t.quest_id = :of_quest
        and not exists (select from spark.assignments a where a.task_id = t.id)),
    found as (
      select lost.id as assignment_id, free.*
      from lost join free on free.key = lost.title and free.place = lost.place)
"""  # noqa: S608 - of our own pieces
_FIND = text(
    f"""
    with {_LOST.format(table="course_quest_tasks")}
    update spark.assignments a set task_id = found.id, updated_at = now()
    from found where a.id = found.assignment_id
    """  # noqa: S608 - of our own pieces
)
# Under the same id, which the main app's copies name.
_ADD_TEMPLATE = f"""
      insert into course_quest_tasks
        (id, quest_id, title, description, pillar, xp_value, order_index, is_required,
         diploma_subjects, subject_xp_distribution)
      select id, quest_id, title, description, pillar, greatest(coalesce(xp_value, {TASK_XP}), 1),
        order_index, is_required, to_jsonb(diploma_subjects), subject_xp_distribution
      from {{table}} as t where pillar in ({PILLARS})
"""  # noqa: S608 - of our own pieces
_FIND_IN_TEMPLATE_TASKS = text(
    f"""
    with {_LOST.format(table="quest_template_tasks")},
    made as ({_ADD_TEMPLATE.format(table="found")}
      on conflict do nothing returning id)
    update spark.assignments a set task_id = made.id, updated_at = now()
    from made join found using (id) where a.id = found.assignment_id
    """  # noqa: S608 - of our own pieces
)
_TAKE = text(
    _ADD_TEMPLATE.format(table="quest_template_tasks")
    + """ and t.quest_id = :of_quest and case when :task_id is null
        then not exists (select from course_quest_tasks c where c.quest_id = :of_quest)
        else t.id = :task_id end
      on conflict do nothing"""
).bindparams(bindparam("task_id", type_=Uuid))
_MAKE = text(
    f"""
    with lost as (
      select *, gen_random_uuid() as made_id from spark.assignments
      where id = :assignment_id and task_id is null and title <> ''),
    made as (
      insert into course_quest_tasks
        (id, quest_id, title, pillar, xp_value, order_index, is_required)
      select made_id, :of_quest, title, '{PILLAR}', {TASK_XP}, place, retired_at is null from lost)
    update spark.assignments a set task_id = lost.made_id, updated_at = now()
    from lost where a.id = lost.id
    """  # noqa: S608 - of our own pieces
).bindparams(bindparam("of_quest", type_=Uuid))
_TASK = text("select task_id from spark.assignments where id = :assignment_id")


async def find_templates(session: Session, quest_id: UUID) -> None:
    """Of every assignment of the quest that has lost its own. The caller holds the quest."""
    of_quest = {"of_quest": quest_id}
    await session.execute(_FIND, of_quest)
    if await has_template_tasks(session):
        await session.execute(_FIND_IN_TEMPLATE_TASKS, of_quest)


async def take_template(session: Session, task_id: UUID | None, quest_id: UUID) -> None:
    """What the main app keeps in `quest_template_tasks` alone, it gets in `course_quest_tasks`;
    without a task all of the quest, if it has none there.
    """
    if await has_template_tasks(session):
        await session.execute(_TAKE, {"task_id": task_id, "of_quest": quest_id})


async def restore_template(session: Session, assignment_id: UUID, quest_id: UUID) -> UUID | None:
    """Of an assignment that has lost its own: found, or else made anew as a sync does it; None if
    nothing is known of it but its id.
    """
    of_assignment = {"assignment_id": assignment_id}
    await session.execute(HOLD_QUEST, {"of_quest": quest_id})
    await find_templates(session, quest_id)
    await session.execute(_MAKE, of_assignment | {"of_quest": quest_id})
    template: UUID | None = (await session.execute(_TASK, of_assignment)).scalar_one()
    return template
