"""A student's own copies of a quest's template tasks."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, text

from app.database import Session, Statement
from app.models.columns import TASK_XP

ROWS_AT_ONCE = 10_000  # so that no statement of a large course runs into its limit
CURRENT = "a.retired_at is null"  # true for a template without an assignment, too
# Two titles are one task's as the main app's editor compares them.
TITLE_KEY = "lower(regexp_replace(btrim({}), '\\s+', ' ', 'g'))"
# Nothing stops the main app from enrolling somebody twice in one quest (ADOPTION 6). Theirs and
# ours is then the first of them: it is active, not finished, and the newest.
THE_ENROLMENT = "is_active is true desc, completed_at is null desc, started_at desc nulls last, id"
_INTO = """
      insert into user_quest_tasks
        (user_id, quest_id, user_quest_id, source_task_id, due_date, title, description, pillar,
         xp_value, order_index, is_required, diploma_subjects, subject_xp_distribution)
"""
_SAID = f"""
        t.title, t.description, t.pillar, coalesce(t.xp_value, {TASK_XP}), t.order_index,
        coalesce(t.is_required, true), coalesce(t.diploma_subjects, '["Electives"]'),
        coalesce(t.subject_xp_distribution, jsonb_build_object())
"""
# Pieces of a statement that has `enrolled` (id, user_id, quest_id): they get every template task
# t, with its assignment a, that is current; where they may have some already, all that are missing.
# What was `copied` is returned where nobody could have had any.
COPY_CURRENT = f"""
    copied as ({_INTO}
      select e.user_id, e.quest_id, e.id, t.id, a.due_date, {_SAID}
      from enrolled e join course_quest_tasks t on t.quest_id = e.quest_id
      left join spark.assignments a on a.task_id = t.id
      where {CURRENT}
      returning user_quest_tasks.*)
"""  # noqa: S608 - of our own pieces
# The main app's editor deletes a quest's templates and makes them anew. A copy of one that is gone
# is that of the template with its title, and named by it; of two in one place, that with work.
_COPY_MISSING_OF = f"""
    lost as (
      select c.id, c.user_quest_id, {TITLE_KEY.format("c.title")} as title, row_number() over (
        partition by c.user_quest_id, {TITLE_KEY.format("c.title")}
        order by c.order_index, k.completed_at, c.id) as place
      from enrolled e join user_quest_tasks c on c.user_quest_id = e.id
      left join quest_task_completions k on k.task_id = c.id and k.user_id = c.user_id
      where c.is_manual is not true
        and not exists (select from course_quest_tasks s where s.id = c.source_task_id)),
    lacking as materialized (
      select e.user_id, e.id as user_quest_id, a.due_date, t.*
      from enrolled e join course_quest_tasks t on t.quest_id = e.quest_id
      left join spark.assignments a on a.task_id = t.id
      where {{of}} and not exists (
        select from user_quest_tasks c where c.user_quest_id = e.id and c.source_task_id = t.id)),
    found as (
      select lost.id, lost.user_quest_id, t.id as template_id
      from lost join (
        select id, user_quest_id, {TITLE_KEY.format("title")} as title, row_number() over (
          partition by user_quest_id, {TITLE_KEY.format("title")} order by order_index, id) as place
        from lacking where exists (select from lost)) t using (user_quest_id, title, place)),
    named as (
      update user_quest_tasks c set source_task_id = found.template_id
      from found where c.id = found.id),
    copied as ({_INTO}
      select t.user_id, t.quest_id, t.user_quest_id, t.id, t.due_date, {_SAID}
      from lacking t where not exists (
        select from found f where f.user_quest_id = t.user_quest_id and f.template_id = t.id)
      on conflict do nothing)
"""  # noqa: S608 - of our own pieces
COPY_MISSING = _COPY_MISSING_OF.format(of=CURRENT)
_HOLD_QUEST = text(
    """
    select from quests
    where id = (select quest_id from user_quests where id = :user_quest_id) for share
    """
)
_COPY_MISSING = text(
    f"""
    with enrolled as (select id, user_id, quest_id from user_quests where id = :user_quest_id),
    {_COPY_MISSING_OF.format(of=f"(t.id = :template_id or {CURRENT})")}
    select 1
    """  # noqa: S608 - of our own pieces
).bindparams(bindparam("template_id", type_=Uuid))
_LACKING = text(
    f"""
    with enrolled as (
      select distinct on (user_id) id from user_quests where quest_id = :of_quest and is_active
      order by user_id, {THE_ENROLMENT}),
    copied_to as (
      select c.source_task_id as id, count(distinct e.id) as students
      from enrolled e join user_quest_tasks c on c.user_quest_id = e.id group by 1)
    select t.id, students.number as students
    from course_quest_tasks t
    cross join (select count(*) as number from enrolled) as students
    left join spark.assignments a on a.task_id = t.id
    left join copied_to on copied_to.id = t.id
    where t.quest_id = :of_quest and {CURRENT}
      and coalesce(copied_to.students, 0) < students.number
    """  # noqa: S608 - of our own pieces
)
_COPY_TO_ALL = text(
    f"""
    with enrolled as (
      select distinct on (user_id) id, user_id, quest_id
      from user_quests where quest_id = :of_quest and is_active
      order by user_id, {THE_ENROLMENT}),
    {_COPY_MISSING_OF.format(of="t.id = any(:templates)")}
    select 1
    """  # noqa: S608 - of our own pieces
).bindparams(bindparam("templates", type_=ARRAY(Uuid)))


def _follow(columns: Mapping[str, str], *, of: str = "true") -> Statement:
    """Give copies c `of` the quest's assignments what their templates t say, where it differs."""
    said = ", ".join(f"{sql} as {name}" for name, sql in columns.items())
    differs = " or ".join(f"c.{name} is distinct from {sql}" for name, sql in columns.items())
    follows = ", ".join(f"{name} = stale.{name}" for name in columns)
    return Statement(
        f"""
        with stale as (
          select c.id, {said}
          from user_quest_tasks c
          join course_quest_tasks t on t.id = c.source_task_id
          join spark.assignments a on a.task_id = t.id
          where t.quest_id = :of_quest and ({differs}) and {of} limit {ROWS_AT_ONCE}),
        followed as (
          update user_quest_tasks c set {follows}, updated_at = :now
          from stale where c.id = stale.id returning c.id)
        select count(*) as rows from followed
        """  # noqa: S608 - of our own pieces
    )


_FOLLOW = (
    # A copy is untouched when it was neither handed in nor worked on.
    _follow(
        {name: f"t.{name}" for name in ("title", "description", "order_index")},
        of="""not exists (
            select from quest_task_completions k where k.task_id = c.id and k.user_id = c.user_id)
          and not exists (
            select from user_task_evidence_documents d
            where d.task_id = c.id and d.user_id = c.user_id)""",
    ),
    _follow({"is_required": "coalesce(t.is_required, true)", "due_date": "a.due_date"}),
)


async def copy_missing_tasks(
    session: Session, user_quest_id: UUID, *, template_id: UUID | None
) -> None:
    """Copy every current task, and the task of this template even if it was retired. The caller
    has the student's turn; a sync that goes on ends first.
    """
    await session.execute(_HOLD_QUEST, {"user_quest_id": user_quest_id})
    await session.execute(
        _COPY_MISSING, {"user_quest_id": user_quest_id, "template_id": template_id}
    )


async def follow_templates(session: Session, quest_id: UUID, *, now: datetime) -> None:
    """Active enrolments get the tasks that were added. All copies follow Spark in whether they are
    required and when they are due; copies without work also in title, description and order.
    """
    await _copy_to_all(session, quest_id)
    for statement in _FOLLOW:
        changed = ROWS_AT_ONCE
        while changed == ROWS_AT_ONCE:
            [row] = await statement.send(session, {"of_quest": quest_id, "now": now})
            changed = row["rows"]


async def _copy_to_all(session: Session, quest_id: UUID) -> None:
    found = await session.execute(_LACKING, {"of_quest": quest_id})
    lacking = found.all()
    templates = [template.id for template in lacking]
    step = max(1, ROWS_AT_ONCE // lacking[0].students) if lacking else 1
    for first in range(0, len(templates), step):
        few = templates[first : first + step]
        await session.execute(_COPY_TO_ALL, {"of_quest": quest_id, "templates": few})
