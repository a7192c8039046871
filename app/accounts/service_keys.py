"""Credentials of the internal API: `optio_<id>.<secret>`, of which only a digest is kept.

The id is public: lists and the audit log name it. The secret has 256 random bits, so that SHA-256
is enough of a hash, and is shown once, when the key is made.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Sequence
from typing import Any, Literal, get_args

from sqlalchemy import Row, func, insert, select, update

from app.database import Sessions, Statement
from app.errors import NotFoundError
from app.models import ServiceKey

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

PREFIX = "optio"
FORM = re.compile(rf"({PREFIX}_[0-9a-f]{{16}})\.([\w-]{{43}})", re.ASCII)

# When a key was used last is known to the hour, so that few requests write.
_FIND = Statement(
    """
    with used as (
      update spark.service_keys set last_used_at = now()
      where id = :key_id and secret_hash = :digest and revoked_at is null
        and (last_used_at is null or last_used_at < now() - interval '1 hour'))
    select secret_hash, scopes from spark.service_keys where id = :key_id and revoked_at is null
    """
)


async def create_key(sessions: Sessions, name: str, scopes: Collection[Scope]) -> str:
    """What its holder sends; the id is all before the dot."""
    key_id, secret = f"{PREFIX}_{secrets.token_hex(8)}", secrets.token_urlsafe(32)
    async with sessions() as session, session.begin():
        await session.execute(
            insert(ServiceKey).values(
                id=key_id, name=name, secret_hash=_digest(secret), scopes=list(scopes)
            )
        )
    return f"{key_id}.{secret}"


async def list_keys(sessions: Sessions) -> Sequence[Row[*tuple[Any, ...]]]:
    """All that were ever made, the oldest first."""
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(
                ServiceKey.id,
                ServiceKey.name,
                ServiceKey.scopes,
                ServiceKey.created_at,
                ServiceKey.revoked_at,
                ServiceKey.last_used_at,
            ).order_by(ServiceKey.created_at, ServiceKey.id)
        )
        return found.all()


async def has_keys(sessions: Sessions) -> bool:
    """Whether anybody has a living one."""
    async with sessions() as session, session.begin():
        living = select(ServiceKey.id).where(ServiceKey.revoked_at.is_(None)).exists()
        return bool((await session.execute(select(living))).scalar_one())


async def revoke_key(sessions: Sessions, key_id: str) -> None:
    """From the next request on. Repeatable. Raises NotFoundError."""
    async with sessions() as session, session.begin():
        revoked = await session.execute(
            update(ServiceKey)
            .where(ServiceKey.id == key_id)
            .values(revoked_at=func.coalesce(ServiceKey.revoked_at, func.now()))
        )
        if not revoked.rowcount:
            raise NotFoundError


async def find_living_key(sessions: Sessions, text: str) -> tuple[str, Sequence[Scope]] | None:
    """The id and scopes of a living key, or None. Takes as long for a wrong secret as for a right
    one; that an id exists is no secret.
    """
    form = FORM.fullmatch(text)
    if form is None:
        return None
    digest = _digest(form[2])
    async with sessions() as session, session.begin():
        found = await _FIND.send(session, {"key_id": form[1], "digest": digest})
    if not found or not hmac.compare_digest(found[0]["secret_hash"], digest):
        return None
    return form[1], found[0]["scopes"]


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
