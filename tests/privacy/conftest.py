"""A service whose whole database and bucket these tests may look through."""

from collections.abc import AsyncIterator, Iterator

import pytest
from pydantic import SecretStr

from app.settings import Settings
from tests.support.elsewhere import run_elsewhere
from tests.support.families import Family
from tests.support.roster import sync_course
from tests.support.stores import Stores, own_stores


@pytest.fixture(scope="session")
def stores(settings: Settings) -> Iterator[Stores]:
    with own_stores(settings) as made:
        yield made


@pytest.fixture(scope="session")
async def family(settings: Settings, stores: Stores) -> AsyncIterator[Family]:
    own = settings.model_copy(
        update={
            "database_url": SecretStr(stores.variables["DATABASE_URL"]),
            "s3_bucket": stores.variables["S3_BUCKET"],
        }
    )
    async with run_elsewhere(own) as elsewhere:
        yield Family(elsewhere, stores, own, await sync_course(elsewhere.spark))
