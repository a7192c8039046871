"""A student's own copies of a quest's template tasks."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Update,
    Uuid,
    and_,
    any_,
    bindparam,
    func,
    or_,
    select,
    true,
    update,
)
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
_ASSIGNMENT: Any = SparkAssignment.__table__.c
ROWS_AT_ONCE = 10_000  # so that no statement of a large course runs into its limit
CURRENT = SparkAssignment.retired_at.is_(None)  # true for a template without an assignment, too


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


_COPY_MISSING = copies_for(
    select(UserQuest).where(UserQuest.id == bindparam("user_quest_id")).cte("enrolment"),
    of=or_(_TEMPLATE.id == bindparam("template_id", type_=Uuid), CURRENT),
)
_OF_QUEST = bindparam("of_quest", type_=Uuid)
_ENROLLED = select(UserQuest).where(UserQuest.quest_id == _OF_QUEST, UserQuest.is_active)
_STUDENTS = select(func.count()).select_from(_ENROLLED.subquery()).scalar_subquery()
_COPY = UserQuestTask.__table__.alias("copy")
_COPIED_TO = (
    select(_COPY.c.source_task_id, func.count().label("students"))
    .join_from(UserQuest, _COPY, _COPY.c.user_quest_id == UserQuest.id)
    .where(UserQuest.quest_id == _OF_QUEST, UserQuest.is_active)
    .group_by(_COPY.c.source_task_id)
    .subquery("copied_to")
)
_LACKING = (
    select(_TEMPLATE.id, _STUDENTS.label("students"))
    .outerjoin(SparkAssignment, SparkAssignment.task_id == _TEMPLATE.id)
    .outerjoin(_COPIED_TO, _COPIED_TO.c.source_task_id == _TEMPLATE.id)
    .where(
        _TEMPLATE.quest_id == _OF_QUEST,
        CURRENT,
        func.coalesce(_COPIED_TO.c.students, 0) < _STUDENTS,
    )
)
_COPY_TO_ALL = copies_for(
    _ENROLLED.cte("enrolled"), of=_TEMPLATE.id == any_(bindparam("templates", type_=ARRAY(Uuid)))
)
# A copy is untouched when it was neither handed in nor worked on.
_UNTOUCHED = and_(
    *(
        ~select(work.id)
        .where(work.task_id == _COPY.c.id, work.user_id == _COPY.c.user_id)
        .correlate(_COPY)
        .exists()
        for work in (QuestTaskCompletion, EvidenceDocument)
    )
)


def _follow(columns: Mapping[str, ColumnElement[Any]], *, of: ColumnElement[bool]) -> Update:
    """Give copies `of` the quest's assignments what their templates say, where it differs."""
    stale = (
        select(_COPY.c.id, *(column.label(name) for name, column in columns.items()))
        .join_from(_COPY, CourseQuestTask, CourseQuestTask.id == _COPY.c.source_task_id)
        .join(SparkAssignment, SparkAssignment.task_id == CourseQuestTask.id)
        .where(
            CourseQuestTask.quest_id == _OF_QUEST,
            or_(*(_COPY.c[name].is_distinct_from(column) for name, column in columns.items())),
            of,
        )
        .limit(ROWS_AT_ONCE)
        .cte("stale")
    )
    return (
        update(UserQuestTask)
        .where(UserQuestTask.id == stale.c.id)
        .values({name: stale.c[name] for name in columns} | {"updated_at": bindparam("now")})
    )


_FOLLOW = (
    _follow(
        {name: _TEMPLATE[name] for name in ("title", "description", "order_index")},
        of=_UNTOUCHED,
    ),
    _follow({"is_required": _TEMPLATE.is_required, "due_date": _ASSIGNMENT.due_date}, of=true()),
)


async def copy_missing_tasks(
    session: Session, user_quest_id: UUID, *, template_id: UUID | None
) -> None:
    """Copy every current task, and the task of this template even if it was retired."""
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
            result = await session.execute(statement, {"of_quest": quest_id, "now": now})
            changed = result.rowcount


async def _copy_to_all(session: Session, quest_id: UUID) -> None:
    found = await session.execute(_LACKING, {"of_quest": quest_id})
    lacking = found.all()
    templates = [template.id for template in lacking]
    step = max(1, ROWS_AT_ONCE // lacking[0].students) if lacking else 1
    for first in range(0, len(templates), step):
        few = templates[first : first + step]
        await session.execute(_COPY_TO_ALL, {"of_quest": quest_id, "templates": few})
