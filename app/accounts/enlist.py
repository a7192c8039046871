"""Accounts for many students at once, as a roster names them.

Students who are known keep what they have, but a synthesised address gives way to a real one.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Text, any_, bindparam, select

from app.accounts.students import (
    Account,
    Known,
    Student,
    active_account,
    lock_students,
    make_account,
    take_address,
    unroutable_email,
)
from app.database import Session
from app.errors import AccountInactiveError, AccountLinkForbiddenError
from app.models import PLATFORM, LmsIntegration, User

MAX_STUDENTS = 200  # in one transaction: each holds up to two of the database's few locks
Refused = AccountInactiveError | AccountLinkForbiddenError
REFUSALS = (AccountInactiveError, AccountLinkForbiddenError)


class Listed(NamedTuple):
    known: Known
    email: str | None


_LISTED = (
    select(
        LmsIntegration.lms_user_id,
        User.email,
        User.id,
        User.role,
        User.deletion_status,
        LmsIntegration.sync_enabled,
        LmsIntegration.sync_status,
    )
    .join(LmsIntegration, LmsIntegration.user_id == User.id)
    .where(
        LmsIntegration.lms_platform == PLATFORM,
        LmsIntegration.lms_user_id == any_(bindparam("ids", type_=ARRAY(Text))),
    )
)


async def find_students(session: Session, spark_user_ids: Sequence[str]) -> dict[str, Listed]:
    """Those who are linked, active or not, by Spark id."""
    found = await session.execute(_LISTED, {"ids": list(spark_user_ids)})
    return {row.lms_user_id: Listed(Known(*row[2:]), row.email) for row in found}


def active_or_refused(known: Known) -> Account | Refused:
    try:
        return active_account(known)
    except REFUSALS as refused:
        return refused


async def enlist(
    session: Session,
    students: Sequence[Student],
    *,
    now: datetime,
    new_id: Callable[[], UUID],
    link_by_email: bool,
) -> Mapping[str, Account | Refused]:
    """Everyone's account, or why there is none, by Spark id. MAX_STUDENTS at once, each named once.

    Nothing is written for who is refused.
    """
    listed = await find_students(session, [student.spark_user_id for student in students])
    unknown = [student for student in students if student.spark_user_id not in listed]
    movable = [student for student in students if _has_better(listed, student)]
    if unknown or movable:
        await lock_students(session, [*unknown, *movable])
        listed |= await find_students(session, [student.spark_user_id for student in unknown])
    accounts = {name: active_or_refused(found.known) for name, found in listed.items()}
    for student in movable:
        account = accounts[student.spark_user_id]
        if isinstance(account, Account):
            await take_address(session, account.user_id, student.email)
    for student in unknown:
        if student.spark_user_id not in accounts:  # no twin has made it meanwhile
            accounts[student.spark_user_id] = await _make(
                session, student, now=now, new_user_id=new_id(), link_by_email=link_by_email
            )
    return accounts


def _has_better(listed: Mapping[str, Listed], student: Student) -> bool:
    """Whether a synthesised address has to give way to a real one."""
    found = listed.get(student.spark_user_id)
    synthesised = found is not None and found.email == unroutable_email(student.spark_user_id)
    return synthesised and student.email is not None


async def _make(
    session: Session, student: Student, *, now: datetime, new_user_id: UUID, link_by_email: bool
) -> Account | Refused:
    try:
        return await make_account(
            session, student, now=now, new_user_id=new_user_id, link_by_email=link_by_email
        )
    except REFUSALS as refused:
        return refused
