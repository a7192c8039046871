"""The service beside the main app: on its database, as its owner or as a role of our own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from app.api.dependencies import Resources
from app.database import create_engine
from app.settings import Settings
from tests.support.adopted import SERVICE, Shape
from tests.support.elsewhere import run_elsewhere
from tests.support.evidence import Desk
from tests.support.main_app import adopted
from tests.support.service_role import Role, as_service, give_rights
from tests.support.spark import Spark


@dataclass(frozen=True)
class Beside:
    """`main_app` are its settings, as the owner; `key` is the header of a service key."""

    spark: Spark
    main_app: Settings
    key: dict[str, str]
    resources: Resources

    async def rows(self, statement: str, **values: object) -> list[Any]:
        """Of one statement of the main app's, committed."""
        engine = create_engine(self.main_app)
        async with engine.begin() as connection:
            result = await connection.execute(text(statement), values)
            found = list(result.all()) if result.returns_rows else []
        await engine.dispose()
        return found

    def desk(self, task_id: str, user_id: str) -> Desk:
        """At which a service key edits somebody's evidence."""
        return Desk(self.spark.browser, self.key, task_id, {"user_id": user_id})


@asynccontextmanager
async def serve_beside(
    settings: Settings, role: Role, shape: Shape = "2026_08", **changes: object
) -> AsyncIterator[Beside]:
    async with adopted(settings, shape) as found:
        own = main_app = found.model_copy(update=changes)
        if role == SERVICE:
            await give_rights(settings, main_app)
            own = main_app.model_copy(update={"database_url": as_service(main_app)})
        key = f"Bearer {settings.internal_api_keys[0].get_secret_value()}"
        async with run_elsewhere(own) as elsewhere:
            resources = elsewhere.running.app.state.resources
            yield Beside(elsewhere.spark, main_app, {"Authorization": key}, resources)
