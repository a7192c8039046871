"""What a teacher may choose for an assignment: quests with their tasks, and never a student.

Of active quests those that are public, or of a course of the teacher's organisation.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import TEXT, RowMapping, Uuid, bindparam, text

from app.adoption.shape import has_template_tasks
from app.database import Session
from app.errors import AssignmentAmbiguousError, AssignmentNotFoundError
from app.learning.assignments import Match, resolve_assignment
from app.models import PLATFORM

QUESTS_SHOWN = 20
NOBODY = UUID(int=0)

Quest = Mapping[str, Any]  # with `tasks`, in order

_OURS = "select id, quest_id, title, description, xp_value, order_index from course_quest_tasks"
# Of quests that have no templates of ours: `take_template` brings them when they are chosen.
_THEIRS = """ union all
    select id, quest_id, title, description, greatest(coalesce(xp_value, 100), 1), order_index
    from quest_template_tasks t
    where not exists (select from course_quest_tasks o where o.quest_id = t.quest_id)"""
_FIND = f"""
    with task as ({{tasks}}),
    shown as (
      select q.id, q.title, q.description, c.id is not null as is_course,
        coalesce(c.spark_course_id = :spark_course_id, false) as is_here
      from quests q
      left join spark.courses c on c.quest_id = q.id and c.lms_platform = '{PLATFORM}'
        and c.spark_org_id = coalesce(:spark_org_id, (
          select max(n.spark_org_id) from spark.courses n
          where n.lms_platform = '{PLATFORM}' and n.spark_course_id = :spark_course_id
          having count(*) = 1), '')
      where q.is_active and (q.is_public or c.id is not null)
        and (:quest_id is null or q.id = :quest_id)
        and exists (select from task where task.quest_id = q.id)
        and (:words is null or strpos(lower(concat_ws(' ', q.title, q.description)), :words) > 0
          or exists (
            select from task where task.quest_id = q.id and strpos(lower(title), :words) > 0))
      order by 5 desc, 4 desc, lower(q.title), q.id limit {QUESTS_SHOWN + 1})
    select shown.*, task.id as task_id, task.title as task_title,
      task.description as task_description, task.xp_value, a.due_date
    from shown join task on task.quest_id = shown.id
    left join spark.assignments a on a.task_id = task.id
    where a.retired_at is null
    order by is_here desc, is_course desc, lower(shown.title), shown.id, task.order_index, task.id
"""  # noqa: S608 - of our own pieces
_TYPES = (
    *(bindparam(name, type_=TEXT) for name in ("spark_org_id", "spark_course_id", "words")),
    bindparam("quest_id", type_=Uuid),
)
_TITLES = text(
    """
    select quests.title as quest_title, task.title as task_title, exists (
      select from spark.assignments a where a.id = :assignment_id and a.mapped_at is not null
    ) as is_mapped
    from quests left join lateral (
      select title from course_quest_tasks t
      where t.quest_id = quests.id and (:template_id is null or t.id = :template_id)
      order by order_index, id limit 1) task on true
    where quests.id = :of_quest
    """
).bindparams(*(bindparam(name, type_=Uuid) for name in ("assignment_id", "template_id")))


async def find_quests(
    session: Session,
    course: Mapping[str, Any],
    *,
    words: str | None = None,
    quest_id: UUID | None = None,
) -> list[Quest]:
    """Those of `course` (`spark_org_id`, `spark_course_id`) first; one more than QUESTS_SHOWN if
    there are more.
    """
    has_theirs = await has_template_tasks(session)
    sql = text(_FIND.format(tasks=_OURS + _THEIRS if has_theirs else _OURS)).bindparams(*_TYPES)
    asked = {name: course[name] for name in ("spark_org_id", "spark_course_id")}
    asked |= {"words": words.lower() if words else None, "quest_id": quest_id}
    rows: Sequence[RowMapping] = (await session.execute(sql, asked)).mappings().all()
    return [_quest(list(tasks)) for _, tasks in groupby(rows, key=lambda row: row["id"])]


def _quest(tasks: Sequence[RowMapping]) -> Quest:
    return {**tasks[0], "tasks": tasks}


async def read_meaning(
    session: Session, course: Mapping[str, Any], spark_assignment_id: str
) -> tuple[str, str] | None:
    """What an assignment means in its course today, and who decided that; None for nothing, or
    what is another's.
    """
    try:
        match = await resolve_assignment(
            session, spark_assignment_id, course_id=course["spark_course_id"], user_id=NOBODY
        )
    except (AssignmentNotFoundError, AssignmentAmbiguousError):
        return None
    org_id = course["spark_org_id"]
    is_here = match.course_id in (None, course["spark_course_id"])
    if not is_here or (org_id and match.org_id not in (None, org_id)):
        return None
    ids = {"assignment_id": match.assignment_id, "template_id": match.source_id}
    titles = (await session.execute(_TITLES, ids | {"of_quest": match.quest_id})).one()
    shown = " / ".join(filter(None, (titles.quest_title, titles.task_title)))
    return shown, _rule(match, is_mapped=titles.is_mapped)


def _rule(match: Match, *, is_mapped: bool) -> str:
    if match.linked_at:
        return "chosen by a teacher"
    if is_mapped:
        return "chosen in Optio"
    return "from course sync" if match.assignment_id else "a quest of its own"
