"""The main app's database is there to be adopted, in both its shapes."""

import asyncio

import pytest

from app.database import create_engine
from app.migrate import UnfitDatabaseError, migrate, upgrade
from app.settings import Settings
from tests.support.adopted import Shape, main_app_database
from tests.support.databases import execute

ADOPT = "insert into spark.adoption (adopted_by, findings) values ('somebody', '[]')"


@pytest.mark.parametrize("shape", ["2026_08", "2025_12"])
async def test_it_is_the_main_apps_until_it_is_adopted(settings: Settings, shape: Shape) -> None:
    async with main_app_database(settings, shape) as found:
        assert await execute(found, "select current_user, current_schema()") == [
            ("optio_owner", "public")
        ]
        with pytest.raises(UnfitDatabaseError, match="adopt"):
            await asyncio.to_thread(migrate, found)
        engine = create_engine(found)
        async with engine.begin() as connection:
            await connection.run_sync(upgrade, "spark")
        await engine.dispose()
        await execute(found, ADOPT)
        await asyncio.to_thread(migrate, found)
