"""Is the session behind an app token still alive, and ending one.

The main app verifies tokens offline; here it can ask (as RFC 7662 does) and revoke.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app.accounts.sessions import end_session, is_open
from app.database import Sessions
from app.errors import NotFoundError
from app.signing import TokenKey
from app.sso.app_tokens import AppClaims, read_app_token


async def introspect_token(
    sessions: Sessions, token: str, *, keys: Sequence[TokenKey], now: datetime
) -> AppClaims | None:
    """What an active token says; None for every other text, without a reason."""
    claims = read_app_token(token, keys=keys, now=now)
    if claims is None:
        return None
    async with sessions() as session, session.begin():
        alive = await is_open(session, claims.sid, user_id=claims.user_id)
    return claims if alive else None


async def revoke_session(sessions: Sessions, session_id: UUID) -> None:
    """Repeatable. Raises NotFoundError."""
    async with sessions() as session, session.begin():
        if not await end_session(session, session_id):
            raise NotFoundError
