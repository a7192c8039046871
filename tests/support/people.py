"""The service beside the main app, on its database, with the people of 20_rows.sql."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from sqlalchemy import text

from app.database import Sessions
from app.settings import Settings
from tests.support.evidence import Desk
from tests.support.main_app import adopted
from tests.support.running import run_app

ANN = "a0000000-0000-4000-8000-000000000003"
BEN = "a0000000-0000-4000-8000-000000000004"  # a school's own
PAT = "a0000000-0000-4000-8000-000000000006"  # a parent
EVE = "a0000000-0000-4000-8000-000000000008"
FINN = "a0000000-0000-4000-8000-000000000009"
ANNS_TASK = "f0000000-0000-4000-8000-000000000001"  # completed in the main app, with a document
ANNS_DOCUMENT = "f2000000-0000-4000-8000-000000000001"
EVES_TASK = "f0000000-0000-4000-8000-000000000006"  # completed through the predecessor


@dataclass(frozen=True)
class Beside:
    """Such a service, called with a service key; and what the main app does meanwhile."""

    browser: httpx.AsyncClient
    settings: Settings
    sessions: Sessions

    def desk(self, task_id: str, user_id: str) -> Desk:
        return Desk(self.browser, dict(self.browser.headers), task_id, {"user_id": user_id})

    async def run(self, statement: str, **values: Any) -> list[Any]:
        """One statement of the main app's own."""
        async with self.sessions() as session, session.begin():
            result = await session.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []


@asynccontextmanager
async def run_beside(settings: Settings, **changes: Any) -> AsyncIterator[Beside]:
    async with adopted(settings.model_copy(update=changes)) as found:
        key = found.internal_api_keys[0].get_secret_value()
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            run_app(found) as running,
            httpx.AsyncClient(
                base_url=running.url, headers=headers, timeout=60, trust_env=False
            ) as browser,
        ):
            yield Beside(browser, found, running.app.state.resources.sessions)
