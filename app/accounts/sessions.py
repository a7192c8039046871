"""Sign-ins that can be ended, in the caller's transaction: sessions, and codes that become one.

What the main app accepts offline it refuses at its next refresh when it was issued before
`users.last_logout_at` (ADOPTION 6): who revokes writes that, and a session from before it is over.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Double,
    SQLColumnExpression,
    Uuid,
    bindparam,
    exists,
    func,
    select,
    true,
    update,
)

from app.accounts.linked_students import is_active
from app.adoption.log_out import log_out
from app.database import Session
from app.models import PLATFORM, LmsSession, SparkAuthCode, User

_OURS = LmsSession.lms_platform == PLATFORM  # those of another LMS are not
_IS_OPEN = _OURS & LmsSession.revoked_at.is_(None) & (LmsSession.expires_at > func.now())


def _logged_out(
    user_id: SQLColumnExpression[UUID], since: SQLColumnExpression[datetime]
) -> ColumnElement[bool]:
    return exists().where(User.id == user_id, User.last_logout_at >= since)


_LASTS = _IS_OPEN & ~_logged_out(LmsSession.user_id, LmsSession.created_at)

OPEN_SESSIONS = (
    select(LmsSession.id, LmsSession.created_at, LmsSession.expires_at)
    .where(LmsSession.user_id == bindparam("user_id"), _LASTS)
    .order_by(LmsSession.id.desc())
)


async def end_session(session: Session, session_id: UUID) -> tuple[UUID, datetime] | None:
    """Whose session it is, and when it ended; None if there is none. Ending it again changes
    nothing.
    """
    ended = await session.execute(
        update(LmsSession)
        .where(LmsSession.id == session_id, _OURS)
        .values(revoked_at=func.coalesce(LmsSession.revoked_at, func.now()))
        .returning(LmsSession.user_id, LmsSession.revoked_at)
    )
    found = ended.one_or_none()
    return (found.user_id, found.revoked_at) if found else None


async def end_sign_ins(
    session: Session, user_id: UUID | None = None, *, at_most: int | None = None
) -> int:
    """Those of this user, or of everybody: how many open sessions were ended, `at_most` so many.
    Their users are logged out, and this user in any case: tokens of the main app have no session.
    """
    mine = true() if user_id is None else SparkAuthCode.user_id == user_id
    await session.execute(
        update(SparkAuthCode)  # before sessions: a code that is just redeemed has made one then
        .where(mine, ~SparkAuthCode.used, SparkAuthCode.superseded_at.is_(None))
        .values(superseded_at=func.now())
    )
    whose = true() if user_id is None else LmsSession.user_id == user_id
    some = select(LmsSession.id).where(whose, _IS_OPEN).limit(at_most).with_for_update()
    ended = await session.execute(
        update(LmsSession)
        .where(LmsSession.id.in_(some))
        .values(revoked_at=func.now())
        .returning(LmsSession.user_id)
    )
    users: list[UUID] = list(ended.scalars())
    await log_out(session, users if user_id is None else [user_id])
    return len(users)


_FIND_OPEN = select(LmsSession.id).where(
    LmsSession.id == bindparam("session_id"),
    LmsSession.user_id == bindparam("user_id"),
    _LASTS,
    is_active(LmsSession.user_id),
)
_USER = bindparam("of_user", type_=Uuid)
_ISSUED = func.to_timestamp(bindparam("issued_at", type_=Double))
_LOGGED_OUT = select(_logged_out(_USER, _ISSUED))
_COUNTS = select(User.id).where(
    User.id == _USER,
    is_active(User.id),
    User.last_logout_at.is_(None) | (User.last_logout_at < _ISSUED),
)


async def is_open(session: Session, session_id: UUID, *, user_id: UUID) -> bool:
    """Nobody's is whose link was paused since, or who is no student any more."""
    found = await session.execute(_FIND_OPEN, {"session_id": session_id, "user_id": user_id})
    return found.one_or_none() is not None


async def has_logged_out(session: Session, user_id: UUID, *, issued_at: float) -> bool:
    """Whether a token of the main app's from then (Unix seconds) is over."""
    found = await session.execute(_LOGGED_OUT, {"of_user": user_id, "issued_at": issued_at})
    return bool(found.scalar_one())


async def is_let_in(session: Session, user_id: UUID, *, issued_at: float) -> bool:
    """As `is_open`, of a token of the main app's from then, which has no session."""
    found = await session.execute(_COUNTS, {"of_user": user_id, "issued_at": issued_at})
    return found.first() is not None
