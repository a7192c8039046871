"""Scores on their way to Spark, and the main app's table of them."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Numeric, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.columns import (
    PLATFORMS,
    SPARK,
    Id,
    Moment,
    OwnId,
    Platform,
    QuestId,
    Table,
    UserId,
    Zero,
    one_of,
)


class Grade(Table):
    """The newest score of a student's assignment, or without one how far the work is; `version`
    grows with each change. Off, where Spark has no API; waiting for its job; delivered; or dead.
    """

    __tablename__ = "grades"
    __table_args__ = (
        one_of("state", "'off', 'waiting', 'delivered', 'dead'"),
        UniqueConstraint("user_id", "spark_course_id", "spark_assignment_id"),
        {"schema": SPARK},
    )

    id: Mapped[OwnId]
    user_id: Mapped[UserId]
    quest_id: Mapped[QuestId] = mapped_column(index=True)
    task_id: Mapped[UUID]
    spark_user_id: Mapped[str] = mapped_column(String(255))
    spark_course_id: Mapped[str] = mapped_column(String(255), comment="empty for none")
    spark_assignment_id: Mapped[str] = mapped_column(String(255), index=True)
    score: Mapped[Decimal | None] = mapped_column(Numeric(5, 2))
    max_score: Mapped[Decimal | None] = mapped_column(Numeric(5, 2))
    comment: Mapped[str | None]
    completed_at: Mapped[datetime | None]
    scored_at: Mapped[datetime] = mapped_column(comment="grows with each version")
    version: Mapped[int] = mapped_column(server_default=text("1"))
    sent_version: Mapped[int | None] = mapped_column(comment="the last that Spark took")
    state: Mapped[str]
    code: Mapped[str | None] = mapped_column(comment="why it is not delivered")
    created_at: Mapped[Moment]
    updated_at: Mapped[Moment]
    delivered_at: Mapped[datetime | None]


class GradeAttempt(Table):
    """One call to Spark with a version of a grade; without a `status` no answer came."""

    __tablename__ = "grade_attempts"
    __table_args__ = ({"schema": SPARK},)

    id: Mapped[Id]
    grade_id: Mapped[UUID] = mapped_column(
        ForeignKey("spark.grades.id", ondelete="CASCADE"), index=True
    )
    version: Mapped[int]
    ended_at: Mapped[Moment] = mapped_column(index=True)
    milliseconds: Mapped[int]
    status: Mapped[int | None]
    code: Mapped[str]
    answer: Mapped[str] = mapped_column(comment="its first characters")


class LmsGradeSync(Table):
    """The main app's: of each score that goes to an LMS how far it is. Ours have the grade's id."""

    __tablename__ = "lms_grade_sync"
    __table_args__ = (
        one_of("lms_platform", PLATFORMS),
        one_of("sync_status", "'pending', 'completed', 'failed'"),
        CheckConstraint("score >= 0 and score <= max_score", name="score"),
    )

    id: Mapped[Id]
    user_id: Mapped[UserId] = mapped_column(index=True)
    quest_id: Mapped[QuestId]
    lms_platform: Mapped[Platform]
    lms_assignment_id: Mapped[str] = mapped_column(String(255))
    score: Mapped[Decimal] = mapped_column(Numeric(5, 2))
    max_score: Mapped[Decimal] = mapped_column(Numeric(5, 2), server_default=text("100"))
    sync_status: Mapped[str] = mapped_column(String(20), server_default="pending")
    sync_attempts: Mapped[Zero]
    error_message: Mapped[str | None]
    synced_at: Mapped[datetime | None]
    last_attempt_at: Mapped[datetime | None]
    created_at: Mapped[Moment]
