"""Spark in front of a service of its own.

The shared service counts failures per address and all tests have the same one: tests that fail
on purpose ask `lms`, whose service forgives, and those that count start a fresh one.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.settings import Settings
from tests.support.elsewhere import run_elsewhere
from tests.support.spark import Spark


@asynccontextmanager
async def spark_at(settings: Settings, **changes: Any) -> AsyncIterator[Spark]:
    """A service with these settings changed, and counters that have counted nothing yet."""
    async with run_elsewhere(settings, **changes) as elsewhere:
        yield elsewhere.spark


@pytest.fixture(scope="session")
async def lms(settings: Settings) -> AsyncIterator[Spark]:
    """Enough connections that racing requests meet in the database and not before it."""
    async with spark_at(settings, database_pool_size=20) as spark:
        yield spark
