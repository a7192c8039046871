"""What happened: rows of `user_activity_events`, in the shapes of CONTRACT 9.1.

Rows are written in the caller's transaction, so that an event exists exactly when its act does.
They hold no e-mail, name, text or file name.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import ActivityEvent

CATEGORY = "lms"


async def record_event(
    session: AsyncSession,
    event_type: str,
    *,
    user_id: UUID | None,
    session_id: UUID,
    data: dict[str, Any],
    page_url: str,
) -> None:
    """`session_id` groups the events of one visit; a webhook uses its request's id."""
    await session.execute(
        insert(ActivityEvent).values(
            user_id=user_id,
            session_id=session_id,
            event_type=event_type,
            event_category=CATEGORY,
            event_data=data,
            page_url=page_url,
        )
    )
