"""Quests, tasks, enrolments, completions and XP."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.columns import (
    PILLARS,
    SCHOOL_SUBJECT,
    SPARK,
    TASK_XP,
    Distribution,
    Id,
    Moment,
    No,
    OwnId,
    QuestId,
    Subjects,
    Table,
    UserId,
    Yes,
    Zero,
    one_of,
)


class Quest(Table):
    __tablename__ = "quests"
    __table_args__ = (
        one_of("quest_type", "'optio', 'course'"),
        Index(None, "lms_platform", "lms_assignment_id"),
        Index(None, "lms_platform", "lms_course_id"),
    )

    id: Mapped[Id]
    title: Mapped[str]
    description: Mapped[str | None]
    big_idea: Mapped[str | None]
    quest_type: Mapped[str] = mapped_column(String(100), server_default="optio")
    is_active: Mapped[Yes]
    is_public: Mapped[No]
    material_link: Mapped[str | None]
    header_image_url: Mapped[str | None]
    image_url: Mapped[str | None]
    lms_course_id: Mapped[str | None] = mapped_column(String(255))
    lms_assignment_id: Mapped[str | None] = mapped_column(String(255))
    lms_platform: Mapped[str | None] = mapped_column(String(50))
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    details: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSONB)
    created_at: Mapped[Moment]
    updated_at: Mapped[Moment]


class CourseQuestTask(Table):
    """A template: copied to each student who is enrolled."""

    __tablename__ = "course_quest_tasks"
    __table_args__ = (
        one_of("pillar", PILLARS),
        CheckConstraint("xp_value > 0", name="xp_value"),
        Index(None, "quest_id", "order_index"),
    )

    id: Mapped[Id]
    quest_id: Mapped[QuestId]
    title: Mapped[str]
    description: Mapped[str | None]
    pillar: Mapped[str]
    xp_value: Mapped[int] = mapped_column(server_default=text(f"{TASK_XP}"))
    order_index: Mapped[Zero]
    is_required: Mapped[Yes]
    diploma_subjects: Mapped[Subjects]
    subject_xp_distribution: Mapped[Distribution]
    created_at: Mapped[Moment]
    updated_at: Mapped[Moment]


class UserQuest(Table):
    """An enrolment."""

    __tablename__ = "user_quests"
    __table_args__ = (
        one_of("status", "'available', 'picked_up', 'set_down'"),
        UniqueConstraint("user_id", "quest_id"),
    )

    id: Mapped[Id]
    user_id: Mapped[UserId]
    quest_id: Mapped[QuestId] = mapped_column(index=True)
    started_at: Mapped[Moment]
    completed_at: Mapped[datetime | None]
    is_active: Mapped[Yes]
    personalization_completed: Mapped[No]
    status: Mapped[str] = mapped_column(server_default="picked_up")
    times_picked_up: Mapped[int] = mapped_column(server_default=text("1"))
    last_picked_up_at: Mapped[datetime | None]


class UserQuestTask(Table):
    """A student's own copy of a task."""

    __tablename__ = "user_quest_tasks"
    __table_args__ = (
        one_of("approval_status", "'pending', 'approved', 'rejected'"),
        UniqueConstraint("user_quest_id", "source_task_id"),
    )

    id: Mapped[Id]
    user_id: Mapped[UserId] = mapped_column(index=True)
    quest_id: Mapped[QuestId] = mapped_column(index=True)
    user_quest_id: Mapped[UUID] = mapped_column(ForeignKey("user_quests.id", ondelete="CASCADE"))
    title: Mapped[str]
    description: Mapped[str | None]
    pillar: Mapped[str]
    xp_value: Mapped[int | None] = mapped_column(server_default=text(f"{TASK_XP}"))
    order_index: Mapped[Zero]
    is_required: Mapped[No]
    is_manual: Mapped[No]
    approval_status: Mapped[str] = mapped_column(server_default="approved")
    diploma_subjects: Mapped[Subjects]
    subject_xp_distribution: Mapped[Distribution]
    source_task_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("course_quest_tasks.id", ondelete="SET NULL"), index=True
    )
    due_date: Mapped[datetime | None]
    created_at: Mapped[Moment]
    updated_at: Mapped[Moment]


def of_task(rows: Any, task: Any) -> ColumnElement[bool]:
    """That rows are of the same student's task as a UserQuestTask, or a row of one."""
    task_id = task.id if task is UserQuestTask else task.task_id
    are_of_it: ColumnElement[bool] = (rows.task_id == task_id) & (rows.user_id == task.user_id)
    return are_of_it


class QuestTaskCompletion(Table):
    __tablename__ = "quest_task_completions"
    __table_args__ = (UniqueConstraint("user_id", "task_id"),)

    id: Mapped[Id]
    user_id: Mapped[UserId]
    quest_id: Mapped[UUID] = mapped_column(index=True)
    task_id: Mapped[UUID]
    user_quest_task_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("user_quest_tasks.id", ondelete="CASCADE"), index=True
    )
    evidence_url: Mapped[str | None]
    evidence_text: Mapped[str | None]
    completed_at: Mapped[Moment]
    is_confidential: Mapped[No]
    scheduled_date: Mapped[date | None]
    created_at: Mapped[Moment]
    updated_at: Mapped[Moment]


class UserSkillXp(Table):
    __tablename__ = "user_skill_xp"
    __table_args__ = (
        CheckConstraint("xp_amount >= 0", name="xp_amount"),
        UniqueConstraint("user_id", "pillar"),
    )

    id: Mapped[Id]
    user_id: Mapped[UserId]
    pillar: Mapped[str]
    xp_amount: Mapped[Zero]
    updated_at: Mapped[Moment]


class UserSubjectXp(Table):
    """Diploma credit: what the tasks' `subject_xp_distribution` adds up to."""

    __tablename__ = "user_subject_xp"
    __table_args__ = (UniqueConstraint("user_id", "school_subject"),)

    id: Mapped[Id]
    user_id: Mapped[UserId]
    school_subject: Mapped[str] = mapped_column(SCHOOL_SUBJECT)
    xp_amount: Mapped[Zero]
    updated_at: Mapped[Moment]


class XpAward(Table):
    """The ledger behind the totals: a task pays a student once."""

    __tablename__ = "xp_ledger"
    __table_args__ = (
        UniqueConstraint("user_id", "task_id"),
        Index(None, "user_id", "id"),  # its pages are newest first, and ids are in order of time
        {"schema": SPARK},
    )

    id: Mapped[OwnId]
    user_id: Mapped[UserId]
    task_id: Mapped[UUID]
    completion_id: Mapped[UUID]
    pillar: Mapped[str]
    xp_amount: Mapped[int]
    awarded_at: Mapped[Moment]
