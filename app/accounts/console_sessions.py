"""Who is at the console: a sign-in with a service key, of which the cookie holds the secret.

The key is looked up with each click, so that a session ends with its key.
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import insert

from app.accounts.service_keys import Scope, find_living_key
from app.activity.audit import record_audit
from app.database import Sessions, Statement
from app.models import ConsoleSession

IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=8)

_SEE = Statement(
    """
    update spark.console_sessions s set seen_at = now()
    from spark.service_keys k
    where s.hash = :hash and s.ended_at is null
      and s.seen_at > now() - :idle::interval and s.created_at > now() - :longest::interval
      and k.id = s.key_id and k.revoked_at is null
    returning k.id, k.name, k.scopes
    """
)
_END = Statement("update spark.console_sessions set ended_at = now() where hash = :hash")


async def open_console(sessions: Sessions, key: str) -> str | None:
    """The secret of a new session; None for what is no living key. Audited."""
    found = await find_living_key(sessions, key)
    if found is None:
        return None
    secret = secrets.token_urlsafe(32)
    async with sessions() as session, session.begin():
        await session.execute(insert(ConsoleSession).values(hash=_hash(secret), key_id=found[0]))
        await record_audit(session, found[0], "authn_login_success", user_id=None, what="console")
    return secret


async def see_visitor(sessions: Sessions, secret: str) -> tuple[str, str, Sequence[Scope]] | None:
    """The id, name and scopes of the session's key, or None; it is idle from now on."""
    values = {"hash": _hash(secret), "idle": IDLE, "longest": LONGEST}
    async with sessions() as session, session.begin():
        seen = await _SEE.send(session, values)
    return (seen[0]["id"], seen[0]["name"], seen[0]["scopes"]) if seen else None


async def end_console(sessions: Sessions, secret: str) -> None:
    """Repeatable."""
    async with sessions() as session, session.begin():
        await _END.send(session, {"hash": _hash(secret)})


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
