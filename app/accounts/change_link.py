"""A student's link to Spark, changed by hand: made, paused, resumed, ended. Each is audited.

Made under the locks of a first sign-in and of the account's row, so that of two links at once one
is made and the other refused: the main app's tables do not forbid a user two.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Text, Uuid, bindparam, delete, select, update

from app.accounts.create_accounts import create_links
from app.accounts.linked_students import find_linked
from app.accounts.sessions import end_sign_ins
from app.accounts.students import (
    AccountRules,
    Student,
    StudentAccount,
    link_row,
    lock_students,
)
from app.accounts.tombstones import find_erasure
from app.activity.audit import record_audit
from app.adoption.people import DELETION_STATUS, IS_STUDENT, NEWEST_LINK_FIRST
from app.database import Session, Sessions, retried
from app.errors import (
    AccountErasedError,
    AccountInactiveError,
    AccountLinkForbiddenError,
    NotAStudentError,
    NotFoundError,
)
from app.models import PLATFORM, LmsIntegration, User

Status = Literal["active", "paused"]

TAKEN = "This Spark id is linked to another account: unlink it there first."
LINKED = "The account is linked to another Spark id: unlink it first."
NOT_LINKED = "No account has this id, or it is not linked to Spark."

_OF_USER = bindparam("of_user", type_=Uuid)
_EMAIL = select(User.email).where(User.id == _OF_USER)
_LOCK = (
    select(IS_STUDENT.label("is_student"), DELETION_STATUS.label("deletion_status"))
    .where(User.id == _OF_USER)
    .with_for_update(key_share=True)  # of two such acts one waits; an erasure waits, or was first
)
_LINKS = (LmsIntegration.user_id == _OF_USER) & (LmsIntegration.lms_platform == PLATFORM)
_LINK = (
    select(LmsIntegration.lms_user_id).where(_LINKS).order_by(*NEWEST_LINK_FIRST).with_for_update()
)
_STATUS = bindparam("status", type_=Text)
_SET = (
    update(LmsIntegration)
    .where(_LINKS)
    .values(
        sync_status=_STATUS,
        sync_enabled=(_STATUS == "active") | LmsIntegration.sync_enabled,
        updated_at=bindparam("now"),
    )
)
_END = delete(LmsIntegration).where(_LINKS)


@retried
async def link_student(
    sessions: Sessions,
    rules: AccountRules,
    user_id: UUID,
    spark_user_id: str,
    *,
    caller: str,
    now: datetime,
) -> None:
    """Whoever is linked so already stays so, so it may be repeated.

    Raises NotFoundError, NotAStudentError, AccountInactiveError, AccountErasedError or
    AccountLinkForbiddenError.
    """
    async with sessions() as session, session.begin():
        found = await session.execute(_EMAIL, {"of_user": user_id})
        student = Student(spark_user_id, found.scalar_one_or_none(), "", "")
        await lock_students(session, [student])
        await _require_student(session, user_id)
        linked = await find_linked(session, spark_user_id)
        if linked and linked.user_id == user_id:
            return
        if linked:
            raise AccountLinkForbiddenError(hint=TAKEN)
        if await _links(session, user_id):
            raise AccountLinkForbiddenError(hint=LINKED)
        if await find_erasure(session, rules.tombstones, spark_user_id):
            raise AccountErasedError
        await rules.place(session)
        row = link_row(student, StudentAccount(user_id), now=now, rules=rules)
        await create_links(session, [row | {"last_sync_at": None}])
        await record_audit(
            session, caller, "sensitive_create", user_id=user_id, linked=spark_user_id
        )


@retried
async def set_link(
    sessions: Sessions, user_id: UUID, status: Status, *, caller: str, now: datetime
) -> None:
    """Pause or resume: all links, where the student has several. Raises NotFoundError."""
    async with sessions() as session, session.begin():
        changed = await session.execute(_SET, {"of_user": user_id, "status": status, "now": now})
        if not changed.rowcount:
            raise NotFoundError(hint=NOT_LINKED)
        await record_audit(session, caller, "sensitive_update", user_id=user_id, link=status)


@retried
async def unlink_student(sessions: Sessions, user_id: UUID, *, caller: str) -> None:
    """Of all Spark ids; open sessions end. What was handed in stays. Raises NotFoundError."""
    async with sessions() as session, session.begin():
        links = await _links(session, user_id)
        if not links:
            raise NotFoundError(hint=NOT_LINKED)
        await session.execute(_END, {"of_user": user_id})
        await end_sign_ins(session, user_id)
        await record_audit(session, caller, "sensitive_delete", user_id=user_id, unlinked=links)


async def _require_student(session: Session, user_id: UUID) -> None:
    found = await session.execute(_LOCK, {"of_user": user_id})
    user = found.one_or_none()
    if user is None:
        raise NotFoundError
    if not user.is_student:
        raise NotAStudentError(hint="Spark's students are linked to accounts of students alone.")
    if user.deletion_status != "none":
        raise AccountInactiveError


async def _links(session: Session, user_id: UUID) -> list[str]:
    return list((await session.execute(_LINK, {"of_user": user_id})).scalars())
