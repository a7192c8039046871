"""The audit log: who saw, changed or erased a student's data, written in the act's transaction.

Actions are named by the OWASP logging vocabulary. A row holds no e-mail address, name or text.
"""

from typing import Any, Literal
from uuid import UUID

from sqlalchemy import insert

from app.database import Session
from app.models import AuditEntry

Action = Literal[
    "sensitive_read",
    "sensitive_update",
    "sensitive_delete",
    "upload_complete",
    "upload_delete",
    "authn_token_revoked",
]


async def record_audit(
    session: Session, caller: str, action: Action, *, user_id: UUID | None, **detail: Any
) -> None:
    """`detail` names the object by its ids."""
    await session.execute(
        insert(AuditEntry).values(caller=caller, action=action, user_id=user_id, detail=detail)
    )
