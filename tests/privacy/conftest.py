"""A service whose whole database and bucket these tests may look through."""

from collections.abc import AsyncIterator, Iterator

import pytest

from app.settings import Settings
from tests.support.families import Family, run_family
from tests.support.stores import Stores, own_stores


@pytest.fixture(scope="session")
def stores(settings: Settings) -> Iterator[Stores]:
    with own_stores(settings) as made:
        yield made


@pytest.fixture(scope="session")
async def family(settings: Settings, stores: Stores) -> AsyncIterator[Family]:
    async with run_family(settings, stores) as family:
        yield family


@pytest.fixture(scope="module")
def stores_apart(settings: Settings) -> Iterator[Stores]:
    """Where nobody else leaves anything."""
    with own_stores(settings) as made:
        yield made


@pytest.fixture(scope="module")
async def family_apart(settings: Settings, stores_apart: Stores) -> AsyncIterator[Family]:
    async with run_family(settings, stores_apart) as family:
        yield family
