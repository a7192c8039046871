"""Codes and replay rows are forgotten a day after they ran out (SECURITY section 7)."""

from datetime import timedelta

from sqlalchemy import delete, func

from app.database import Sessions
from app.models import SparkAuthCode, SsoReplay

KEPT = timedelta(hours=24)


async def delete_expired(sessions: Sessions) -> int:
    """How many codes were deleted."""
    async with sessions() as session, session.begin():
        await session.execute(delete(SsoReplay).where(SsoReplay.expires_at < func.now() - KEPT))
        codes = await session.execute(
            delete(SparkAuthCode)
            .where(SparkAuthCode.expires_at < func.now() - KEPT)
            .returning(SparkAuthCode.code)
        )
        return len(codes.all())
