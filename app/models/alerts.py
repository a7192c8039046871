"""What operators are told."""

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.columns import SPARK, Moment, Table, one_of


class Alert(Table):
    """A rule, from when it was measured first. `value` is null where there was too little to judge;
    `codes` says how often each one was counted.
    """

    __tablename__ = "alerts"
    __table_args__ = (one_of("state", "'ok', 'firing'"), {"schema": SPARK})

    name: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(server_default="ok")
    since: Mapped[Moment] = mapped_column(comment="its state")
    value: Mapped[float | None]
    codes: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    quiet_since: Mapped[datetime | None] = mapped_column(comment="it fires and need not any more")
    told_at: Mapped[datetime | None]
    measured_at: Mapped[Moment]
