"""Whose account a Spark student signs in to (SECURITY D6).

Identity is (platform, Spark user id), never the e-mail address. An address links a first sign-in
only to a plain student account that has no Spark link yet, if `why_unlinked` has no reason. First
sign-ins are serialised per student and per address by advisory locks, so that races make one
account.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Row,
    Text,
    any_,
    bindparam,
    case,
    func,
    insert,
    select,
    update,
)

from app.accounts.linked_students import (
    LINK_IS_ACTIVE,
    STUDENT_IS_ACTIVE,
    LinkedStudent,
    refuse_inactive,
)
from app.accounts.personal import agreeing_name, folded_email
from app.accounts.tombstones import Tombstones
from app.adoption.shape import LiveShape
from app.database import Session
from app.errors import AccountInactiveError, AccountLinkForbiddenError
from app.models import PLATFORM, LmsIntegration, User

# The last but one, a Spark id, is None where there is no link.
Owner = Row[UUID, str | None, str, str, str, str | None]


@dataclass(frozen=True)
class Student:
    """Who Spark says this is. `email` is as `usable_email` gives it.

    `clicked_at` is when the student came in person, at the earliest; None for who is only on a
    roster.
    """

    spark_user_id: str
    email: str | None
    given_name: str
    family_name: str
    clicked_at: datetime | None = None

    @property
    def address(self) -> str | None:
        """By which owners are found and locked, look-alikes with what they look like."""
        return folded_email(self.email) if self.email else None

    @property
    def own_address(self) -> str | None:
        """What may become the account's: nothing that only looks like `address`."""
        return self.email if self.email == self.address else None

    @property
    def display_name(self) -> str:
        return f"{self.given_name} {self.family_name}".strip()[:100]


@dataclass(frozen=True)
class AccountRules:
    """What decides whether Spark may make or link an account."""

    link_by_email: bool
    tombstones: Tombstones
    shape: LiveShape


@dataclass(frozen=True)
class StudentAccount:
    user_id: UUID
    created: bool = False
    linked: bool = False


def active_account(known: LinkedStudent) -> StudentAccount:
    """Raises AccountInactiveError or AccountLinkForbiddenError."""
    if known.role != "student":
        raise AccountLinkForbiddenError
    refuse_inactive(known)
    return StudentAccount(known.user_id)


def unroutable_email(spark_user_id: str) -> str:
    """An address for a student without one. No claim can name it, and no mail reaches it."""
    digest = hashlib.sha256(spark_user_id.encode()).hexdigest()[:32]
    return f"spark-{digest}@students.invalid"


_NAMES = func.unnest(bindparam("names", type_=ARRAY(Text)))
_KEYS = select(func.hashtextextended(_NAMES, 0).label("key")).distinct().order_by("key").subquery()
_LOCK = select(func.pg_advisory_xact_lock(_KEYS.c.key))
_LINK = (
    update(LmsIntegration)
    .where(
        LmsIntegration.lms_user_id == bindparam("spark_user_id"),
        LINK_IS_ACTIVE,
    )
    .values(last_sync_at=bindparam("now"), updated_at=bindparam("now"))
    .returning(LmsIntegration.user_id, LmsIntegration.created_at)
    .cte("link")
)
# Spark made the account whose link is of the same moment: both are rows of one transaction.
_IS_SPARKS = User.created_at == _LINK.c.created_at
_SAID = {
    name: case((_IS_SPARKS, bindparam(name, type_=Text))) for name in ("given", "family", "display")
}
# In ASCII letters alone, as `usable_email` lowers: an index has it.
_EMAIL = func.lower(User.email.collate("C"))
_REFRESH = (
    update(User)
    .where(
        User.id == _LINK.c.user_id,
        STUDENT_IS_ACTIVE,
    )
    .values(
        first_name=func.coalesce(_SAID["given"], User.first_name),
        last_name=func.coalesce(_SAID["family"], User.last_name),
        display_name=func.coalesce(_SAID["display"], User.display_name),
        last_active=bindparam("now"),
    )
    .returning(User.id, _EMAIL.label("email"))
)


async def refresh_student(
    session: Session, student: Student, *, now: datetime
) -> StudentAccount | None:
    """Sign in a student we know, in one statement; None if there is no active one.

    Of an account that Spark made the names follow Spark at every sign-in; the address of any only
    when it is nobody else's.
    """
    refreshed = await session.execute(
        _REFRESH,
        {
            "spark_user_id": student.spark_user_id,
            "now": now,
            "given": student.given_name or None,
            "family": student.family_name or None,
            "display": student.display_name or None,
        },
    )
    user = refreshed.one_or_none()
    if user is None:
        return None
    if student.own_address not in (None, user.email):
        await take_address(session, user.id, student.own_address)
    return StudentAccount(user.id)


async def take_address(session: Session, user_id: UUID, email: str | None) -> None:
    """The address becomes the user's, unless it is somebody's."""
    if not await _owners(session, email):
        await session.execute(update(User).where(User.id == user_id).values(email=email))


def plan_account(
    student: Student, owners: Sequence[Owner], *, new_user_id: UUID, link_by_email: bool
) -> StudentAccount:
    """The account among the owners of `student.address` that may be linked; else a new one (DESIGN
    R13, R42).

    An address of a student who has a Spark link is no obstacle: siblings share a parent's. Raises
    AccountInactiveError or AccountLinkForbiddenError.
    """
    if any(owner.role != "student" for owner in owners):
        raise AccountLinkForbiddenError
    unlinked = [owner for owner in owners if owner.spark_user_id is None]
    if unlinked and not link_by_email:
        raise AccountLinkForbiddenError
    if any(owner.deletion_status != "none" for owner in unlinked):
        raise AccountInactiveError
    fitting = [owner for owner in unlinked if why_unlinked(student, owner) is None]
    if len(fitting) > 1:
        raise AccountLinkForbiddenError
    if fitting:
        return StudentAccount(fitting[0].id, linked=True)
    return StudentAccount(new_user_id, created=True)


def why_unlinked(student: Student, owner: Owner) -> Literal["address", "given_name"] | None:
    """What speaks against linking this unlinked account of `student.address`. Sign-ins and rosters
    know no other rule.
    """
    # Here is asked whether it is confirmed, once accounts have `auth.users.email_confirmed_at`.
    if student.own_address is None or not student.own_address.isascii():
        return "address"
    given, known = agreeing_name(student.given_name), agreeing_name(owner.first_name or "")
    return "given_name" if given and known and given != known else None


async def _owners(session: Session, email: str | None) -> Sequence[Owner]:
    """Every account of this address; nobody else can take it until the transaction ends."""
    if email is None:
        return ()
    await _lock(session, f"email:{email}")
    return await find_owners(session, [email])


async def find_owners(session: Session, emails: Sequence[str]) -> Sequence[Owner]:
    owners = await session.execute(OWNERS, {"emails": emails})
    return owners.all()


OWNERS = (
    select(
        User.id,
        _EMAIL.label("email"),
        User.role,
        User.deletion_status,
        LmsIntegration.lms_user_id.label("spark_user_id"),
        User.first_name,
    )
    .outerjoin(
        LmsIntegration,
        (LmsIntegration.user_id == User.id) & (LmsIntegration.lms_platform == PLATFORM),
    )
    .where(any_(bindparam("emails", type_=ARRAY(Text))) == _EMAIL)
)
INSERT_USER, INSERT_LINK = insert(User), insert(LmsIntegration)


def user_row(student: Student, user_id: UUID, *, is_taken: bool) -> dict[str, object]:
    """For INSERT_USER. `is_taken` says that the address is somebody's already."""
    email = None if is_taken else student.own_address
    return {
        "id": user_id,
        "email": email or unroutable_email(student.spark_user_id),
        "role": "student",
        "first_name": student.given_name or None,
        "last_name": student.family_name or None,
        "display_name": student.display_name or None,
    }


def link_row(student: Student, account: StudentAccount, *, now: datetime) -> dict[str, object]:
    """For INSERT_LINK."""
    return {
        "user_id": account.user_id,
        "lms_platform": PLATFORM,
        "lms_user_id": student.spark_user_id,
        "last_sync_at": now,
    }


async def lock_students(session: Session, students: Sequence[Student]) -> None:
    """All at once: one after the other, several such lists could wait for each other."""
    await _lock(session, *(f"student:{student.spark_user_id}" for student in students))
    await _lock(session, *(f"email:{student.address}" for student in students if student.email))


async def _lock(session: Session, *names: str) -> None:
    """Until the transaction ends. Always students first and addresses second."""
    await session.execute(_LOCK, {"names": names})
