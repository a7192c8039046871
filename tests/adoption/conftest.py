"""The main app's database, before anybody adopts it."""

from collections.abc import AsyncIterator

import pytest

from app.settings import Settings
from tests.support.adopted import main_app_database
from tests.support.kinds import ORGANIZATION


@pytest.fixture
async def found(settings: Settings) -> AsyncIterator[Settings]:
    """In August 2026. The settings are those of whoever adopts it."""
    async with main_app_database(settings) as database:
        yield database.model_copy(update={"optio_organization_id": ORGANIZATION})


@pytest.fixture
async def older(settings: Settings) -> AsyncIterator[Settings]:
    """In December 2025, before organisations."""
    async with main_app_database(settings, "2025_12") as database:
        yield database
