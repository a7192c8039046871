"""Roster files: what they say, what was planned for each row, and what became of it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.models.columns import SPARK, Moment, No, OwnId, Table, one_of


class RosterImport(Table):
    """A file that was read. `is_whole` says that who is not in it has left."""

    __tablename__ = "roster_imports"
    __table_args__ = (
        one_of("state", "'reading', 'checked', 'applying', 'held', 'applied'"),
        {"schema": SPARK},
    )

    id: Mapped[OwnId]
    state: Mapped[str] = mapped_column(server_default="reading")
    is_whole: Mapped[No]
    created_at: Mapped[Moment] = mapped_column(index=True)
    applied_at: Mapped[datetime | None]


class RosterRow(Table):
    """A row of a file, or (`absent`) a student who is not in it any more."""

    __tablename__ = "roster_rows"
    __table_args__ = (
        one_of("source", "'users', 'roles', 'enrollments', 'absent'"),
        one_of(
            "outcome",
            "'create', 'link', 'enrol', 'drop', 'held', 'unchanged', 'skipped', 'error'",
        ),
        Index(None, "import_id", "spark_user_id", "source"),
        Index(None, "import_id", "quest_id"),
        {"schema": SPARK},
    )

    import_id: Mapped[UUID] = mapped_column(
        ForeignKey("spark.roster_imports.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    source: Mapped[str]
    line: Mapped[int | None]
    spark_user_id: Mapped[str | None]
    email: Mapped[str | None]
    given_name: Mapped[str | None]
    family_name: Mapped[str | None]
    is_student: Mapped[No]
    spark_org_id: Mapped[str | None]
    spark_course_id: Mapped[str | None]
    quest_id: Mapped[UUID | None]
    leaves: Mapped[No]
    outcome: Mapped[str | None]
    code: Mapped[str | None]
    is_done: Mapped[No]
