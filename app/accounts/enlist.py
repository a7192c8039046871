"""Accounts for students: for one who signs in, and for many at once as a roster names them.

On a roster known students keep what they have, but a synthesised address gives way to a real one.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Text, any_, bindparam

from app.accounts.create_accounts import create_links, create_users
from app.accounts.linked_students import ALL_LINKED, LinkedStudent
from app.accounts.owners import Owner, find_owners
from app.accounts.students import (
    AccountRules,
    Student,
    StudentAccount,
    active_account,
    link_row,
    lock_students,
    plan_account,
    take_address,
    unroutable_email,
    user_row,
    why_unlinked,
)
from app.accounts.tombstones import find_erased
from app.accounts.withheld_links import record_withheld
from app.adoption.read_catalogue import Catalogue
from app.database import Session
from app.errors import AccountErasedError, AccountInactiveError, AccountLinkForbiddenError
from app.models import LmsIntegration

MAX_STUDENTS = 200  # in one transaction: each holds up to four of the database's few locks
Refused = AccountInactiveError | AccountLinkForbiddenError
REFUSALS = (AccountInactiveError, AccountLinkForbiddenError)


_LINKED = ALL_LINKED.add_columns(LmsIntegration.lms_user_id).where(
    LmsIntegration.lms_user_id == any_(bindparam("ids", type_=ARRAY(Text)))
)


async def find_students(
    session: Session, spark_user_ids: Sequence[str]
) -> dict[str, LinkedStudent]:
    """Those who are linked, active or not, by Spark id."""
    found = await session.execute(_LINKED, {"ids": list(spark_user_ids)})
    return {row.lms_user_id: LinkedStudent(*row[:-1]) for row in found}


def active_or_refused(known: LinkedStudent) -> StudentAccount | Refused:
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
    rules: AccountRules,
) -> Mapping[str, StudentAccount | Refused]:
    """Everyone's account, or why there is none, by Spark id. MAX_STUDENTS at once, each named once.

    Nothing is written for who is refused.
    """
    listed = await find_students(session, [student.spark_user_id for student in students])
    unknown = [student for student in students if student.spark_user_id not in listed]
    movable = [student for student in students if _has_better(listed, student)]
    if unknown or movable:
        await lock_students(session, [*unknown, *movable])
        listed |= await find_students(session, [student.spark_user_id for student in unknown])
    accounts = {name: active_or_refused(linked) for name, linked in listed.items()}
    for student in movable:
        account = accounts[student.spark_user_id]
        if isinstance(account, StudentAccount):
            await take_address(session, account.user_id, student, rules)
    missing = [student for student in unknown if student.spark_user_id not in listed]
    erased = await find_erased(session, rules.tombstones, [each.spark_user_id for each in missing])
    barred = [student for student in missing if _is_barred(student, erased)]
    accounts |= {student.spark_user_id: AccountErasedError() for student in barred}
    missing = [student for student in missing if student not in barred]
    return accounts | await _make(session, missing, now=now, new_id=new_id, rules=rules)


def _is_barred(student: Student, erased: Mapping[str, datetime]) -> bool:
    """Who was erased comes back by a later click alone."""
    erased_at = erased.get(student.spark_user_id)
    return bool(erased_at and not (student.clicked_at and student.clicked_at > erased_at))


def _has_better(listed: Mapping[str, LinkedStudent], student: Student) -> bool:
    """Whether a synthesised address has to give way to a real one."""
    found = listed.get(student.spark_user_id)
    synthesised = found is not None and found.email == unroutable_email(student.spark_user_id)
    return synthesised and student.own_address is not None


async def _make(
    session: Session,
    students: Sequence[Student],
    *,
    now: datetime,
    new_id: Callable[[], UUID],
    rules: AccountRules,
) -> dict[str, StudentAccount | Refused]:
    """For students who are locked and have no link."""
    accounts: dict[str, StudentAccount | Refused] = {}
    if not students:
        return accounts
    catalogue = await rules.place(session)
    owners = defaultdict[str | None, list[Owner]](list)
    addresses = {student.address for student in students if student.address}
    for owner in await find_owners(session, list(addresses), catalogue):
        owners[owner.email].append(owner)
    new = _NewRows()
    for student in map(new.without_used, students):
        here = owners[student.address]
        try:
            account = plan_account(
                student, here, new_user_id=new_id(), link_by_email=rules.link_by_email
            )
        except REFUSALS as refused:
            accounts[student.spark_user_id] = refused
        else:
            accounts[student.spark_user_id] = account
            new.add(student, account, here)
    # Whose address somebody registered with at this moment: now they are its owner.
    if late := await new.insert(session, catalogue, now=now, rules=rules):
        accounts |= await _make(session, late, now=now, new_id=new_id, rules=rules)
    return accounts


class _NewRows:
    """Accounts and links to be written, and the addresses that are somebody's with them."""

    def __init__(self) -> None:
        self._planned: list[tuple[Student, StudentAccount, Sequence[Owner]]] = []
        self._used: set[str | None] = set()

    def without_used(self, student: Student) -> Student:
        """A sibling's address is not this student's."""
        return replace(student, email=None) if student.address in self._used else student

    def add(self, student: Student, account: StudentAccount, owners: Sequence[Owner]) -> None:
        self._planned.append((student, account, owners))
        if account.linked or not owners:
            self._used.add(student.own_address)

    async def insert(
        self, session: Session, catalogue: Catalogue, *, now: datetime, rules: AccountRules
    ) -> list[Student]:
        """Those of whom nothing was written, because their address is somebody's by now."""
        users = [
            user_row(student, account.user_id, is_taken=bool(owners))
            for student, account, owners in self._planned
            if account.created
        ]
        made = await create_users(session, users, catalogue)
        made |= {account.user_id for _, account, _ in self._planned if account.linked}
        written = [each for each in self._planned if each[1].user_id in made]
        await create_links(
            session,
            [link_row(student, account, now=now, rules=rules) for student, account, _ in written],
        )
        for student, account, owners in written:
            await _record_withheld(session, student, account, owners)
        return [student for student, account, _ in self._planned if account.user_id not in made]


async def _record_withheld(
    session: Session, student: Student, account: StudentAccount, owners: Sequence[Owner]
) -> None:
    for owner in owners:
        if account.created and owner.is_free and (reason := why_unlinked(student, owner)):
            await record_withheld(session, account.user_id, reason)
