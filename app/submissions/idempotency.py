"""A message is handled once (SECURITY D13): each of its keys has one owner, then one answer.

The digest of the signed bytes is always a key, the sender's own key another. Keys are claimed by
one atomic statement. While their `owner` works, the lease is renewed; when the owner died, it runs
out and the next delivery takes over. A finished key holds the answer.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn
from uuid import UUID

from app.database import Session, Sessions, Statement
from app.deliveries.authenticate import FRESH


@dataclass(frozen=True)
class Claim:
    """The right to handle the message of these `keys`, for whoever knows `owner`, for `lease`.

    The first key is the digest of the signed bytes.
    """

    keys: tuple[bytes, ...]
    owner: UUID
    lease: timedelta

    @property
    def values(self) -> dict[str, Any]:
        """Of CLAIMED_SQL, in one order, so that two deliveries with the same keys cannot wait for
        each other.
        """
        return {"keys": sorted(self.keys), "owner": self.owner, "lease": self.lease}


@dataclass(frozen=True)
class Answer:
    """What a message of this student is answered, and the fingerprint of its content.

    `has_same_text` is false where it was found by the sender's own key alone.
    """

    user_id: UUID
    fingerprint: bytes
    response: dict[str, Any]
    has_same_text: bool


class RunningError(Exception):
    """Somebody else handles the message at this moment."""


class AnsweredError(Exception):
    """The message was handled before, and this was its answer."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


# A piece of a statement: the keys that are ours, because they are new, ours already, or left by an
# owner whose lease ran out. Waits for a transaction that is just answering the same message.
CLAIMED_SQL = """
    claimed as (
      insert into spark.idempotency_keys (key, owner, lease_until)
      select key, :owner::uuid, now() + :lease::interval from unnest(:keys::bytea[]) as key
      on conflict (key) do update set owner = excluded.owner, lease_until = excluded.lease_until
      where idempotency_keys.response is null and (
        idempotency_keys.owner = excluded.owner or idempotency_keys.lease_until < now())
      returning key)
"""
# A piece of a statement: what a message is answered that is repeated from now on.
ANSWERED_SQL = """
    answered as (
      update spark.idempotency_keys
      set user_id = :user_id, fingerprint = :fingerprint, response = {response}
      where key = any (:keys::bytea[]) and owner = :owner::uuid)
"""
_ANSWERS = Statement(
    """
    select user_id, fingerprint, response::text, key = :digest::bytea as has_same_text
    from spark.idempotency_keys where key = any (:keys::bytea[]) and response is not null
    order by has_same_text desc
    """
)
# A delivery that was killed left no row in the inbox, but perhaps its claim.
_CAME_IN_TIME = Statement(
    """
    select where exists (
      select from spark.deliveries
      where digest = :digest::bytea and received_at between :earliest::timestamptz and :latest)
    or exists (
      select from spark.idempotency_keys
      where key = :digest and created_at between :earliest and :latest)
    """
)
_RENEW = Statement(
    """
    update spark.idempotency_keys set lease_until = now() + :lease::interval
    where key = any (:keys::bytea[]) and owner = :owner::uuid
    """
)


def keys_of(
    digest: bytes, *, webhook_id: str | None, idempotency_key: str | None
) -> tuple[bytes, ...]:
    """The digest of the signed bytes, and the sender's own key if there is one (DESIGN R1)."""
    if webhook_id is not None:
        return (digest, hashlib.sha256(f"webhook-id:{webhook_id}".encode()).digest())
    if idempotency_key is not None:
        return (digest, hashlib.sha256(f"idempotency-key:{idempotency_key}".encode()).digest())
    return (digest,)


async def refuse_claimed(session: Session, claim: Claim) -> NoReturn:
    """For whoever did not get all keys. Raises AnsweredError or RunningError; the transaction must
    not be committed.
    """
    answer = await find_answer(session, claim)
    raise AnsweredError(answer) if answer else RunningError


async def find_answer(session: Session, claim: Claim) -> Answer | None:
    """The answer to the signed bytes, else the one under the sender's key."""
    found = await _ANSWERS.send(session, claim.values | {"digest": claim.keys[0]})
    if not found:
        return None
    user_id, fingerprint, response, has_same_text = found[0].values()
    return Answer(user_id, fingerprint, json.loads(response), has_same_text)


async def came_in_time(session: Session, digest: bytes, *, said_at: datetime) -> bool:
    """Whether these signed bytes came before, when the time they name was fresh (SECURITY D8)."""
    when = {"earliest": said_at - FRESH, "latest": said_at + FRESH}
    return bool(await _CAME_IN_TIME.send(session, when | {"digest": digest}))


async def renew_claim(sessions: Sessions, claim: Claim) -> None:
    async with sessions() as session, session.begin():
        await _RENEW.send(session, claim.values)


async def release_claim(sessions: Sessions, claim: Claim) -> None:
    """Give up without an answer: the next delivery need not wait for the lease."""
    async with sessions() as session, session.begin():
        await _RENEW.send(session, claim.values | {"lease": timedelta(0)})
