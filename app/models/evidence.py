"""What a student shows for a task, and what happened."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ForeignKey,
    Identity,
    Index,
    String,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.models.columns import (
    SPARK,
    UPLOADER_ROLE,
    Id,
    Moment,
    No,
    QuestId,
    Table,
    UserId,
    one_of,
)

LMS_EVENTS = text("event_category = 'lms'")  # no parameter, or plans could not use the index
# What names a student, or leads to one as long as the student is here.
PERSONAL_KEYS = (
    *("ip_address", "email", "user_email", "spark_user_id", "user_id"),
    *("submission_id", "completion_id", "task_id", "document_id"),
)
# The main app anonymises as well, and leaves some of these keys.
PERSONAL_EVENTS = text(f"(user_id is not null or event_data ?| array{list(PERSONAL_KEYS)})")

# As text, and without a parameter, for the index.
REQUEST_ID: ColumnElement[str] = literal_column("(event_data ->> 'request_id')", Text)


class EvidenceDocument(Table):
    __tablename__ = "user_task_evidence_documents"
    __table_args__ = (
        one_of("status", "'draft', 'completed'"),
        UniqueConstraint("user_id", "task_id"),
    )

    id: Mapped[Id]
    user_id: Mapped[UserId]
    quest_id: Mapped[QuestId | None] = mapped_column(index=True)
    task_id: Mapped[UUID] = mapped_column(
        ForeignKey("user_quest_tasks.id", ondelete="CASCADE"), index=True
    )
    status: Mapped[str] = mapped_column(server_default="draft")
    is_confidential: Mapped[No]
    created_at: Mapped[Moment]
    updated_at: Mapped[Moment]
    completed_at: Mapped[datetime | None]


class EvidenceBlock(Table):
    """One block of a document; `content` has the shapes of CONTRACT 12."""

    __tablename__ = "evidence_document_blocks"
    __table_args__ = (
        one_of("block_type", "'text', 'image', 'video', 'link', 'document'"),
        UniqueConstraint("document_id", "order_index"),
    )

    id: Mapped[Id]
    document_id: Mapped[UUID] = mapped_column(
        ForeignKey("user_task_evidence_documents.id", ondelete="CASCADE")
    )
    block_type: Mapped[str]
    content: Mapped[dict[str, Any]]
    order_index: Mapped[int]
    is_private: Mapped[No]
    uploaded_by_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    uploaded_by_role: Mapped[str] = mapped_column(UPLOADER_ROLE, server_default="student")
    created_at: Mapped[Moment]


class ActivityEvent(Table):
    __tablename__ = "user_activity_events"
    __table_args__ = (
        # The log panel counts hours from the first and lists the newest of a type by the second.
        # Partial: the main app's own events fill the same table.
        Index(None, "created_at", "event_type", postgresql_where=LMS_EVENTS),
        Index(None, "event_type", "created_at", postgresql_where=LMS_EVENTS),
        # Those that still name somebody, until they are old enough to be anonymised.
        Index(
            "ix_user_activity_events_personal",
            "created_at",
            postgresql_where=text(f"{LMS_EVENTS} and {PERSONAL_EVENTS}"),
        ),
        # What is kept of a request that failed.
        Index(
            "ix_user_activity_events_request_id",
            REQUEST_ID,
            postgresql_where=text(f"{LMS_EVENTS} and {REQUEST_ID} is not null"),
        ),
    )

    id: Mapped[Id]
    user_id: Mapped[UserId | None] = mapped_column(index=True)
    session_id: Mapped[UUID]
    event_type: Mapped[str] = mapped_column(String(100))
    event_category: Mapped[str] = mapped_column(String(50))
    event_data: Mapped[dict[str, Any] | None]
    page_url: Mapped[str | None]
    referrer_url: Mapped[str | None]
    user_agent: Mapped[str | None]
    duration_ms: Mapped[int | None]
    created_at: Mapped[Moment] = mapped_column(index=True)
    anonymized_at: Mapped[datetime | None]


class FeedEntry(Table):
    """An event that the main app may follow. Its `position` is given once its act is committed, so
    that a reader who has seen a position has seen all before it. Both columns count by one
    sequence: the next position is higher than all before, also when the newest were erased.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_waiting", "number", postgresql_where=text("position is null")),
        {"schema": SPARK},
    )

    number: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    event_id: Mapped[UUID] = mapped_column(
        ForeignKey("user_activity_events.id", ondelete="CASCADE"), unique=True
    )
    position: Mapped[int | None] = mapped_column(BigInteger, unique=True)


class ActivityHour(Table):
    """How many events of a type an hour had, counted when it was over."""

    __tablename__ = "activity_hours"
    __table_args__ = ({"schema": SPARK},)

    hour: Mapped[datetime] = mapped_column(primary_key=True)
    event_type: Mapped[str] = mapped_column(String(100), primary_key=True)
    events: Mapped[int] = mapped_column(BigInteger)
