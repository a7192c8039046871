"""Work that is done once it is committed, whatever happens to who ordered it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.columns import SPARK, Id, Moment, Table, UserId, Zero, one_of


class Job(Table):
    """`kind` of work on the thing `key`: waiting until `run_at`, running while leased by `owner`,
    or dead. Of one thing there is at most one of each, so that what is newer waits for its turn.

    `payload` holds ids, never what is personal; a job that is done is deleted.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        one_of("state", "'waiting', 'running', 'dead'"),
        UniqueConstraint("kind", "key", "state"),
        Index(None, "kind", "run_at", postgresql_where=text("state = 'waiting'")),
        Index(None, "target", "run_at", postgresql_where=text("state = 'waiting'")),
        Index(None, "lease_until", postgresql_where=text("state = 'running'")),
        Index(None, "died_at", "kind", postgresql_where=text("state = 'dead'")),
        {"schema": SPARK},
    )

    id: Mapped[Id]
    kind: Mapped[str]
    key: Mapped[str]
    user_id: Mapped[UserId | None] = mapped_column(index=True)
    target: Mapped[str | None] = mapped_column(comment="whom it calls; its state is a job_target")
    payload: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    state: Mapped[str] = mapped_column(server_default="waiting")
    run_at: Mapped[Moment]
    owner: Mapped[UUID | None]
    lease_until: Mapped[datetime | None]
    attempts: Mapped[Zero]
    reason: Mapped[str | None] = mapped_column(comment="a code: why it is not done yet")
    created_at: Mapped[Moment]
    died_at: Mapped[datetime | None]


class JobTarget(Table):
    """Whom jobs call. While it is not open their jobs wait, and after `paused_until` one of them
    tries; without a moment only a person opens it.
    """

    __tablename__ = "job_targets"
    __table_args__ = (one_of("state", "'open', 'paused', 'refused'"), {"schema": SPARK})

    name: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(server_default="open")
    paused_until: Mapped[datetime | None]
    failures: Mapped[Zero] = mapped_column(comment="since it was reached last")
    reason: Mapped[str | None]
    since: Mapped[Moment] = mapped_column(comment="its state")
    last_success_at: Mapped[datetime | None]
