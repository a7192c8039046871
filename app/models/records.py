"""What is kept about the handling of children's data: who did what, and who was erased."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.columns import SPARK, Id, Moment, No, OwnId, Table, UserId

# Of a service key, and no look; a student's own acts are `user:…`.
PRIVILEGED = text("action <> 'sensitive_read' and caller not like 'user:%'")


class AuditEntry(Table):
    """`caller` did `action` (OWASP logging vocabulary) to the data of `user_id`, or of all of
    `user_ids` at once.
    """

    __tablename__ = "audit_log"
    __table_args__ = (
        Index(
            "ix_audit_log_user_ids",
            "user_ids",
            postgresql_using="gin",
            postgresql_where=text("user_ids is not null"),
        ),
        # What operators and services did, among all that they read.
        Index("ix_audit_log_privileged", "occurred_at", postgresql_where=PRIVILEGED),
        {"schema": SPARK},
    )

    id: Mapped[Id]
    occurred_at: Mapped[Moment] = mapped_column(index=True)
    caller: Mapped[str]
    action: Mapped[str]
    user_id: Mapped[UUID | None] = mapped_column(index=True, comment="nobody's once erased")
    user_ids: Mapped[list[UUID] | None] = mapped_column(
        ARRAY(Uuid), comment="of a list; without who was erased"
    )
    detail: Mapped[dict[str, Any]]


class Erasure(Table):
    """The tombstone of an erased student; until `completed_at` also the order to erase.

    The keyed hashes recognise who was erased: `user_hash` the order when it is repeated,
    `subject_hash` the Spark user (null for who was none) when an old message comes again; of a
    Spark user without an account both are the same. A student who came back and is erased again
    has several. With `keeps_account` only what came through Spark goes.
    """

    __tablename__ = "erasures"
    __table_args__ = ({"schema": SPARK},)

    id: Mapped[OwnId]
    user_hash: Mapped[bytes] = mapped_column(unique=True)
    subject_hash: Mapped[bytes | None] = mapped_column(index=True)
    user_id: Mapped[UUID | None] = mapped_column(unique=True, comment="null once completed")
    spark_user_id: Mapped[str | None] = mapped_column(comment="null once completed")
    requested_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
    counts: Mapped[dict[str, Any]]
    keeps_account: Mapped[No]
    organisation_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("spark.organisation_erasures.id"),
        index=True,
        comment="the erasure it is part of",
    )


class OrganisationErasure(Table):
    """The certificate that a school's data is erased; until `completed_at` the order to erase it,
    of which there is one for an organisation. It holds nothing personal.
    """

    __tablename__ = "organisation_erasures"
    __table_args__ = (
        Index(
            "uq_organisation_erasures_open",
            "spark_org_id",
            unique=True,
            postgresql_where=text("completed_at is null"),
        ),
        {"schema": SPARK},
    )

    id: Mapped[OwnId]
    spark_org_id: Mapped[str] = mapped_column(String(255))
    requested_at: Mapped[datetime]
    requested_by: Mapped[str] = mapped_column(comment="the name of a service key, or a caller")
    completed_at: Mapped[datetime | None]
    counts: Mapped[dict[str, Any]] = mapped_column(
        server_default=text("'{}'"), comment="beside those of its students' erasures"
    )


class Hold(Table):
    """What retention leaves alone: of one student, or of all students of an organisation."""

    __tablename__ = "holds"
    __table_args__ = (
        CheckConstraint("num_nonnulls(user_id, spark_org_id) = 1", name="of_one"),
        CheckConstraint("spark_org_id <> ''", name="spark_org_id"),
        Index(None, "spark_org_id"),
        {"schema": SPARK},
    )

    id: Mapped[OwnId]
    user_id: Mapped[UserId | None] = mapped_column(index=True)
    spark_org_id: Mapped[str | None] = mapped_column(String(255))
    reason: Mapped[str]
    placed_by: Mapped[str] = mapped_column(comment="as callers are named in the audit log")
    placed_at: Mapped[Moment]


class ExpiryNotice(Table):
    """Of a week: which submissions go, so many days after they were announced. Then `after` is how
    far they have gone.
    """

    __tablename__ = "expiry_notices"
    __table_args__ = ({"schema": SPARK},)

    week: Mapped[date] = mapped_column(primary_key=True, comment="its Monday")
    announced_at: Mapped[datetime]
    goes_before: Mapped[datetime] = mapped_column(comment="what was recorded before it goes")
    submissions: Mapped[int] = mapped_column(BigInteger, comment="not announced before")
    after: Mapped[UUID | None] = mapped_column(comment="the last revision that was looked at")
    finished_at: Mapped[datetime | None]


class ExpiryCount(Table):
    """How much of an organisation went in a year because it was old; it is empty where Spark names
    none.
    """

    __tablename__ = "expiry_counts"
    __table_args__ = ({"schema": SPARK},)

    year: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    spark_org_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    submissions: Mapped[int] = mapped_column(BigInteger)
    files: Mapped[int] = mapped_column(BigInteger)
    blocks: Mapped[int] = mapped_column(BigInteger)


class Adoption(Table):
    """The one row that makes a database adopted: `public` is the main app's, and we moved in."""

    __tablename__ = "adoption"
    __table_args__ = (CheckConstraint("id", name="is_one"), {"schema": SPARK})

    id: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    adopted_at: Mapped[Moment]
    adopted_by: Mapped[str] = mapped_column(comment="a role of the database")
    findings: Mapped[list[Any]] = mapped_column(JSONB, comment="what `adopt` printed")


class Milestone(Table):
    """A step of going live that was seen, or that somebody marked."""

    __tablename__ = "milestones"
    __table_args__ = ({"schema": SPARK},)

    name: Mapped[str] = mapped_column(primary_key=True)
    seen_at: Mapped[datetime]
    marked_by: Mapped[str | None] = mapped_column(comment="a service key")


class TombstoneKey(Table):
    """The one key of the hashes of erasures, made with the database. A new one would forget all."""

    __tablename__ = "tombstone_key"
    __table_args__ = (CheckConstraint("id", name="is_one"), {"schema": SPARK})

    id: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    key: Mapped[bytes]
