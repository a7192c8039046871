"""What happens to the account of a student who is signed in, and ends that (finding M2)."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, update

from app.database import Sessions
from app.models import LmsIntegration, User
from tests.support.kinds import ADMIN

LOSSES: dict[str, Callable[[UUID], Any]] = {
    "paused": lambda of: _link(of).values(sync_status="paused"),
    "switched-off": lambda of: _link(of).values(sync_enabled=False),
    "unlinked": lambda of: delete(LmsIntegration).where(LmsIntegration.user_id == of),
    "deletion-pending": lambda of: _user(of).values(deletion_status="pending"),
    "now-an-admin": lambda of: _user(of).values(role=ADMIN),
    "now-a-parent": lambda of: _user(of).values(role="parent"),
}
losses = pytest.mark.parametrize("loss", LOSSES, ids="M2-{}".format)


def _link(user_id: UUID) -> Any:
    return update(LmsIntegration).where(LmsIntegration.user_id == user_id)


def _user(user_id: UUID) -> Any:
    return update(User).where(User.id == user_id)


async def lose_access(sessions: Sessions, user_id: str | UUID, loss: str) -> None:
    async with sessions() as session, session.begin():
        await session.execute(LOSSES[loss](UUID(str(user_id))))


async def win_back(sessions: Sessions, user_id: str | UUID) -> None:
    """As it was, but for a link that is gone."""
    whose = UUID(str(user_id))
    async with sessions() as session, session.begin():
        await session.execute(_user(whose).values(role="student", deletion_status="none"))
        await session.execute(_link(whose).values(sync_enabled=True, sync_status="active"))
