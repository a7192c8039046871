"""One-time codes (RFC 6749 section 4.1.2): issued, then redeemed, superseded or expired.

Only the SHA-256 of a code is kept; its life of 60 s is counted by the database's clock. Issuing
and redeeming are single statements that name the state they start from, so of any number of
callers exactly one wins (SECURITY D2, D3). Locks are taken in one order: code, then replay row.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import bindparam, func, select, update

from app.accounts.linked_students import LINK_IS_ACTIVE_SQL, STUDENT_IS_ACTIVE_SQL
from app.activity.record_event import CATEGORY
from app.database import Session, Statement
from app.errors import (
    CodeAlreadyRedeemedError,
    CodeExpiredError,
    CodeInvalidError,
    LaunchTokenReplayedError,
    ServiceError,
)
from app.models import PLATFORM, LmsSession, SparkAuthCode, SsoReplay

CODE_LIFE = timedelta(seconds=60)


def new_code() -> str:
    return secrets.token_urlsafe(32)


def hash_code(secret: str) -> str:
    """What the database keeps of a code."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


async def supersede(session: Session, code_hash: str, *, replay_key: bytes) -> None:
    """A launch token that is used again: double clicks and prefetches take turns, and the last
    one's code lives. Raises LaunchTokenReplayedError once a code of this token was redeemed.
    """
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


CLAIM = Statement(
    f"""
    update spark.spark_auth_codes code set used = true
    where code = :code::text and not used and superseded_at is null and expires_at > now()
      and exists (
        select from users join lms_integrations on lms_integrations.user_id = users.id
        where users.id = code.user_id and {STUDENT_IS_ACTIVE_SQL} and {LINK_IS_ACTIVE_SQL})
    returning user_id
    """  # noqa: S608 - of our own pieces
)


async def claim_code(session: Session, code_hash: str) -> UUID | None:
    """Redeem the code, once: whose it was; None if it is not redeemable, as that of an account that
    Spark may not sign in to any more.
    """
    claimed = await CLAIM.send(session, {"code": code_hash})
    return claimed[0]["user_id"] if claimed else None


# All that a claimed code becomes: it remembers its session, and its launch token that it is spent;
# the session, and the event in the feed. References to rows that the same statement makes are
# checked at its end.
SIGN_IN = Statement(
    f"""
    with code as (
      update spark.spark_auth_codes set session_id = :session_id::uuid where code = :code::text
      returning user_id, session_id,
        round(extract(epoch from now() - created_at), 3)::float8 as age),
    launch as (update spark.sso_replays set exchanged_at = now() where code_hash = :code::text),
    session as (
      insert into spark.lms_sessions (id, user_id, lms_platform, session_token, expires_at)
      select session_id, user_id, '{PLATFORM}', :refresh_hash::text, :expires_at::timestamptz
      from code),
    event as (
      insert into user_activity_events
        (id, user_id, session_id, event_type, event_category, event_data, page_url)
      select :event_id::uuid, user_id, session_id, 'spark_token_exchange_success', '{CATEGORY}',
        jsonb_build_object('code_age_seconds', age, 'user_id', user_id), :route::text
      from code returning id)
    insert into spark.events (event_id) select id from event
    """  # noqa: S608 - of our own pieces
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
_WHY = select(
    SparkAuthCode.user_id,
    SparkAuthCode.used,
    SparkAuthCode.superseded_at,
    SparkAuthCode.session_id,
    _IS_OPEN.exists().label("is_signed_in"),
    (SparkAuthCode.expires_at > func.now()).label("is_fresh"),
).where(SparkAuthCode.code == bindparam("code_hash"))


async def find_refusal(session: Session, code_hash: str) -> Refusal:
    found = await session.execute(_WHY, {"code_hash": code_hash})
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
