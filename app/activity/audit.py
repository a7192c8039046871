"""The audit log: who saw, changed or erased a student's data, written in the act's transaction.

Actions are named by the OWASP logging vocabulary. A row holds no e-mail address, name or text.
"""

from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Uuid, bindparam, case, insert, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from app.database import Session
from app.models import AuditEntry, User

Action = Literal[
    "sensitive_read",
    "sensitive_update",
    "sensitive_delete",
    "upload_complete",
    "upload_delete",
    "authn_token_revoked",
]


# Nobody's once the user was erased: who was just reading waits for that, as a foreign key would.
_USER = (
    select(User.id)
    .where(User.id == bindparam("of_user", type_=Uuid))
    .with_for_update(read=True, key_share=True)
    .cte("user")
)
_IS_HERE = bindparam("of_user", type_=Uuid).is_(None) | select(_USER).exists()
_RECORD = insert(AuditEntry).values(
    caller=bindparam("who"),
    action=bindparam("did"),
    user_id=select(_USER.c.id).scalar_subquery(),
    detail=case((_IS_HERE, bindparam("what", type_=JSONB)), else_=literal({}, JSONB)),
)


async def record_audit(
    session: Session, caller: str, action: Action, *, user_id: UUID | None, **detail: Any
) -> None:
    """`detail` names the object by its ids."""
    said = {"of_user": user_id, "who": caller, "did": action, "what": detail}
    await session.execute(_RECORD, said)
