"""`/metrics` is asked most when the database is away (OPERATOR 7)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from fastapi.security import HTTPAuthorizationCredentials

from app.accounts.service_keys import create_key, revoke_key
from app.api.callers import BELIEVED, SCRAPE
from app.clock import utc_now
from app.database import OUTAGES, Sessions
from app.settings import Settings
from tests.faults.conftest import Faulty
from tests.support.canaries import CANARIES
from tests.support.databases import look_into
from tests.support.metrics import scrape
from tests.support.patience import patient
from tests.support.problems import assert_problem

SCRAPE_SECONDS = 10  # Prometheus' scrape_timeout
PLATFORMS = "/internal/v1/lms/platforms"


@pytest.fixture
async def beside(settings_of_stores: Settings) -> AsyncIterator[Sessions]:
    """Past the proxy: where an operator makes and revokes keys."""
    async with look_into(settings_of_stores) as sessions:
        yield sessions


async def made(beside: Sessions) -> tuple[str, dict[str, str]]:
    """A key's id, and the header that sends it."""
    key = await create_key(beside, "prometheus", ["read"])
    CANARIES.release(key)
    return key.partition(".")[0], {"Authorization": f"Bearer {key}"}


async def refuse(faulty: Faulty) -> None:
    await faulty.database.refuse()


async def hang(faulty: Faulty) -> None:
    faulty.database.hang()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(refuse, id="OPERATOR 7 refused"),
        pytest.param(hang, id="OPERATOR 7 hangs", marks=pytest.mark.soak),
    ],
)
async def test_a_made_key_that_was_right_reads_them_while_the_database_is_away(
    faulty: Faulty, beside: Sessions, fault: Callable[[Faulty], Awaitable[None]]
) -> None:
    _, header = await made(beside)
    await scrape(faulty.client, header)
    await fault(faulty)
    async with asyncio.timeout(patient(SCRAPE_SECONDS)):
        for _ in range(2):
            found = await scrape(faulty.client, header)
    assert "spark_events_waiting" in found


@pytest.mark.parametrize("finding", ["OPERATOR 7"])
async def test_a_key_that_was_not_right_lately_reads_nothing_in_an_outage(
    faulty: Faulty, beside: Sessions, finding: str
) -> None:
    """Nor is one that was right believed for anything but /metrics."""
    (_, unused), (_, used), (key_id, revoked) = [await made(beside) for _ in range(3)]
    for header in (used, revoked):
        await scrape(faulty.client, header)
    await revoke_key(beside, key_id)
    assert_problem(await faulty.client.get("/metrics", headers=revoked), 401, "unauthorized")
    await faulty.database.refuse()
    for header in (unused, revoked):
        answer = await faulty.client.get("/metrics", headers=header)
        assert_problem(answer, 503, "database_unavailable")
    answer = await faulty.client.get(PLATFORMS, headers=used)
    assert_problem(answer, 503, "database_unavailable")


@pytest.mark.parametrize("finding", ["OPERATOR 7"])
async def test_a_key_is_believed_for_a_day(faulty: Faulty, beside: Sessions, finding: str) -> None:
    _, header = await made(beside)
    await scrape(faulty.client, header)
    await faulty.database.refuse()
    resources, now = faulty.running.app.state.resources, utc_now()
    sent = HTTPAuthorizationCredentials(
        scheme="Bearer", credentials=header["Authorization"].removeprefix("Bearer ")
    )
    await SCRAPE.dependency(resources, now + BELIEVED - timedelta(minutes=1), sent)
    with pytest.raises(OUTAGES):
        await SCRAPE.dependency(resources, now + BELIEVED + timedelta(minutes=1), sent)
