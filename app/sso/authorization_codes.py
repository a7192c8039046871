"""One-time codes (RFC 6749 section 4.1.2): issued, then redeemed, superseded or expired.

Only the SHA-256 of a code is kept; its life of 60 s is counted by the database's clock. Issuing
and redeeming are single statements that name the state they start from, so of any number of
callers exactly one wins (SECURITY D2, D3). Locks are taken in one order: code, then replay row.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.accounts.linked_students import is_active
from app.database import Session
from app.errors import (
    CodeAlreadyRedeemedError,
    CodeExpiredError,
    CodeInvalidError,
    LaunchTokenReplayedError,
    ServiceError,
)
from app.models import LmsSession, SparkAuthCode, SsoReplay

CODE_LIFE = timedelta(seconds=60)


def new_code() -> str:
    return secrets.token_urlsafe(32)


def hash_code(secret: str) -> str:
    """What the database keeps of a code."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


_FIRST_USE = (
    insert(SsoReplay)
    .values(
        key=bindparam("replay_key"),
        code_hash=bindparam("code"),
        expires_at=bindparam("forget_at"),
    )
    .on_conflict_do_nothing()
    .returning(SsoReplay.key)
    .cte("first_use")
)
_ISSUE = (
    insert(SparkAuthCode)
    .values(
        code=bindparam("code"),
        user_id=bindparam("user_id"),
        expires_at=func.now() + CODE_LIFE,
    )
    .returning(select(_FIRST_USE.c.key).exists())
)


async def issue_code(
    session: Session,
    secret: str,
    *,
    user_id: UUID,
    replay_key: bytes,
    launch_expires_at: datetime,
) -> None:
    """Tie a fresh code to this launch token; a code issued for it before dies.

    Raises LaunchTokenReplayedError once a code of this token was redeemed.
    """
    code_hash = hash_code(secret)
    issued = await session.execute(
        _ISSUE,
        {
            "code": code_hash,
            "user_id": user_id,
            "replay_key": replay_key,
            "forget_at": launch_expires_at,  # and a day, by retention: clocks may differ
        },
    )
    if not issued.scalar_one():
        await _supersede(session, code_hash, replay_key=replay_key)


async def _supersede(session: Session, code_hash: str, *, replay_key: bytes) -> None:
    """Double clicks and prefetches of one token take turns; the last one's code lives."""
    turn = int.from_bytes(replay_key[:8], signed=True)
    await session.execute(select(func.pg_advisory_xact_lock(turn)))
    current = select(SsoReplay.code_hash).where(SsoReplay.key == replay_key)
    await session.execute(
        update(SparkAuthCode)
        .where(SparkAuthCode.code == current.scalar_subquery())
        .values(superseded_at=func.now())
    )
    moved = await session.execute(
        update(SsoReplay)
        .where(SsoReplay.key == replay_key, SsoReplay.exchanged_at.is_(None))
        .values(code_hash=code_hash)
        .returning(SsoReplay.key)
    )
    if moved.one_or_none() is None:  # redeemed: the transaction, and all of the above, is undone
        raise LaunchTokenReplayedError


_CLAIM = (
    update(SparkAuthCode)
    .where(
        SparkAuthCode.code == bindparam("code_hash"),
        SparkAuthCode.used.is_(False),
        SparkAuthCode.superseded_at.is_(None),
        SparkAuthCode.expires_at > func.now(),
        is_active(SparkAuthCode.user_id),
    )
    .values(used=True)
    .returning(SparkAuthCode.user_id, func.extract("epoch", func.now() - SparkAuthCode.created_at))
)


async def claim_code(session: Session, code_hash: str) -> tuple[UUID, float] | None:
    """Redeem the code, once: whose it was and its age in seconds; None if it is not redeemable, as
    that of an account that Spark may not sign in to any more.
    """
    claimed = await session.execute(_CLAIM, {"code_hash": code_hash})
    code = claimed.one_or_none()
    return (code[0], round(float(code[1]), 3)) if code else None


async def tie_session(session: Session, code_hash: str, *, session_id: UUID) -> None:
    """Remember which session the code became, and that its launch token is spent."""
    await session.execute(
        update(SparkAuthCode).where(SparkAuthCode.code == code_hash).values(session_id=session_id)
    )
    await session.execute(
        update(SsoReplay).where(SsoReplay.code_hash == code_hash).values(exchanged_at=func.now())
    )


@dataclass(frozen=True)
class Refusal:
    """Why `claim_code` gave None, whose code it was, the session a reused one became, and whether
    that is open.
    """

    error: ServiceError
    event_type: str | None = None
    user_id: UUID | None = None
    session_id: UUID | None = None
    is_signed_in: bool = False


_IS_OPEN = select(LmsSession.id).where(
    LmsSession.id == SparkAuthCode.session_id, LmsSession.revoked_at.is_(None)
)


async def find_refusal(session: Session, code_hash: str) -> Refusal:
    found = await session.execute(
        select(
            SparkAuthCode.user_id,
            SparkAuthCode.used,
            SparkAuthCode.superseded_at,
            SparkAuthCode.session_id,
            _IS_OPEN.exists().label("is_signed_in"),
            (SparkAuthCode.expires_at > func.now()).label("is_fresh"),
        ).where(SparkAuthCode.code == code_hash)
    )
    code = found.one_or_none()
    if code is None or code.superseded_at is not None:
        return Refusal(CodeInvalidError())
    if code.used:
        return Refusal(
            CodeAlreadyRedeemedError(),
            "spark_token_code_reuse",
            code.user_id,
            code.session_id,
            code.is_signed_in,
        )
    if code.is_fresh:  # so it is the account that changed
        return Refusal(CodeInvalidError(hint="Click in Spark again: there it is said why."))
    return Refusal(CodeExpiredError(), "spark_token_code_expired", code.user_id)
