"""Users, their link to Spark, and how they sign in."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.columns import (
    PLATFORM,
    PLATFORMS,
    SPARK,
    Id,
    Moment,
    No,
    OwnId,
    Platform,
    Table,
    UserId,
    Yes,
    Zero,
    one_of,
)


class User(Table):
    """What a school's own account may do stands in its `org_role` and `org_roles`, which are the
    main app's to write.
    """

    __tablename__ = "users"
    __table_args__ = (
        one_of("role", "'student', 'parent', 'advisor', 'admin', 'observer'"),
        one_of("deletion_status", "'none', 'pending', 'completed'"),
        CheckConstraint("email = lower(email)", name="email_lower_case"),
        # ASCII letters alone: other lower case would fold look-alikes of an address into it.
        Index("ix_users_email_lower", text('lower(email COLLATE "C")')),
    )

    id: Mapped[OwnId]
    first_name: Mapped[str | None] = mapped_column(String(100))
    last_name: Mapped[str | None] = mapped_column(String(100))
    display_name: Mapped[str | None] = mapped_column(String(100))
    email: Mapped[str | None] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(50), server_default="student")
    portfolio_slug: Mapped[str | None] = mapped_column(String(100), unique=True)
    total_xp: Mapped[Zero]
    date_of_birth: Mapped[date | None]
    deletion_status: Mapped[str] = mapped_column(String(20), server_default="none")
    last_active: Mapped[datetime | None]
    created_at: Mapped[Moment]
    organization_id: Mapped[UUID | None]
    org_role: Mapped[str | None]
    org_roles: Mapped[Any | None] = mapped_column(JSONB)
    last_logout_at: Mapped[datetime | None]


class LmsIntegration(Table):
    """A student of an LMS is this user. Nobody else's, and a user has one link per LMS."""

    __tablename__ = "lms_integrations"
    __table_args__ = (
        one_of("lms_platform", PLATFORMS),
        one_of("sync_status", "'active', 'paused', 'error'"),
        UniqueConstraint("lms_platform", "lms_user_id"),
        UniqueConstraint("lms_platform", "user_id"),
    )

    id: Mapped[Id]
    user_id: Mapped[UserId] = mapped_column(index=True)
    lms_platform: Mapped[Platform]
    lms_user_id: Mapped[str] = mapped_column(String(255))
    lms_course_id: Mapped[str | None] = mapped_column(String(255))
    sync_enabled: Mapped[Yes]
    sync_status: Mapped[str] = mapped_column(String(20), server_default="active")
    last_sync_at: Mapped[datetime | None]
    created_at: Mapped[Moment]
    updated_at: Mapped[Moment]
    organization_id: Mapped[UUID | None]


LINK_OF_USER = (LmsIntegration.user_id == User.id) & (LmsIntegration.lms_platform == PLATFORM)


class LmsSession(Table):
    """One sign-in; `session_token` is the SHA-256 of its refresh token."""

    __tablename__ = "lms_sessions"
    __table_args__ = (
        one_of("lms_platform", PLATFORMS),
        # What ended long ago is deleted.
        Index(None, "expires_at"),
        Index(None, "revoked_at", postgresql_where=text("revoked_at is not null")),
        {"schema": SPARK},
    )

    id: Mapped[Id]
    user_id: Mapped[UserId] = mapped_column(index=True)
    lms_platform: Mapped[Platform]
    session_token: Mapped[str] = mapped_column(String(500))
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[Moment]


class SparkAuthCode(Table):
    """A one-time code: issued, then redeemed (`used`), superseded or expired."""

    __tablename__ = "spark_auth_codes"
    __table_args__ = ({"schema": SPARK},)

    code: Mapped[str] = mapped_column(primary_key=True, comment="SHA-256 of the code, in hex")
    user_id: Mapped[UserId] = mapped_column(index=True)
    expires_at: Mapped[datetime]
    used: Mapped[No]
    created_at: Mapped[Moment]
    superseded_at: Mapped[datetime | None]
    session_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("spark.lms_sessions.id", ondelete="SET NULL"), index=True
    )


class SsoReplay(Table):
    """A launch token that was used; its key is a digest of `sub` and `jti`, or of the signing
    input.
    """

    __tablename__ = "sso_replays"
    __table_args__ = ({"schema": SPARK},)

    key: Mapped[bytes] = mapped_column(primary_key=True)
    code_hash: Mapped[str] = mapped_column(index=True)
    exchanged_at: Mapped[datetime | None]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class ServiceKey(Table):
    """A credential of the internal API, `optio_<id>.<secret>`."""

    __tablename__ = "service_keys"
    __table_args__ = (
        CheckConstraint("scopes <@ array['read', 'write', 'admin']", name="scopes"),
        {"schema": SPARK},
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    secret_hash: Mapped[bytes] = mapped_column(comment="SHA-256 of the secret")
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[Moment]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None] = mapped_column(comment="to the hour")


class ConsoleSession(Table):
    """A sign-in to the console with a service key."""

    __tablename__ = "console_sessions"
    __table_args__ = ({"schema": SPARK},)

    hash: Mapped[bytes] = mapped_column(primary_key=True, comment="SHA-256 of what the cookie has")
    key_id: Mapped[str] = mapped_column(ForeignKey("spark.service_keys.id", ondelete="CASCADE"))
    created_at: Mapped[Moment]
    seen_at: Mapped[Moment]
    ended_at: Mapped[datetime | None]
