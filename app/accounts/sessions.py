"""Sign-ins that can be ended: rows of `lms_sessions`, in the caller's transaction."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, insert, select, update

from app.database import Session
from app.models import PLATFORM, LmsSession


async def open_session(
    session: Session,
    session_id: UUID,
    *,
    user_id: UUID,
    refresh_hash: str,
    expires_at: datetime,
) -> None:
    await session.execute(
        insert(LmsSession).values(
            id=session_id,
            user_id=user_id,
            lms_platform=PLATFORM,
            session_token=refresh_hash,
            expires_at=expires_at,
        )
    )


async def end_session(session: Session, session_id: UUID) -> UUID | None:
    """Whose session it is; None if there is none. Ending it again changes nothing."""
    ended = await session.execute(
        update(LmsSession)
        .where(LmsSession.id == session_id)
        .values(revoked_at=func.coalesce(LmsSession.revoked_at, func.now()))
        .returning(LmsSession.user_id)
    )
    user_id: UUID | None = ended.scalar_one_or_none()
    return user_id


async def is_open(session: Session, session_id: UUID, *, user_id: UUID) -> bool:
    found = await session.execute(
        select(LmsSession.id).where(
            LmsSession.id == session_id,
            LmsSession.user_id == user_id,
            LmsSession.revoked_at.is_(None),
            LmsSession.expires_at > func.now(),
        )
    )
    return found.one_or_none() is not None
