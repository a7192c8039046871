"""What is unsafe in production is said at start, once, and with what to do."""

from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import pytest
from pydantic import SecretStr

from app.accounts.service_keys import create_key
from app.database import create_engine
from app.settings import Settings
from tests.support.databases import ready_database
from tests.support.logged import logged
from tests.support.running import run_app

PRODUCTION = {
    "environment": "production",
    "allowed_hosts": ("optio.example",),
    "trusted_proxy_hops": 2,
    "rate_limit_storage_uri": SecretStr("redis://127.0.0.1:1"),
    "submission_retention_days": 400,
}
UNSAFE: dict[str, dict[str, Any]] = {
    "any_host_is_answered": {"allowed_hosts": ()},
    "no_proxy_is_trusted": {"trusted_proxy_hops": 0},
    "rates_count_per_process": {"rate_limit_storage_uri": SecretStr("memory://")},
    "submissions_stay": {"submission_retention_days": None},
    "networks_count_as_public": {"spark_storage_networks": (ip_network("10.1.0.0/16"),)},
    "no_service_key": {"internal_api_keys": ()},
}


@pytest.fixture
async def own(settings: Settings) -> AsyncIterator[Settings]:
    """A database in which nobody made a key."""
    async with ready_database(settings) as empty:
        yield empty.model_copy(update=PRODUCTION)


async def said_at_start(
    settings: Settings, caplog: pytest.LogCaptureFixture, **changes: object
) -> list[str]:
    caplog.clear()
    async with run_app(settings.model_copy(update=changes)):
        pass
    return [event for event in UNSAFE for line in logged(caplog, event) if line["hint"]]


@pytest.mark.parametrize("event", UNSAFE, ids="OPERATOR 16 {}".format)
async def test_what_is_unsafe_in_production_is_said_at_start(
    own: Settings, caplog: pytest.LogCaptureFixture, event: str
) -> None:
    assert await said_at_start(own, caplog) == []
    assert await said_at_start(own, caplog, **UNSAFE[event]) == [event]
    assert await said_at_start(own, caplog, **UNSAFE[event], environment="development") == []


async def test_a_key_that_was_made_is_one(own: Settings, caplog: pytest.LogCaptureFixture) -> None:
    engine = create_engine(own)
    await create_key(engine.connect, "console", ["read"])
    await engine.dispose()
    assert await said_at_start(own, caplog, internal_api_keys=()) == []
