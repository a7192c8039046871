"""A student's enrolment in a quest, and their own copies of its tasks.

Every function runs in the caller's transaction. Whatever enrols a student or adds to their XP first
takes the student's turn, in a statement of its own: what comes after sees all that was done before.
`enrol` locks the enrolment's row, too, as an editor of evidence does.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    TIMESTAMP,
    ColumnElement,
    Text,
    Uuid,
    bindparam,
    cast,
    false,
    func,
    literal_column,
    or_,
    select,
    text,
)

from app.adoption.shape import LiveShape
from app.database import Session
from app.learning.task_copies import COPY_CURRENT, THE_ENROLMENT
from app.models import UserQuestTask


class Task(NamedTuple):
    """A student's own copy of a task, in TASK_COLUMNS."""

    task_id: UUID
    quest_id: UUID
    pillar: str
    xp_value: int
    subject_xp_distribution: Any


_NOW = bindparam("now", type_=TIMESTAMP(timezone=True))
# A revision goes where the one before it is, though that enrolment has ended: a task pays once.
WITH_WORK_FIRST = f"""exists (
        select from user_quest_tasks t
        join quest_task_completions c on c.task_id = t.id and c.user_id = t.user_id
        join spark.submission_revisions r on r.completion_id = c.id
        where t.user_quest_id = user_quests.id
          and (:template_id is null or t.source_task_id = :template_id)) desc, {THE_ENROLMENT}"""
_FOUND = f"""
      select id from user_quests where user_id = :user_id and quest_id = :quest_id
      order by {WITH_WORK_FIRST} limit 1
"""  # noqa: S608 - of our own pieces
_OF_WORK = (
    bindparam("user_id", type_=Uuid),
    bindparam("quest_id", type_=Uuid),
    bindparam("template_id", type_=Uuid),
)
_FIND = text(_FOUND).bindparams(*_OF_WORK)
_ENROL = text(
    f"""
    with locked as ({_FOUND} for no key update),
    enrolled as (
      insert into user_quests
        (user_id, quest_id, started_at, last_picked_up_at, personalization_completed)
      select :user_id, :quest_id, :now, :now, true where not exists (select from locked)
      returning id, user_id, quest_id),
    {COPY_CURRENT}
    select id from locked union all select id from enrolled
    """  # noqa: S608 - of our own pieces
).bindparams(*_OF_WORK, _NOW)
_KEY = "'enrolment:'"
_TURNS = text(
    f"""
    select pg_advisory_xact_lock(key) from (
      select distinct hashtextextended({_KEY} || id, 0) as key
      from unnest(:user_ids) as id order by key) as student
    """  # noqa: S608 - of our own pieces
).bindparams(bindparam("user_ids", type_=ARRAY(Uuid)))
XP_VALUE = func.coalesce(UserQuestTask.xp_value, 100)
TASK_COLUMNS = (
    UserQuestTask.id.label("task_id"),
    UserQuestTask.quest_id,
    UserQuestTask.pillar,
    XP_VALUE.label("xp_value"),
    UserQuestTask.subject_xp_distribution,
)
_TASK = select(*TASK_COLUMNS)
A_TASK = _TASK.where(UserQuestTask.id == bindparam("task_id"))
# The copy of `:template_id`; without one the first task of the quest, by lowest order, then oldest,
# then lowest id. Tasks the student added come last, wherever they stand: a one-assignment quest is
# not about them.
_TEMPLATE_ID = bindparam("template_id", type_=Uuid)
THE_TASK = (
    _TASK.where(
        UserQuestTask.user_quest_id == bindparam("user_quest_id"),
        or_(_TEMPLATE_ID.is_(None), UserQuestTask.source_task_id == _TEMPLATE_ID),
    )
    .order_by(
        func.coalesce(UserQuestTask.is_manual, false()),
        UserQuestTask.order_index,
        UserQuestTask.created_at,
        UserQuestTask.id,
    )
    .limit(1)
)
_SETTLE = text(
    """
    update user_quests q set
      is_active = q.is_active is true or task.is_open,
      completed_at = case when not task.is_open then :now end,
      last_picked_up_at = case when task.is_open then :now else q.last_picked_up_at end
    from (
      select exists (
        select from user_quest_tasks t
        left join quest_task_completions c on c.task_id = t.id and c.user_id = t.user_id
        where t.user_quest_id = :user_quest_id and t.is_required and c.id is null) as is_open
    ) as task
    where q.id = :user_quest_id and case
      when task.is_open then q.is_active is not true or q.completed_at is not null
      else q.completed_at is null end
    """
).bindparams(_NOW)


async def find_enrolment(
    session: Session, *, user_id: UUID, quest_id: UUID, template_id: UUID | None
) -> UUID | None:
    """Where work on this template task belongs, or without one on the quest's first."""
    work = {"user_id": user_id, "quest_id": quest_id, "template_id": template_id}
    found = await session.execute(_FIND, work)
    enrolment: UUID | None = found.scalar_one_or_none()
    return enrolment


def turn_of(user_id: ColumnElement[Any]) -> ColumnElement[Any]:
    """Takes a student's turn, for a statement that is sent anyway; as `take_turns`."""
    named = literal_column(_KEY, Text).op("||")(cast(user_id, Text))
    return func.pg_advisory_xact_lock(func.hashtextextended(named, literal_column("0")))


async def take_turns(session: Session, user_ids: Iterable[UUID]) -> None:
    """Until the transaction ends. All at once: one after the other, several such acts could wait
    for each other.
    """
    await session.execute(_TURNS, {"user_ids": list(user_ids)})


async def enrol(
    session: Session, *, user_id: UUID, quest_id: UUID, template_id: UUID | None, now: datetime
) -> UUID:
    """As `find_enrolment`, locked; made if it was missing, with every template task. The caller has
    the student's turn.
    """
    work = {"user_id": user_id, "quest_id": quest_id, "template_id": template_id}
    enrolled = await session.execute(_ENROL, work | {"now": now})
    user_quest_id: UUID = enrolled.scalar_one()
    return user_quest_id


async def settle(session: Session, shape: LiveShape, user_quest_id: UUID, *, now: datetime) -> None:
    """Complete or reopen an enrolment by what the student still has to do. A finished quest stays
    finished when a finished task is handed in again (DEFECTS 43). Where the main app ends quests,
    nothing.
    """
    if await shape.completes_quests(session):
        await session.execute(_SETTLE, {"user_quest_id": user_quest_id, "now": now})
