"""The audit log: who saw, changed or erased a student's data, written in the act's transaction.

Actions are named by the OWASP logging vocabulary. A row holds no e-mail address, name or text. What
one request shows of several students is one row, which names all of them.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    RowMapping,
    Select,
    Uuid,
    any_,
    bindparam,
    case,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.database import Session, Sessions
from app.models import PRIVILEGED, AuditEntry, ServiceKey, User

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
_USER = (
    select(User.id)
    .where(User.id == bindparam("of_user", type_=Uuid))
    .with_for_update(read=True, key_share=True)
    .cte("user")
)
_USERS = (
    select(User.id)
    .where(User.id == any_(bindparam("of_users", type_=ARRAY(Uuid))))
    .with_for_update(read=True, key_share=True)
    .cte("users")
)
_IS_HERE = bindparam("of_user", type_=Uuid).is_(None) | select(_USER).exists()
_RECORD = insert(AuditEntry).values(
    caller=bindparam("who"),
    action=bindparam("did"),
    user_id=select(_USER.c.id).scalar_subquery(),
    detail=case((_IS_HERE, bindparam("what", type_=JSONB)), else_=literal({}, JSONB)),
)

_RECORD_MANY = insert(AuditEntry).values(
    caller=bindparam("who"),
    action=bindparam("did"),
    user_ids=select(func.array_agg(_USERS.c.id)).scalar_subquery(),
    detail=bindparam("what", type_=JSONB),
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
    said = {"of_user": user_id, "who": caller, "did": action, "what": detail}
    await session.execute(_RECORD, said)


async def record_audit_of_many(
    session: Session, caller: str, action: Action, user_ids: Iterable[UUID | None], **detail: Any
) -> None:
    """Of whom a list is; None is a student without an account. An empty one leaves no row."""
    shown = set(user_ids)
    if shown:
        named = sorted(user_id for user_id in shown if user_id is not None)
        said = {"of_users": named, "who": caller, "did": action, "what": detail}
        await session.execute(_RECORD_MANY, said)


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
