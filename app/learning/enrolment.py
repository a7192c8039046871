"""A student's enrolment in a quest, and their own copies of its tasks.

Every function runs in the caller's transaction. `enrol` locks the enrolment's row, so that all
writing for one student and quest takes turns from there on.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, literal, select, update
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


async def enrol(session: Session, *, user_id: UUID, quest_id: UUID, now: datetime) -> UUID:
    """The enrolment, made if it was missing, with every template task copied once."""
    enrolment = await session.execute(
        insert(UserQuest)
        .values(
            user_id=user_id,
            quest_id=quest_id,
            started_at=now,
            last_picked_up_at=now,
            personalization_completed=True,
        )
        .on_conflict_do_update(
            index_elements=[UserQuest.user_id, UserQuest.quest_id],
            set_={"quest_id": quest_id},  # changes nothing, and locks the row
        )
        .returning(UserQuest.id)
    )
    user_quest_id = enrolment.scalar_one()
    await _copy_tasks(session, user_id=user_id, quest_id=quest_id, user_quest_id=user_quest_id)
    return user_quest_id


async def _copy_tasks(
    session: Session, *, user_id: UUID, quest_id: UUID, user_quest_id: UUID
) -> None:
    copied = (
        "title",
        "description",
        "pillar",
        "xp_value",
        "order_index",
        "is_required",
        "diploma_subjects",
        "subject_xp_distribution",
    )
    template: Any = CourseQuestTask.__table__.c
    owner = {"user_id": user_id, "quest_id": quest_id, "user_quest_id": user_quest_id}
    await session.execute(
        insert(UserQuestTask)
        .from_select(
            [*owner, "source_task_id", *copied],
            select(
                *(literal(value) for value in owner.values()),
                template.id,
                *(template[column] for column in copied),
            ).where(template.quest_id == quest_id),
        )
        .on_conflict_do_nothing()
    )


async def first_task(session: Session, user_quest_id: UUID, *, assignment_id: str) -> Task:
    """The task a one-assignment quest is about: lowest order, then oldest, then lowest id.

    Tasks the student added come last, wherever they stand: the assignment is not about them.
    """
    found = await session.execute(
        select(
            UserQuestTask.id,
            UserQuestTask.quest_id,
            UserQuestTask.pillar,
            func.coalesce(UserQuestTask.xp_value, 100).label("xp_value"),
        )
        .where(UserQuestTask.user_quest_id == user_quest_id)
        .order_by(
            UserQuestTask.is_manual,
            UserQuestTask.order_index,
            UserQuestTask.created_at,
            UserQuestTask.id,
        )
        .limit(1)
    )
    task = found.one_or_none()
    if task is None:
        raise AssignmentNotFoundError(
            assignment_id=assignment_id, hint="The quest of this assignment has no tasks."
        )
    return Task(task.id, task.quest_id, task.pillar, task.xp_value)


async def settle_enrolment(session: Session, user_quest_id: UUID, *, now: datetime) -> None:
    """Complete or reopen the enrolment by what this student still has to do.

    A finished quest stays finished when a finished task is handed in again (DEFECTS 43).
    """
    open_task = (
        select(UserQuestTask.id)
        .outerjoin(
            QuestTaskCompletion,
            (QuestTaskCompletion.task_id == UserQuestTask.id)
            & (QuestTaskCompletion.user_id == UserQuestTask.user_id),
        )
        .where(
            UserQuestTask.user_quest_id == user_quest_id,
            UserQuestTask.is_required,
            QuestTaskCompletion.id.is_(None),
        )
        .exists()
    )
    enrolment = update(UserQuest).where(UserQuest.id == user_quest_id)
    await session.execute(
        enrolment.where(
            open_task, (~UserQuest.is_active) | UserQuest.completed_at.is_not(None)
        ).values(is_active=True, completed_at=None, last_picked_up_at=now)
    )
    await session.execute(
        enrolment.where(~open_task, UserQuest.completed_at.is_(None)).values(completed_at=now)
    )
