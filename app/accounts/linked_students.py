"""Who is linked to Spark, and whether the account may be used here."""

from typing import Literal, NamedTuple
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    SQLColumnExpression,
    bindparam,
    exists,
    literal_column,
    select,
)

from app.adoption.people import (
    DELETION_SQL,
    DELETION_STATUS,
    IS_STUDENT,
    IS_STUDENT_SQL,
    LINK_IS_ON,
    LINK_IS_ON_SQL,
    LINK_STATUS,
    LINK_STATUS_SQL,
)
from app.database import Session
from app.errors import AccountInactiveError, StudentNotFoundError
from app.models import PLATFORM, LmsIntegration, User


class LinkedStudent(NamedTuple):
    """A user who is linked to Spark, in the columns of LINKED."""

    user_id: UUID
    is_student: bool
    deletion_status: str
    sync_enabled: bool
    sync_status: str
    email: str | None


ALL_LINKED = (
    select(
        User.id.label("user_id"),
        IS_STUDENT.label("is_student"),
        DELETION_STATUS.label("deletion_status"),
        LINK_IS_ON.label("sync_enabled"),
        LINK_STATUS.label("sync_status"),
        User.email,
    )
    .join(LmsIntegration, LmsIntegration.user_id == User.id)
    .where(LmsIntegration.lms_platform == PLATFORM)
)
LINKED = ALL_LINKED.where(LmsIntegration.lms_user_id == bindparam("spark_user_id"))


# As `why_inactive` says it, for statements that name the user by a column.
STUDENT_IS_ACTIVE_SQL = f"({IS_STUDENT_SQL} and {DELETION_SQL} = 'none')"
LINK_IS_ACTIVE_SQL = f"""\
(lms_integrations.lms_platform = '{PLATFORM}' and {LINK_IS_ON_SQL}
 and {LINK_STATUS_SQL} <> 'paused')"""
STUDENT_IS_ACTIVE = literal_column(STUDENT_IS_ACTIVE_SQL, Boolean)
LINK_IS_ACTIVE = literal_column(LINK_IS_ACTIVE_SQL, Boolean)


def is_active(user_id: SQLColumnExpression[UUID]) -> ColumnElement[bool]:
    """A piece of a statement: whether this user is a student whom Spark lets in now."""
    return exists().where(
        User.id == user_id,
        STUDENT_IS_ACTIVE,
        LmsIntegration.user_id == user_id,
        LINK_IS_ACTIVE,
    )


async def find_linked(session: Session, spark_user_id: str) -> LinkedStudent | None:
    found = await session.execute(LINKED, {"spark_user_id": spark_user_id})
    known = found.one_or_none()
    return LinkedStudent(*known) if known else None


def check_student(known: LinkedStudent | None, *, spark_user_id: str) -> UUID:
    """The user in a row of LINKED. Raises StudentNotFoundError or AccountInactiveError."""
    if known is None:
        raise StudentNotFoundError(spark_user_id=spark_user_id)
    refuse_inactive(known)
    return known.user_id


def why_inactive(
    known: LinkedStudent,
) -> Literal["deletion_pending", "not_a_student", "paused"] | None:
    """An account that was linked as a student's and is somebody else's now is not active here."""
    if known.deletion_status != "none":
        return "deletion_pending"
    if not known.is_student:
        return "not_a_student"
    is_paused = not known.sync_enabled or known.sync_status == "paused"
    return "paused" if is_paused else None


def refuse_inactive(known: LinkedStudent) -> None:
    """Raises AccountInactiveError."""
    if why_inactive(known):
        raise AccountInactiveError
