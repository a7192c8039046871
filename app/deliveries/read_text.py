"""The signed text itself, for who has to see it: a child's work, so who did is written down."""

from uuid import UUID

from app.activity.audit import record_audit
from app.database import Sessions
from app.deliveries.inbox import get_delivery
from app.deliveries.read_inbox import find_delivery


async def read_text(sessions: Sessions, delivery_id: UUID, *, caller: str) -> str | None:
    """As it arrived; None once it is not kept any more. Audited. Raises NotFoundError."""
    async with sessions() as session, session.begin():
        whose = (await find_delivery(session, delivery_id)).user_id
        about = {"delivery_id": str(delivery_id), "what": "text"}
        await record_audit(session, caller, "sensitive_read", user_id=whose, **about)
    entry = await get_delivery(sessions, delivery_id)
    return entry.text.decode("utf-8", "replace") or None
