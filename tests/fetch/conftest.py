"""The fake Spark serves the files; each test begins with nothing that it was asked before."""

from collections.abc import AsyncIterator

import pytest

from tests.support.fake_spark import FakeSpark, run_fake_spark


@pytest.fixture(scope="session")
async def fake_spark() -> AsyncIterator[FakeSpark]:
    async with run_fake_spark() as running:
        yield running


@pytest.fixture
async def fake(fake_spark: FakeSpark) -> FakeSpark:
    await fake_spark.forget()
    return fake_spark
