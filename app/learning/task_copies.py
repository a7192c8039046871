"""A student's own copies of a quest's template tasks."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Uuid, bindparam, or_, select, update
from sqlalchemy.dialects.postgresql import Insert, insert

from app.database import Session
from app.models import (
    CourseQuestTask,
    EvidenceDocument,
    QuestTaskCompletion,
    SparkAssignment,
    UserQuest,
    UserQuestTask,
)

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
CURRENT = SparkAssignment.retired_at.is_(None)  # also for a template that is no assignment's


def copies_for(enrolments: FromClause, *, of: ColumnElement[bool] = CURRENT) -> Insert:
    """For these enrolments (columns id, user_id, quest_id) every template task that is missing."""
    return (
        insert(UserQuestTask)
        .from_select(
            ["user_id", "quest_id", "user_quest_id", "source_task_id", "due_date", *_COPIED],
            select(
                enrolments.c.user_id,
                enrolments.c.quest_id,
                enrolments.c.id,
                _TEMPLATE.id,
                SparkAssignment.due_date,
                *(_TEMPLATE[column] for column in _COPIED),
            )
            .join_from(
                enrolments, CourseQuestTask, CourseQuestTask.quest_id == enrolments.c.quest_id
            )
            .outerjoin(SparkAssignment, SparkAssignment.task_id == CourseQuestTask.id)
            .where(of),
        )
        .on_conflict_do_nothing()
    )


_TEMPLATE_ID = bindparam("template_id", type_=Uuid)
_COPY_MISSING = copies_for(
    select(UserQuest).where(UserQuest.id == bindparam("user_quest_id")).cte("enrolment"),
    of=or_(_TEMPLATE.id == _TEMPLATE_ID, _TEMPLATE_ID.is_(None) & CURRENT),
)
_ACTIVE = select(UserQuest).where(UserQuest.quest_id == bindparam("of_quest"), UserQuest.is_active)
_COPY_TO_ALL = copies_for(_ACTIVE.cte("enrolments"))
# Untouched is a copy that was neither handed in nor worked on.
_UNTOUCHED = (
    ~select(QuestTaskCompletion.id)
    .where(
        QuestTaskCompletion.task_id == UserQuestTask.id,
        QuestTaskCompletion.user_id == UserQuestTask.user_id,
    )
    .exists()
) & (
    ~select(EvidenceDocument.id)
    .where(
        EvidenceDocument.task_id == UserQuestTask.id,
        EvidenceDocument.user_id == UserQuestTask.user_id,
    )
    .exists()
)
_FOLLOWED = ("title", "description", "order_index", "is_required")
_FOLLOW = (
    update(UserQuestTask)
    .where(
        UserQuestTask.source_task_id == CourseQuestTask.id,
        CourseQuestTask.quest_id == bindparam("of_quest"),
        SparkAssignment.task_id == CourseQuestTask.id,
        _UNTOUCHED,
        or_(
            *(
                UserQuestTask.__table__.c[column].is_distinct_from(_TEMPLATE[column])
                for column in _FOLLOWED
            ),
            UserQuestTask.due_date.is_distinct_from(SparkAssignment.due_date),
        ),
    )
    .values(
        {column: _TEMPLATE[column] for column in _FOLLOWED}
        | {"due_date": SparkAssignment.due_date, "updated_at": bindparam("now")}
    )
)


async def copy_missing_tasks(
    session: Session, user_quest_id: UUID, *, template_id: UUID | None
) -> None:
    """The task of this template, even if it was retired; or all current ones."""
    await session.execute(
        _COPY_MISSING, {"user_quest_id": user_quest_id, "template_id": template_id}
    )


async def follow_templates(session: Session, quest_id: UUID, *, now: datetime) -> None:
    """Active enrolments get the tasks that were added; untouched copies follow their template."""
    await session.execute(_COPY_TO_ALL, {"of_quest": quest_id})
    await session.execute(_FOLLOW, {"of_quest": quest_id, "now": now})
