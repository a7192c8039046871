"""A student's enrolment in a quest, and their own copies of its tasks.

Every function runs in the caller's transaction. `enrol` locks the enrolment's row, so that all
writing for one student and quest takes turns from there on.
"""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Uuid, bindparam, case, func, null, or_, select, true, union_all, update
from sqlalchemy.dialects.postgresql import insert

from app.database import Session
from app.learning.task_copies import copies_for
from app.models import QuestTaskCompletion, UserQuest, UserQuestTask


class Task(NamedTuple):
    """A student's own copy of a task, in TASK_COLUMNS."""

    task_id: UUID
    quest_id: UUID
    pillar: str
    xp_value: int
    subject_xp_distribution: Any


_NOW = bindparam("now", type_=UserQuest.completed_at.type)
_FIND = select(UserQuest.id).where(
    UserQuest.user_id == bindparam("user_id"), UserQuest.quest_id == bindparam("quest_id")
)
_LOCKED = _FIND.with_for_update(key_share=True).cte("locked")
_MADE = (
    insert(UserQuest)
    .from_select(
        ["user_id", "quest_id", "started_at", "last_picked_up_at", "personalization_completed"],
        select(
            bindparam("user_id", type_=Uuid),
            bindparam("quest_id", type_=Uuid),
            _NOW,
            _NOW,
            true(),
        ).where(~select(_LOCKED).exists()),
    )
    .on_conflict_do_update(  # changes nothing, and locks the row that a twin has made
        index_elements=[UserQuest.user_id, UserQuest.quest_id],
        set_={"quest_id": UserQuest.quest_id},
    )
    .returning(UserQuest.id, UserQuest.user_id, UserQuest.quest_id)
    .cte("made")
)
_ENROL = union_all(select(_LOCKED.c.id), select(_MADE.c.id)).add_cte(
    copies_for(_MADE).cte("copied")
)
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
        UserQuestTask.is_manual,
        UserQuestTask.order_index,
        UserQuestTask.created_at,
        UserQuestTask.id,
    )
    .limit(1)
)
_OPEN_TASK = (
    select(UserQuestTask.id)
    .outerjoin(
        QuestTaskCompletion,
        (QuestTaskCompletion.task_id == UserQuestTask.id)
        & (QuestTaskCompletion.user_id == UserQuestTask.user_id),
    )
    .where(
        UserQuestTask.user_quest_id == bindparam("user_quest_id"),
        UserQuestTask.is_required,
        QuestTaskCompletion.id.is_(None),
    )
    .exists()
)
_SETTLE = (
    update(UserQuest)
    .where(
        UserQuest.id == bindparam("user_quest_id"),
        case(
            (_OPEN_TASK, (~UserQuest.is_active) | UserQuest.completed_at.is_not(None)),
            else_=UserQuest.completed_at.is_(None),
        ),
    )
    .values(
        is_active=UserQuest.is_active | _OPEN_TASK,
        completed_at=case((_OPEN_TASK, null()), else_=_NOW),
        last_picked_up_at=case((_OPEN_TASK, _NOW), else_=UserQuest.last_picked_up_at),
    )
)


async def find_enrolment(session: Session, *, user_id: UUID, quest_id: UUID) -> UUID | None:
    found = await session.execute(_FIND, {"user_id": user_id, "quest_id": quest_id})
    enrolment: UUID | None = found.scalar_one_or_none()
    return enrolment


async def enrol(session: Session, *, user_id: UUID, quest_id: UUID, now: datetime) -> UUID:
    """The enrolment, locked; made if it was missing, with every template task copied once."""
    enrolled = await session.execute(_ENROL, {"user_id": user_id, "quest_id": quest_id, "now": now})
    user_quest_id: UUID = enrolled.scalar_one()
    return user_quest_id


async def settle(session: Session, user_quest_id: UUID, *, now: datetime) -> None:
    """Complete or reopen an enrolment by what the student still has to do. A finished quest stays
    finished when a finished task is handed in again (DEFECTS 43).
    """
    await session.execute(_SETTLE, {"user_quest_id": user_quest_id, "now": now})
