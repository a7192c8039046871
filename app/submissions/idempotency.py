"""A signed message is handled once (SECURITY D13): its digest is a key with a lease.

A key is claimed by one atomic statement. While its `owner` works, the lease is renewed; when the
owner died, the lease runs out and the next delivery takes over. A finished key holds the answer.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.database import Session, Sessions
from app.models import IdempotencyKey


@dataclass(frozen=True)
class Claim:
    """The right to handle the message `key`, for whoever knows `owner`, renewed for `lease`."""

    key: bytes
    owner: UUID
    lease: timedelta


@dataclass(frozen=True)
class Known:
    """What this message was answered, and the fingerprint of its content."""

    fingerprint: bytes
    response: dict[str, Any]


async def find_known(session: Session, key: bytes) -> Known | None:
    found = await session.execute(
        select(IdempotencyKey.fingerprint, IdempotencyKey.response).where(
            IdempotencyKey.key == key, IdempotencyKey.response.is_not(None)
        )
    )
    known = found.one_or_none()
    return Known(known.fingerprint, known.response) if known else None


async def take_claim(session: Session, claim: Claim, *, user_id: UUID) -> bool:
    """Whether the message is ours now: new, ours already, or left by an owner whose lease ran out.

    Waits for a transaction that is just answering the same message.
    """
    taken = await session.execute(
        insert(IdempotencyKey)
        .values(
            key=claim.key,
            user_id=user_id,
            owner=claim.owner,
            lease_until=func.now() + claim.lease,
        )
        .on_conflict_do_update(
            index_elements=[IdempotencyKey.key],
            set_={"owner": claim.owner, "lease_until": func.now() + claim.lease},
            where=IdempotencyKey.response.is_(None)
            & ((IdempotencyKey.owner == claim.owner) | (IdempotencyKey.lease_until < func.now())),
        )
        .returning(IdempotencyKey.key)
    )
    return taken.one_or_none() is not None


async def claim_message(sessions: Sessions, claim: Claim, *, user_id: UUID) -> bool:
    """`take_claim` in a transaction of its own, for work that takes longer than one."""
    async with sessions() as session, session.begin():
        return await take_claim(session, claim, user_id=user_id)


async def renew_claim(sessions: Sessions, claim: Claim) -> None:
    async with sessions() as session, session.begin():
        await session.execute(
            update(IdempotencyKey)
            .where(IdempotencyKey.key == claim.key, IdempotencyKey.owner == claim.owner)
            .values(lease_until=func.now() + claim.lease)
        )


async def release_claim(sessions: Sessions, claim: Claim) -> None:
    """Give up without an answer: the next delivery need not wait for the lease."""
    async with sessions() as session, session.begin():
        await session.execute(
            update(IdempotencyKey)
            .where(
                IdempotencyKey.key == claim.key,
                IdempotencyKey.owner == claim.owner,
                IdempotencyKey.response.is_(None),
            )
            .values(lease_until=func.now())
        )


async def answer_claim(
    session: Session, claim: Claim, *, fingerprint: bytes, response: dict[str, Any]
) -> None:
    await session.execute(
        update(IdempotencyKey)
        .where(IdempotencyKey.key == claim.key, IdempotencyKey.owner == claim.owner)
        .values(fingerprint=fingerprint, response=response)
    )
