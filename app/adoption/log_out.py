"""Whose sign-ins end here is logged out of the main app, too: what it accepts offline it refuses at
its next refresh when that was issued before `users.last_logout_at` (ADOPTION 6).
"""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, DateTime, Uuid, any_, bindparam, func, update

from app.database import Session
from app.models import User

_MOMENT = func.coalesce(bindparam("moment", type_=DateTime(timezone=True)), func.now())
_LOG_OUT = (
    update(User)
    .where(User.id == any_(bindparam("of_users", type_=ARRAY(Uuid))))
    .values(last_logout_at=func.greatest(User.last_logout_at, _MOMENT))
)


async def log_out(
    session: Session, user_ids: Iterable[UUID], moment: datetime | None = None
) -> int:
    """As of then or now: how many users there are."""
    told = {"of_users": sorted(set(user_ids)), "moment": moment}
    return (await session.execute(_LOG_OUT, told)).rowcount
