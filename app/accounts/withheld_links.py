"""Accounts that Spark made although another had the student's address (DESIGN R42).

The address is not kept with them, so the audit log is what knows it, as long as it is kept.
"""

from uuid import UUID

from sqlalchemy import bindparam, exists, select

from app.activity.audit import record_audit
from app.database import Session
from app.models import AuditEntry

CALLER = "spark"
_REASON = "not_linked"
_WAS_WITHHELD = select(
    exists().where(
        AuditEntry.user_id == bindparam("user_id"),
        AuditEntry.action == "user_created",
        AuditEntry.detail.has_key(_REASON),
    )
)


async def record_withheld(session: Session, user_id: UUID, reason: str) -> None:
    """A new account is not one with an older one, and what spoke against it (`why_unlinked`)."""
    await record_audit(session, CALLER, "user_created", user_id=user_id, **{_REASON: reason})


async def was_withheld(session: Session, user_id: UUID) -> bool:
    found = await session.execute(_WAS_WITHHELD, {"user_id": user_id})
    withheld: bool = found.scalar_one()
    return withheld
