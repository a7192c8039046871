"""The audit log: who saw, changed or erased a student's data, written in the act's transaction.

Actions are named by the OWASP logging vocabulary. A row holds no e-mail address, name or text. What
one request shows of several students is one row, which names all of them.
"""

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import RowMapping, Select, bindparam, func, or_, select, tuple_

from app.database import Session, Sessions, Statement
from app.models import PRIVILEGED, AuditEntry, ServiceKey

Action = Literal[
    "sensitive_create",
    "sensitive_read",
    "sensitive_update",
    "sensitive_delete",
    "user_created",
    "upload_complete",
    "upload_delete",
    "authn_token_revoked",
    "authn_token_reuse",
    "authn_login_success",
]
ENTRIES_PER_PAGE = 1000

# Nobody's once the user was erased: who was just reading waits for that, as a foreign key would.
_RECORD = Statement(
    """
    with person as (select id from users where id = :of_user::uuid for key share)
    insert into spark.audit_log (caller, action, user_id, detail)
    select :who::text, :did::text, (select id from person),
      case when :of_user is null or exists (select from person) then :what::jsonb else '{}' end
    """
)
_RECORD_MANY = Statement(
    """
    with person as (select id from users where id = any (:of_users::uuid[]) for key share)
    insert into spark.audit_log (caller, action, user_ids, detail)
    select :who::text, :did::text, (select array_agg(id) from person), :what::jsonb
    """
)
_PRIVILEGED_ACTS = (
    select(
        AuditEntry.occurred_at,
        func.coalesce(ServiceKey.name, AuditEntry.caller).label("who"),
        AuditEntry.action,
        AuditEntry.detail,
    )
    .outerjoin(ServiceKey, ServiceKey.id == AuditEntry.caller)
    .where(PRIVILEGED)
    .order_by(AuditEntry.occurred_at.desc())
    .limit(bindparam("most"))
)


async def record_audit(
    session: Session, caller: str, action: Action, *, user_id: UUID | None, **detail: Any
) -> None:
    """`detail` names the object by its ids."""
    said = {"of_user": user_id, "who": caller, "did": action, "what": json.dumps(detail)}
    await _RECORD.send(session, said)


async def record_audit_of_many(
    session: Session, caller: str, action: Action, user_ids: Iterable[UUID | None], **detail: Any
) -> None:
    """Of whom a list is; None is a student without an account. An empty one leaves no row."""
    shown = set(user_ids)
    if shown:
        named = sorted(user_id for user_id in shown if user_id is not None)
        said = {"of_users": named, "who": caller, "did": action, "what": json.dumps(detail)}
        await _RECORD_MANY.send(session, said)


async def read_audit(
    sessions: Sessions, *, since: datetime, user_id: UUID | None, caller: str | None
) -> AsyncIterator[RowMapping]:
    """Oldest first, each as its row, with memory for a page: what was done to the data of a user,
    or by a caller, or all.
    """
    asked = select(AuditEntry).where(AuditEntry.occurred_at >= since)
    if user_id is not None:
        named = AuditEntry.user_ids.contains([user_id])
        asked = asked.where(or_(AuditEntry.user_id == user_id, named))
    if caller is not None:
        asked = asked.where(AuditEntry.caller == caller)
    place = tuple_(AuditEntry.occurred_at, AuditEntry.id)
    page = asked.order_by(*place).limit(ENTRIES_PER_PAGE)
    rest = page
    while entries := await _read_page(sessions, rest):
        for entry in entries:
            yield entry
        rest = page.where(place > (entries[-1]["occurred_at"], entries[-1]["id"]))


async def read_privileged(sessions: Sessions, most: int) -> Sequence[RowMapping]:
    """What operators and services did last, and not only read, under the names of their keys."""
    async with sessions() as session, session.begin():
        return (await session.execute(_PRIVILEGED_ACTS, {"most": most})).mappings().all()


async def _read_page(sessions: Sessions, page: Select[AuditEntry]) -> Sequence[RowMapping]:
    async with sessions() as session, session.begin():
        read = await session.execute(page)
        return read.mappings().all()
