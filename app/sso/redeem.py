"""A one-time code becomes a session and its app tokens: one transaction."""

from datetime import datetime, timedelta
from uuid import UUID

from app.accounts.sessions import end_session
from app.activity.audit import record_audit
from app.activity.record_event import record_event
from app.clock import new_id
from app.database import Session, Sessions
from app.errors import ServiceError
from app.sso.app_tokens import AppTokens, TokenIssuer
from app.sso.authorization_codes import SIGN_IN, Refusal, claim_code, find_refusal, hash_code

ROUTE = "/spark/token"  # as a caller, whoever had the code


async def redeem_code(
    sessions: Sessions, secret: str, *, issuer: TokenIssuer, session_id: UUID, now: datetime
) -> AppTokens | None:
    """Exactly one caller gets the tokens of a code; every other gets None.

    If the answer is lost after the commit the code is spent: the student clicks again in Spark.
    """
    code_hash = hash_code(secret)
    async with sessions() as session, session.begin():
        user_id = await claim_code(session, code_hash)
        if user_id is None:
            return None
        tokens = issuer.issue(user_id=user_id, session_id=session_id, now=now)
        made = {
            "code": code_hash,
            "session_id": session_id,
            "refresh_hash": tokens.refresh_hash,
            "expires_at": now + timedelta(seconds=issuer.refresh_seconds),
            "event_id": new_id(),
            "route": ROUTE,
        }
        await SIGN_IN.send(session, made)
    return tokens


async def refuse_code(
    sessions: Sessions,
    secret: str,
    *,
    revoke_on_reuse: bool,
    visit: UUID,
    request_id: str,
    leaves_trace: bool,
) -> ServiceError:
    """Why the code gave nothing. A reused code may have been stolen: its session ends.

    `visit` groups what happens where there is no session. What ends a session is always traced.
    """
    async with sessions() as session, session.begin():
        refusal = await find_refusal(session, hash_code(secret))
        ends = revoke_on_reuse and refusal.is_signed_in
        if ends and refusal.session_id is not None:
            await end_session(session, refusal.session_id)
        if refusal.event_type is not None and (ends or leaves_trace):
            await _record_refusal(session, refusal, refusal.event_type, visit, request_id)
    return refusal.error


async def _record_refusal(
    session: Session, refusal: Refusal, event_type: str, visit: UUID, request_id: str
) -> None:
    await record_event(
        session,
        event_type,
        user_id=refusal.user_id,
        session_id=refusal.session_id or visit,
        data={
            "error_type": event_type.removeprefix("spark_token_"),
            "error_message": refusal.error.title,
            "request_id": request_id,
            "user_id": str(refusal.user_id),
        },
        page_url=ROUTE,
    )
    if refusal.session_id is not None:
        await record_audit(
            session,
            ROUTE,
            "authn_token_reuse",
            user_id=refusal.user_id,
            session_id=str(refusal.session_id),
            request_id=request_id,
        )
