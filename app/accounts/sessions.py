"""Sign-ins that can be ended, in the caller's transaction: sessions, and codes that become one."""

from uuid import UUID

from sqlalchemy import bindparam, func, select, true, update

from app.accounts.linked_students import is_active
from app.database import Session
from app.models import PLATFORM, LmsSession, SparkAuthCode

_OURS = LmsSession.lms_platform == PLATFORM  # those of another LMS are not
_IS_OPEN = _OURS & LmsSession.revoked_at.is_(None) & (LmsSession.expires_at > func.now())

OPEN_SESSIONS = (
    select(LmsSession.id, LmsSession.created_at, LmsSession.expires_at)
    .where(LmsSession.user_id == bindparam("user_id"), _IS_OPEN)
    .order_by(LmsSession.id.desc())
)


async def end_session(session: Session, session_id: UUID) -> UUID | None:
    """Whose session it is; None if there is none. Ending it again changes nothing."""
    ended = await session.execute(
        update(LmsSession)
        .where(LmsSession.id == session_id, _OURS)
        .values(revoked_at=func.coalesce(LmsSession.revoked_at, func.now()))
        .returning(LmsSession.user_id)
    )
    user_id: UUID | None = ended.scalar_one_or_none()
    return user_id


async def end_sign_ins(
    session: Session, user_id: UUID | None = None, *, at_most: int | None = None
) -> int:
    """Those of this user, or of everybody: how many open sessions were ended, `at_most` so many."""
    mine = true() if user_id is None else SparkAuthCode.user_id == user_id
    await session.execute(
        update(SparkAuthCode)  # before sessions: a code that is just redeemed has made one then
        .where(mine, ~SparkAuthCode.used, SparkAuthCode.superseded_at.is_(None))
        .values(superseded_at=func.now())
    )
    whose = true() if user_id is None else LmsSession.user_id == user_id
    some = select(LmsSession.id).where(whose, _IS_OPEN).limit(at_most).with_for_update()
    ended = await session.execute(
        update(LmsSession).where(LmsSession.id.in_(some)).values(revoked_at=func.now())
    )
    return ended.rowcount


_FIND_OPEN = select(LmsSession.id).where(
    LmsSession.id == bindparam("session_id"),
    LmsSession.user_id == bindparam("user_id"),
    _IS_OPEN,
    is_active(LmsSession.user_id),
)


async def is_open(session: Session, session_id: UUID, *, user_id: UUID) -> bool:
    """Nobody's is whose link was paused since, or who is no student any more."""
    found = await session.execute(_FIND_OPEN, {"session_id": session_id, "user_id": user_id})
    return found.one_or_none() is not None
