"""A student's enrolment in a quest, and their own copies of its tasks.

Every function runs in the caller's transaction. `enrol` locks the enrolment's row, so that all
writing for one student and quest takes turns from there on.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, case, func, null, select, update
from sqlalchemy.dialects.postgresql import insert

from app.database import Session
from app.errors import AssignmentNotFoundError
from app.models import CourseQuestTask, QuestTaskCompletion, UserQuest, UserQuestTask


@dataclass(frozen=True)
class Task:
    """A student's own copy of a task."""

    id: UUID
    quest_id: UUID
    pillar: str
    xp_value: int
    subject_xp_distribution: Any


_OWNER = ("user_id", "quest_id", "user_quest_id")
_COPIED = (
    "title",
    "description",
    "pillar",
    "xp_value",
    "order_index",
    "is_required",
    "diploma_subjects",
    "subject_xp_distribution",
)
_TEMPLATE: Any = CourseQuestTask.__table__.c

# Built once: building a statement costs more than running it.
_FIND = select(UserQuest.id).where(
    UserQuest.user_id == bindparam("user_id"), UserQuest.quest_id == bindparam("quest_id")
)
_LOCK = _FIND.with_for_update()
_ENROL = (
    insert(UserQuest)
    .on_conflict_do_update(  # changes nothing, and locks the row
        index_elements=[UserQuest.user_id, UserQuest.quest_id],
        set_={"quest_id": UserQuest.quest_id},
    )
    .returning(UserQuest.id)
)
_COPY_TASKS = (
    insert(UserQuestTask)
    .from_select(
        [*_OWNER, "source_task_id", *_COPIED],
        select(
            *(bindparam(name, type_=Uuid) for name in _OWNER),
            _TEMPLATE.id,
            *(_TEMPLATE[column] for column in _COPIED),
        ).where(_TEMPLATE.quest_id == bindparam("quest_id", type_=Uuid)),
    )
    .on_conflict_do_nothing()
)
_FIRST_TASK = (
    select(
        UserQuestTask.id,
        UserQuestTask.quest_id,
        UserQuestTask.pillar,
        func.coalesce(UserQuestTask.xp_value, 100).label("xp_value"),
        UserQuestTask.subject_xp_distribution,
    )
    .where(UserQuestTask.user_quest_id == bindparam("user_quest_id"))
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
_NOW = bindparam("now", type_=UserQuest.completed_at.type)
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
    names = {"user_id": user_id, "quest_id": quest_id}
    locked = await session.execute(_LOCK, names)
    enrolment: UUID | None = locked.scalar_one_or_none()
    if enrolment is not None:
        return enrolment
    made = await session.execute(
        _ENROL,
        names | {"started_at": now, "last_picked_up_at": now, "personalization_completed": True},
    )
    user_quest_id: UUID = made.scalar_one()
    await session.execute(_COPY_TASKS, names | {"user_quest_id": user_quest_id})
    return user_quest_id


async def first_task(session: Session, user_quest_id: UUID, *, assignment_id: str) -> Task:
    """The task a one-assignment quest is about: lowest order, then oldest, then lowest id.

    Tasks the student added come last, wherever they stand: the assignment is not about them.
    """
    found = await session.execute(_FIRST_TASK, {"user_quest_id": user_quest_id})
    task = found.one_or_none()
    if task is None:
        raise AssignmentNotFoundError(
            assignment_id=assignment_id, hint="The quest of this assignment has no tasks."
        )
    return Task(*task)


async def settle_enrolment(session: Session, user_quest_id: UUID, *, now: datetime) -> None:
    """Complete or reopen the enrolment by what this student still has to do.

    A finished quest stays finished when a finished task is handed in again (DEFECTS 43).
    """
    await session.execute(_SETTLE, {"user_quest_id": user_quest_id, "now": now})
