"""Addresses of students for whoever needs only to recognise one."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select

from app.database import Sessions
from app.models import User


async def mask_addresses(sessions: Sessions, user_ids: Iterable[UUID | None]) -> dict[UUID, str]:
    """Of those who have one: `a…@example.com`. For whoever has audited whom this shows."""
    asked = {user_id for user_id in user_ids if user_id}
    if not asked:
        return {}
    statement = select(User.id, User.email).where(User.id.in_(asked), User.email.is_not(None))
    async with sessions() as session, session.begin():
        found = await session.execute(statement)
        return {user.id: mask(user.email) for user in found}


def mask(address: str) -> str:
    name, at, domain = address.rpartition("@")
    return f"{name[:1]}…{at}{domain}"
