"""A one-time code becomes a session and its app tokens: one transaction."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import insert

from app.activity import record_event
from app.database import Sessions
from app.errors import ServiceError
from app.models import LmsSession
from app.sso.app_tokens import AppTokens, TokenIssuer
from app.sso.authorization_codes import (
    claim_code,
    find_refusal,
    hash_code,
    revoke_session,
    tie_session,
)


@dataclass(frozen=True)
class Redeemed:
    user_id: UUID
    tokens: AppTokens


async def redeem_code(
    sessions: Sessions, secret: str, *, issuer: TokenIssuer, session_id: UUID, now: datetime
) -> Redeemed | None:
    """Exactly one caller gets the tokens of a code; every other gets None.

    If the answer is lost after the commit the code is spent: the student clicks again in Spark.
    """
    code_hash = hash_code(secret)
    async with sessions() as session, session.begin():
        user_id = await claim_code(session, code_hash)
        if user_id is None:
            return None
        tokens = issuer.issue(user_id=user_id, session_id=session_id, now=now)
        await session.execute(
            insert(LmsSession).values(
                id=session_id,
                user_id=user_id,
                lms_platform="spark",
                session_token=tokens.refresh_hash,
                expires_at=now + timedelta(seconds=issuer.refresh_seconds),
            )
        )
        await tie_session(session, code_hash, session_id=session_id)
        await record_event(
            session,
            "spark_token_exchange_success",
            user_id=user_id,
            session_id=session_id,
            data={"user_id": str(user_id)},
            page_url="/spark/token",
        )
    return Redeemed(user_id, tokens)


async def refuse_code(sessions: Sessions, secret: str, *, revoke_on_reuse: bool) -> ServiceError:
    """Why the code gave nothing. A reused code may have been stolen: its session ends."""
    async with sessions() as session, session.begin():
        refusal, session_id = await find_refusal(session, hash_code(secret))
        if session_id is not None and revoke_on_reuse:
            await revoke_session(session, session_id)
    return refusal
