"""Whose account a Spark student signs in to (SECURITY D6).

Identity is (platform, Spark user id), never the e-mail address. An address links a first sign-in
only to a plain student account that has no Spark link yet, if `why_unlinked` has no reason. First
sign-ins are serialised per student and per address by advisory locks, so that races make one
account.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import ARRAY, Text, bindparam, func, select, update

from app.accounts.linked_students import LinkedStudent, refuse_inactive
from app.accounts.owners import Owner, find_owners
from app.accounts.personal import agreeing_name, folded_email
from app.accounts.tombstones import Tombstones
from app.adoption.read_catalogue import Catalogue
from app.adoption.shape import LiveShape
from app.database import Session
from app.errors import (
    AccountInactiveError,
    AccountLinkForbiddenError,
    DatabaseUnavailableError,
)
from app.models import PLATFORM, User


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
    """What decides whether Spark may make or link an account, and in which organisation."""

    link_by_email: bool
    tombstones: Tombstones
    shape: LiveShape
    organization_id: UUID | None

    async def place(self, session: Session) -> Catalogue:
        """What this database is like. Raises DatabaseUnavailableError if no link can be made."""
        catalogue = await self.shape.read(session)
        if catalogue.links_need_organization and self.organization_id is None:
            raise DatabaseUnavailableError(hint="OPTIO_ORGANIZATION_ID must be set here.")
        return catalogue


@dataclass(frozen=True)
class StudentAccount:
    user_id: UUID
    created: bool = False
    linked: bool = False


def active_account(known: LinkedStudent) -> StudentAccount:
    """Raises AccountInactiveError or AccountLinkForbiddenError."""
    if not known.is_student:
        raise AccountLinkForbiddenError
    refuse_inactive(known)
    return StudentAccount(known.user_id)


def unroutable_email(spark_user_id: str) -> str:
    """An address for a student without one. No claim can name it, and no mail reaches it."""
    digest = hashlib.sha256(spark_user_id.encode()).hexdigest()[:32]
    return f"spark-{digest}@students.invalid"


_NO_LETTER = re.compile("[^a-z0-9]")
_NAMES = func.unnest(bindparam("names", type_=ARRAY(Text)))
_KEYS = select(func.hashtextextended(_NAMES, 0).label("key")).distinct().order_by("key").subquery()
_LOCK = select(func.pg_advisory_xact_lock(_KEYS.c.key))


async def take_address(
    session: Session, user_id: UUID, student: Student, rules: AccountRules
) -> None:
    """The student's address becomes the user's, unless it is somebody else's.

    What GoTrue knows stays as it is: by which address somebody signs in there is not ours to say.
    """
    email = student.own_address
    if email is None:
        return
    await _lock(session, f"email:{email}")  # nobody else can take it until the transaction ends
    owners = await find_owners(session, [email], await rules.shape.read(session))
    if all(owner.id == user_id for owner in owners):
        await session.execute(update(User).where(User.id == user_id).values(email=email))


def plan_account(
    student: Student, owners: Sequence[Owner], *, new_user_id: UUID, link_by_email: bool
) -> StudentAccount:
    """The account among the owners of `student.address` that may be linked; else a new one (DESIGN
    R13, R42).

    An address of a student who has a Spark link is no obstacle: siblings share a parent's. Raises
    AccountInactiveError or AccountLinkForbiddenError.
    """
    if any(owner.id and not owner.is_student for owner in owners):
        raise AccountLinkForbiddenError
    unlinked = [owner for owner in owners if owner.is_free]
    if unlinked and not link_by_email:
        raise AccountLinkForbiddenError
    if any(owner.deletion_status != "none" for owner in unlinked):
        raise AccountInactiveError
    fitting = [owner for owner in unlinked if why_unlinked(student, owner) is None]
    if len(fitting) > 1:
        raise AccountLinkForbiddenError
    if fitting and (owner_id := fitting[0].id):
        return StudentAccount(owner_id, linked=True)
    return StudentAccount(new_user_id, created=True)


def why_unlinked(
    student: Student, owner: Owner
) -> Literal["address", "unconfirmed", "given_name"] | None:
    """What speaks against linking this unlinked account of `student.address`. Sign-ins and rosters
    know no other rule.
    """
    if student.own_address is None or not student.own_address.isascii():
        return "address"
    if not owner.is_confirmed:
        return "unconfirmed"
    given, known = agreeing_name(student.given_name), agreeing_name(owner.first_name or "")
    return "given_name" if given and known and given != known else None


def user_row(student: Student, user_id: UUID, *, is_taken: bool) -> dict[str, object]:
    """For `create_users`. `is_taken` says that the address is somebody's already."""
    email = None if is_taken else student.own_address
    return {
        "id": user_id,
        "email": email or unroutable_email(student.spark_user_id),
        "role": "student",
        "first_name": student.given_name or None,
        "last_name": student.family_name or None,
        "display_name": student.display_name or None,
    }


def link_row(
    student: Student, account: StudentAccount, *, now: datetime, rules: AccountRules
) -> dict[str, object]:
    """For `create_links`."""
    return {
        "user_id": account.user_id,
        "lms_platform": PLATFORM,
        "lms_user_id": student.spark_user_id,
        "last_sync_at": now,
        "organization_id": rules.organization_id,
    }


async def lock_students(session: Session, students: Sequence[Student]) -> None:
    """All at once: one after the other, several such lists could wait for each other."""
    await _lock(session, *(f"student:{student.spark_user_id}" for student in students))
    emails = (f"email:{student.address}" for student in students if student.email)
    # The main app looks for a free portfolio name and then takes it, which is made of this one.
    names = (f"name:{_NO_LETTER.sub('-', student.display_name.lower())}" for student in students)
    await _lock(session, *emails, *names)


async def _lock(session: Session, *names: str) -> None:
    """Until the transaction ends. Always students first, addresses and names second."""
    await session.execute(_LOCK, {"names": names})
