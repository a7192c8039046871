"""The signed text itself, for who has to see it: a child's work, so who did is written down."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel

from app.activity.audit import record_audit
from app.database import Sessions
from app.deliveries.inbox import Entry
from app.deliveries.payload import FreeText, beside_if_large, read_payload
from app.errors import JsonInvalidError
from app.fields import IfValid


class _Written(BaseModel):
    submission_text: Annotated[FreeText | None, IfValid] = None


async def read_text(
    sessions: Sessions, entry: Entry, *, user_id: UUID | None, caller: str
) -> tuple[str | None, str | None]:
    """What the student wrote, as far as it can be read, and the whole message as it arrived; None
    once it is not kept any more. Audited.
    """
    async with sessions() as session, session.begin():
        about = {"delivery_id": str(entry.id), "what": "text"}
        await record_audit(session, caller, "sensitive_read", user_id=user_id, **about)
    written = await beside_if_large(_read_written, entry.text)
    return written, entry.text.decode("utf-8", "replace") or None


def _read_written(raw: bytes) -> str | None:
    try:
        return read_payload(raw, _Written).submission_text
    except JsonInvalidError:
        return None
