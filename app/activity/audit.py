"""The audit log: who saw, changed or erased a student's data, written in the act's transaction.

Actions are named by the OWASP logging vocabulary. A row holds no e-mail address, name or text.
"""

from typing import Any, Literal
from uuid import UUID

from sqlalchemy import bindparam, insert, select

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
    .where(User.id == bindparam("of_user"))
    .with_for_update(read=True, key_share=True)
    .scalar_subquery()
)
_RECORD = insert(AuditEntry).values(user_id=_USER)


async def record_audit(
    session: Session, caller: str, action: Action, *, user_id: UUID | None, **detail: Any
) -> None:
    """`detail` names the object by its ids."""
    await session.execute(
        _RECORD, {"of_user": user_id, "caller": caller, "action": action, "detail": detail}
    )
