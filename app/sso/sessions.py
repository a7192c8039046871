"""Is the session behind an app token still alive, and ending one or all.

The main app verifies tokens offline; here it can ask (as RFC 7662 does) and revoke.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app.accounts.sessions import (
    end_session,
    end_sign_ins,
    has_logged_out,
    is_let_in,
    is_open,
)
from app.activity.audit import record_audit
from app.adoption.log_out import log_out
from app.database import Sessions, retried
from app.errors import NotFoundError
from app.signing import TokenKey
from app.sso.app_tokens import AppClaims, BearerClaims, read_app_token, read_bearer

BATCH_SESSIONS = 10_000


async def introspect_token(
    sessions: Sessions,
    token: str,
    *,
    may_be_refresh: bool,
    keys: Sequence[TokenKey],
    now: datetime,
) -> AppClaims | None:
    """What an active token says; None for every other text, without a reason. A refresh token lets
    nobody in, so only who expects one learns that it is active (DESIGN R39).
    """
    claims = read_app_token(token, keys=keys, now=now)
    if claims is None or (claims.type == "refresh" and not may_be_refresh):
        return None
    async with sessions() as session, session.begin():
        if claims.sid is None:
            alive = await is_let_in(session, claims.user_id, issued_at=claims.iat or 0)
        else:
            alive = await is_open(session, claims.sid, user_id=claims.user_id)
    return claims if alive else None


async def identify_student(
    sessions: Sessions, token: str, *, keys: Sequence[TokenKey], now: datetime
) -> BearerClaims | None:
    """None for what is no living access, masquerade or acting-as token. A session of ours must be
    open; who holds a token of the main app's may not have logged out since.
    """
    claims = read_bearer(token, keys=keys, now=now)
    if claims is None:
        return None
    holder = claims.actor_id
    async with sessions() as session, session.begin():
        if claims.sid is None:
            alive = not await has_logged_out(session, holder, issued_at=claims.iat or 0)
        else:
            alive = await is_open(session, claims.sid, user_id=holder)
    return claims if alive else None


@retried
async def revoke_session(sessions: Sessions, session_id: UUID, *, caller: str) -> None:
    """Its user is logged out of the main app, which knows no single session. Repeatable, and
    audited. Raises NotFoundError.
    """
    async with sessions() as session, session.begin():
        ended = await end_session(session, session_id)
        if ended is None:
            raise NotFoundError
        user_id, revoked_at = ended
        await log_out(session, [user_id], revoked_at)
        await record_audit(
            session, caller, "authn_token_revoked", user_id=user_id, session_id=str(session_id)
        )


@retried
async def sign_out(sessions: Sessions, user_id: UUID, *, caller: str) -> None:
    """All sessions of a user, codes, and what the main app issued. Repeatable, and audited.

    Raises NotFoundError.
    """
    async with sessions() as session, session.begin():
        if not await log_out(session, [user_id]):
            raise NotFoundError
        ended = await end_sign_ins(session, user_id)
        await record_audit(session, caller, "authn_token_revoked", user_id=user_id, sessions=ended)


async def revoke_sessions(sessions: Sessions, user_id: UUID | None, *, caller: str) -> int:
    """Every sign-in of a user or (None) of everybody: how many sessions were open.

    Audited; in batches, so not atomic, and repeatable.
    """
    ended = 0
    while batch := await _revoke_batch(sessions, user_id, caller):
        ended += batch
    return ended


@retried
async def _revoke_batch(sessions: Sessions, user_id: UUID | None, caller: str) -> int:
    async with sessions() as session, session.begin():
        ended = await end_sign_ins(session, user_id, at_most=BATCH_SESSIONS)
        if ended:
            await record_audit(
                session, caller, "authn_token_revoked", user_id=user_id, sessions=ended
            )
        return ended
