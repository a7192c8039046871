"""What arrived from Spark: deliveries, messages, revisions, files."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    ForeignKey,
    Index,
    Numeric,
    String,
    UniqueConstraint,
    Uuid,
    literal_column,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.models.columns import SPARK, Moment, No, OwnId, Table, UserId, Zero, one_of


class InboxDelivery(Table):
    """An authentic request of Spark and what it was answered; `code` is null for a success.

    `message` is the signed text, null where the same text was handled before.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        Index(None, "digest"),
        Index(None, "received_at"),
        # Lists are newest first, and ids are in the order of time.
        Index(None, "spark_user_id", "id"),
        Index(None, "spark_assignment_id", "id"),
        Index(None, "request_id", "id"),
        Index(None, "webhook_id", "id", postgresql_where=text("webhook_id is not null")),
        Index(
            "ix_deliveries_refused",
            *("id", "spark_assignment_id"),
            postgresql_where=text("code is not null"),
        ),
        Index("ix_deliveries_accepted", "id", postgresql_where=text("code is null")),
        Index("ix_deliveries_by_previous", "id", postgresql_where=text("by_previous")),
        Index(None, "code", "id", postgresql_where=text("code is not null")),
        Index("ix_deliveries_replayed", "id", postgresql_where=text("replayed_at is not null")),
        {"schema": SPARK},
    )

    id: Mapped[OwnId]
    route: Mapped[str]
    media_type: Mapped[str]
    received_at: Mapped[datetime]
    answered_at: Mapped[Moment]
    replayed_at: Mapped[datetime | None]
    status: Mapped[int]
    code: Mapped[str | None]
    digest: Mapped[bytes] = mapped_column(comment="SHA-256 of the signed text")
    request_id: Mapped[str | None] = mapped_column(comment="as the sender was told it")
    webhook_id: Mapped[str | None]
    by_previous: Mapped[No] = mapped_column(
        comment="signed with the secret before the last rotation"
    )
    message: Mapped[bytes | None]
    body_bytes: Mapped[int] = mapped_column(BigInteger)
    file_count: Mapped[Zero]
    user_id: Mapped[UserId | None] = mapped_column(index=True)
    spark_user_id: Mapped[str | None] = mapped_column(String(255))
    spark_assignment_id: Mapped[str | None] = mapped_column(String(255))
    spark_course_id: Mapped[str | None] = mapped_column(String(255))
    submission_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("spark.submission_revisions.id", ondelete="SET NULL"), index=True
    )


class IdempotencyKey(Table):
    """A key of a message that is being handled (leased by `owner`) or was (has a `response`).

    It is a digest: of the signed bytes, or of the sender's own key for them.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = ({"schema": SPARK},)

    key: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[UserId | None] = mapped_column(index=True)
    owner: Mapped[UUID]
    lease_until: Mapped[datetime]
    fingerprint: Mapped[bytes | None]
    response: Mapped[dict[str, Any] | None]
    created_at: Mapped[Moment] = mapped_column(index=True)


class SubmissionRevision(Table):
    """One handing-in. The current one of a completion is that with the latest `submitted_at`; every
    other has `replaced_at`. One that was restored has the files of `restored_from`.
    """

    __tablename__ = "submission_revisions"
    __table_args__ = (
        UniqueConstraint("completion_id", "revision"),
        Index(
            "uq_submission_revisions_current",
            "completion_id",
            unique=True,
            postgresql_where=text("replaced_at is null"),
        ),
        # Lists are newest first, and ids are in the order of time.
        Index(None, "user_id", "id"),
        Index(None, "quest_id", "id"),
        Index(None, "spark_assignment_id", "id"),
        Index(
            "ix_submission_revisions_replaced",
            *("id", "quest_id", "spark_assignment_id"),
            postgresql_where=text("replaced_at is not null"),
        ),
        {"schema": SPARK},
    )

    id: Mapped[OwnId]
    completion_id: Mapped[UUID] = mapped_column(
        ForeignKey("quest_task_completions.id", ondelete="CASCADE")
    )
    user_id: Mapped[UserId]
    quest_id: Mapped[UUID]
    revision: Mapped[int]
    restored_from: Mapped[UUID | None] = mapped_column(
        ForeignKey("spark.submission_revisions.id", ondelete="CASCADE"), index=True
    )
    spark_assignment_id: Mapped[str] = mapped_column(String(255))
    spark_course_id: Mapped[str | None] = mapped_column(String(255))
    submission_text: Mapped[str | None]
    grade: Mapped[Decimal | None] = mapped_column(Numeric(5, 2))
    fingerprint: Mapped[bytes]
    written_ids: Mapped[list[UUID]] = mapped_column(
        ARRAY(Uuid()), server_default=text("'{}'"), comment="the blocks this revision wrote"
    )
    block_ids: Mapped[list[UUID]] = mapped_column(
        ARRAY(Uuid()), server_default=text("'{}'"), comment="those that nobody else has changed"
    )
    submitted_at: Mapped[datetime]
    created_at: Mapped[Moment]
    replaced_at: Mapped[datetime | None]
    was_hidden: Mapped[bool] = mapped_column(
        server_default=text("false"), comment="a part of it was, when it was replaced"
    )


# No parameters, or plans could not use the index.
IS_OWNERLESS: ColumnElement[bool] = literal_column(
    "state = 'committed' and submission_id is null and document_id is null", Boolean
)


class Upload(Table):
    """A file on its way into the store: pending, then committed, or deleting.

    It belongs to a submission, or to the document in whose editor it was added. `size_bytes` and
    `sha256` are of what was sent; `location` is null of what is no picture or film, `picture` of
    what is no HEIC, `scan` where there is no scanner. A JPEG that was made of a HEIC is
    `derived_from` it, and belongs where that does. The row exists before the object, so that every
    orphan can be found; `user_id` has no foreign key, so that erasing a student hides no object
    from the sweeper.
    """

    __tablename__ = "uploads"
    __table_args__ = (
        one_of("state", "'pending', 'committed', 'deleting'"),
        one_of("location", "'none', 'removed', 'unknown'"),
        one_of("scan", "'clean', 'unscanned'"),
        one_of("picture", "'waiting', 'jpeg', 'too_large', 'unreadable'"),
        Index(None, "lease_until", postgresql_where=text("state <> 'committed'")),
        Index("ix_uploads_ownerless", "id", postgresql_where=IS_OWNERLESS),
        Index("ix_uploads_unread", "created_at", postgresql_where=text("location = 'unknown'")),
        Index("ix_uploads_unscanned", "created_at", postgresql_where=text("scan = 'unscanned'")),
        Index(
            "uq_uploads_derived_from",
            "derived_from",
            unique=True,
            postgresql_where=text("derived_from is not null"),
        ),
        {"schema": SPARK},
    )

    id: Mapped[OwnId]
    user_id: Mapped[UUID] = mapped_column(index=True)
    submission_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("spark.submission_revisions.id", ondelete="SET NULL"), index=True
    )
    document_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("user_task_evidence_documents.id", ondelete="SET NULL"), index=True
    )
    object_key: Mapped[str] = mapped_column(unique=True)
    state: Mapped[str] = mapped_column(server_default="pending")
    lease_until: Mapped[datetime]
    position: Mapped[int | None]
    filename: Mapped[str | None]
    content_type: Mapped[str | None]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[bytes | None]
    stored_bytes: Mapped[int | None] = mapped_column(BigInteger)
    stored_sha256: Mapped[bytes | None]
    location: Mapped[str | None]
    scan: Mapped[str | None]
    picture: Mapped[str | None]
    derived_from: Mapped[UUID | None] = mapped_column(
        ForeignKey("spark.uploads.id", ondelete="SET NULL")
    )
    created_at: Mapped[Moment]


class Download(Table):
    """A file that a submission named by its address: pending, then stored as an upload, or dead.

    The address may be a secret: it is gone once the file is settled.
    """

    __tablename__ = "downloads"
    __table_args__ = (
        one_of("state", "'pending', 'stored', 'dead'"),
        UniqueConstraint("submission_id", "position"),
        {"schema": SPARK},
    )

    id: Mapped[OwnId]
    submission_id: Mapped[UUID] = mapped_column(
        ForeignKey("spark.submission_revisions.id", ondelete="CASCADE")
    )
    user_id: Mapped[UserId] = mapped_column(index=True)
    position: Mapped[int]
    place: Mapped[int] = mapped_column(comment="kept for its block")
    is_private: Mapped[No] = mapped_column(comment="its block is to be hidden")
    url: Mapped[str | None]
    host: Mapped[str]
    filename: Mapped[str]
    declared_sha256: Mapped[bytes | None]
    declared_bytes: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(server_default="pending")
    code: Mapped[str | None] = mapped_column(comment="why it is not stored")
    upload_id: Mapped[UUID | None]
    created_at: Mapped[Moment]
    settled_at: Mapped[datetime | None]
