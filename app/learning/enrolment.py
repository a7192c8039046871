"""A student's enrolment in a quest, and their own copies of its tasks.

Every function runs in the caller's transaction. Whatever enrols a student or adds to their XP first
takes the student's turn, in a statement of its own: what comes after sees all that was done before.
Handing in locks the enrolment's row, too, as an editor of evidence does.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, Text, cast, func, literal_column

from app.adoption.people import PAYS_SQL
from app.database import Session, Statement
from app.learning.task_copies import COPY_CURRENT, THE_ENROLMENT
from app.models import UserQuestTask


class Task(NamedTuple):
    """A student's own copy of a task, in TASK_COLUMNS."""

    task_id: UUID
    quest_id: UUID
    pillar: str
    xp_value: int
    subject_xp_distribution: Any


# A revision goes where the one before it is, though that enrolment has ended: a task pays once.
WITH_WORK_FIRST = f"""exists (
        select from user_quest_tasks t
        join quest_task_completions c on c.task_id = t.id and c.user_id = t.user_id
        join spark.submission_revisions r on r.completion_id = c.id
        where t.user_quest_id = user_quests.id
          and (:template_id is null or t.source_task_id = :template_id)) desc, {THE_ENROLMENT}"""
_BY_UUID = WITH_WORK_FIRST.replace(":template_id", ":template_id::uuid")
_FIND = Statement(
    f"""
    select id from user_quests where user_id = :user_id and quest_id = :quest_id
    order by {_BY_UUID} limit 1
    """  # noqa: S608 - of our own pieces
)
# Of a template's copies, which the main app may have made twice, that which has been paid.
_FIRST_TASK = """(:template_id is not null and exists (
        select from quest_task_completions k
        where k.task_id = t.id and k.user_id = t.user_id)) desc,
        coalesce(is_manual, false), order_index, created_at, id"""
# Pieces of a statement: the enrolment, `found` and locked, or made with every template task, and
# `task`: the copy of `:template_id`; without one the first task of the quest, by lowest order, then
# oldest, then lowest id. Tasks the student added come last, wherever they stand: a one-assignment
# quest is not about them. With `:task_id` it is that one, in its enrolment. The student's turn is
# taken.
ENROLLED_SQL = f"""
    found as (
      select id from user_quests
      where user_id = :user_id::uuid and quest_id = :quest_id::uuid
        and (:task_id::uuid is null
          or id = (select user_quest_id from user_quest_tasks where id = :task_id))
      order by {_BY_UUID} limit 1
      for no key update),
    enrolled as (
      insert into user_quests
        (user_id, quest_id, started_at, last_picked_up_at, personalization_completed)
      select :user_id, :quest_id, :now::timestamptz, :now, true
      where not exists (select from found)
      returning id, user_id, quest_id),
    {COPY_CURRENT},
    task as (
      select user_quest_id, id as task_id, quest_id, pillar,
        {PAYS_SQL} as xp_value, subject_xp_distribution
      from (
        select * from user_quest_tasks where user_quest_id = (select id from found)
        union all select * from copied) t
      where case when :task_id is null
        then :template_id is null or source_task_id = :template_id else id = :task_id end
      order by {_FIRST_TASK} limit 1)
"""  # noqa: S608 - of our own pieces
# A piece of a statement that completes `:task_id`: the enrolment ends or opens again by what the
# student still has to do, if `:completes_quests`. A finished quest stays finished when a finished
# task is handed in again (DEFECTS 43).
SETTLED_SQL = """
    settled as (
      update user_quests q set
        is_active = q.is_active is true or task.is_open,
        completed_at = case when not task.is_open then :now::timestamptz end,
        last_picked_up_at = case when task.is_open then :now else q.last_picked_up_at end
      from (
        select exists (
          select from user_quest_tasks t
          left join quest_task_completions c on c.task_id = t.id and c.user_id = t.user_id
          where t.user_quest_id = :user_quest_id::uuid and t.is_required and c.id is null
            and t.id <> :task_id) as is_open
      ) as task
      where q.id = :user_quest_id and :completes_quests and case
        when task.is_open then q.is_active is not true or q.completed_at is not null
        else q.completed_at is null end
      returning q.completed_at)
"""
_KEY = "'enrolment:'"
_TURNS = Statement(
    f"""
    select pg_advisory_xact_lock(key) from (
      select distinct hashtextextended({_KEY} || id, 0) as key
      from unnest(:user_ids::uuid[]) as id order by key) as student
    """  # noqa: S608 - of our own pieces
)
TASK_COLUMNS = (
    UserQuestTask.id.label("task_id"),
    UserQuestTask.quest_id,
    UserQuestTask.pillar,
    literal_column(PAYS_SQL, Integer).label("xp_value"),
    UserQuestTask.subject_xp_distribution,
)
# As in ENROLLED_SQL, of an enrolment that is there.
THE_TASK_SQL = f"""
      select id as task_id, user_id, title from user_quest_tasks t
      where user_quest_id = :user_quest_id::uuid
        and (:template_id::uuid is null or source_task_id = :template_id)
      order by {_FIRST_TASK} limit 1"""  # noqa: S608 - of our own pieces


async def find_enrolment(
    session: Session, *, user_id: UUID, quest_id: UUID, template_id: UUID | None
) -> UUID | None:
    """Where work on this template task belongs, or without one on the quest's first."""
    work = {"user_id": user_id, "quest_id": quest_id, "template_id": template_id}
    found = await _FIND.send(session, work)
    return found[0]["id"] if found else None


def turn_sql(user_id: str) -> str:
    """As `turn_of`, of a column or parameter."""
    return f"pg_advisory_xact_lock(hashtextextended({_KEY} || {user_id}::text, 0))"


def turn_of(user_id: ColumnElement[Any]) -> ColumnElement[Any]:
    """Takes a student's turn, for a statement that is sent anyway; as `take_turns`."""
    named = literal_column(_KEY, Text).op("||")(cast(user_id, Text))
    return func.pg_advisory_xact_lock(func.hashtextextended(named, literal_column("0")))


async def take_turns(session: Session, user_ids: Iterable[UUID]) -> None:
    """Until the transaction ends. All at once: one after the other, several such acts could wait
    for each other.
    """
    await _TURNS.send(session, {"user_ids": list(user_ids)})
