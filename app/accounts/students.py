"""Whose account a Spark student signs in to (SECURITY D6).

Identity is (platform, Spark user id), never the e-mail address. An address links a first sign-in
only to a plain student account that has no Spark link yet. First sign-ins are serialised per
student and per address by advisory locks, so that races make one account.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import AccountInactiveError, AccountLinkForbiddenError, StudentNotFoundError
from app.models import LmsIntegration, User

PLATFORM = "spark"

Known = Row[UUID, str | None, str, bool, str]
Owner = Row[UUID, str, str, str]  # the last, a Spark id, is None where there is no link


@dataclass(frozen=True)
class Student:
    """Who Spark says this is. `email` is lower-case and usable, or None."""

    spark_user_id: str
    email: str | None
    given_name: str
    family_name: str


@dataclass(frozen=True)
class Account:
    user_id: UUID
    created: bool = False
    linked: bool = False


async def find_or_create_account(
    session: AsyncSession,
    student: Student,
    *,
    now: datetime,
    new_user_id: UUID,
    link_by_email: bool,
) -> Account:
    """Raises AccountInactiveError or AccountLinkForbiddenError; then nothing may be committed."""
    known = await _find_linked(session, student.spark_user_id)
    if known is None:
        await _lock(session, f"student:{student.spark_user_id}")
        known = await _find_linked(session, student.spark_user_id)
    if known is not None:
        _refuse_inactive(known)
        await _refresh(session, student, known, now=now)
        return Account(known.id)
    owner = await _linkable_owner(session, student, allowed=link_by_email)
    if owner is None:
        await _create(session, student, new_user_id)
    account = Account(owner or new_user_id, created=owner is None, linked=owner is not None)
    await _link(session, student, account, now=now)
    return account


async def get_student(session: AsyncSession, spark_user_id: str) -> UUID:
    """The user of this Spark student. Raises StudentNotFoundError or AccountInactiveError."""
    known = await _find_linked(session, spark_user_id)
    if known is None:
        raise StudentNotFoundError(spark_user_id=spark_user_id)
    _refuse_inactive(known)
    user_id: UUID = known.id
    return user_id


def unroutable_email(spark_user_id: str) -> str:
    """An address for a student without one. No claim can name it, and no mail reaches it."""
    digest = hashlib.sha256(spark_user_id.encode()).hexdigest()[:32]
    return f"spark-{digest}@students.invalid"


async def _find_linked(session: AsyncSession, spark_user_id: str) -> Known | None:
    found = await session.execute(
        select(
            User.id,
            User.email,
            User.deletion_status,
            LmsIntegration.sync_enabled,
            LmsIntegration.sync_status,
        )
        .join(LmsIntegration, LmsIntegration.user_id == User.id)
        .where(
            LmsIntegration.lms_platform == PLATFORM,
            LmsIntegration.lms_user_id == spark_user_id,
        )
    )
    return found.one_or_none()


def _refuse_inactive(known: Known) -> None:
    paused = not known.sync_enabled or known.sync_status == "paused"
    if paused or known.deletion_status != "none":
        raise AccountInactiveError


async def _refresh(session: AsyncSession, student: Student, known: Known, *, now: datetime) -> None:
    """Names follow Spark at every sign-in; the address only when it is nobody else's."""
    values: dict[str, Any] = _names(student) | {"last_active": now}
    if student.email not in (None, known.email) and not await _owners(session, student.email):
        values["email"] = student.email
    link = (
        update(LmsIntegration)
        .where(LmsIntegration.user_id == known.id, LmsIntegration.lms_platform == PLATFORM)
        .values(last_sync_at=now, updated_at=now)
        .returning(LmsIntegration.user_id)
        .cte("link")
    )
    await session.execute(update(User).where(User.id == link.c.user_id).values(values))


async def _linkable_owner(session: AsyncSession, student: Student, *, allowed: bool) -> UUID | None:
    """The plain, unlinked student account of this address, if there is one.

    An address of a student who has a Spark link is no obstacle: siblings share a parent's.
    """
    owners = await _owners(session, student.email)
    if any(owner.role != "student" for owner in owners):
        raise AccountLinkForbiddenError
    unlinked = [owner for owner in owners if owner.spark_user_id is None]
    if not unlinked:
        return None
    if not allowed or len(unlinked) > 1:
        raise AccountLinkForbiddenError
    if unlinked[0].deletion_status != "none":
        raise AccountInactiveError
    owner_id: UUID = unlinked[0].id
    return owner_id


async def _owners(session: AsyncSession, email: str | None) -> Sequence[Owner]:
    """Every account of this address; nobody else can take it until the transaction ends."""
    if email is None:
        return ()
    await _lock(session, f"email:{email}")
    owners = await session.execute(
        select(
            User.id,
            User.role,
            User.deletion_status,
            LmsIntegration.lms_user_id.label("spark_user_id"),
        )
        .outerjoin(
            LmsIntegration,
            (LmsIntegration.user_id == User.id) & (LmsIntegration.lms_platform == PLATFORM),
        )
        .where(User.email == email)
    )
    return owners.all()


async def _create(session: AsyncSession, student: Student, user_id: UUID) -> None:
    taken = bool(await _owners(session, student.email))
    email = unroutable_email(student.spark_user_id) if taken else student.email
    await session.execute(
        insert(User).values(
            id=user_id,
            email=email or unroutable_email(student.spark_user_id),
            role="student",
            **_names(student),
        )
    )


async def _link(
    session: AsyncSession, student: Student, account: Account, *, now: datetime
) -> None:
    await session.execute(
        insert(LmsIntegration).values(
            user_id=account.user_id,
            lms_platform=PLATFORM,
            lms_user_id=student.spark_user_id,
            last_sync_at=now,
        )
    )


def _names(student: Student) -> dict[str, str]:
    both = f"{student.given_name} {student.family_name}".strip()
    names = {
        "first_name": student.given_name,
        "last_name": student.family_name,
        "display_name": both[:100],
    }
    return {column: name for column, name in names.items() if name}


async def _lock(session: AsyncSession, name: str) -> None:
    """Until the transaction ends. Always the student first and the address second."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
