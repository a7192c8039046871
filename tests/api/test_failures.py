"""A refused request leaves time, route, reason and a hashed address (SECURITY promise 7)."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from app.database import migrate
from app.models import ActivityEvent
from app.settings import Settings
from app.signing import sign
from tests.support.databases import empty_database
from tests.support.elsewhere import run_elsewhere
from tests.support.spark import SUBMISSION
from tests.support.stored import eventually

ADDRESS, OTHER = "203.0.113.7", "2001:db8::7"
WITHOUT_SECRETS = {"jwt_secret_key": None, "spark_webhook_secret": None}


@pytest.fixture
async def own(settings: Settings) -> AsyncIterator[Settings]:
    """A database where nobody else fails, behind one proxy."""
    async with empty_database(settings) as empty:
        await asyncio.to_thread(migrate, empty)
        yield empty.model_copy(update={"trusted_proxy_hops": 1})


async def left_by(settings: Settings, *addresses: str, **changes: object) -> list[dict[str, Any]]:
    """All that was left by a process of its own, after an unsigned delivery from each address."""
    async with run_elsewhere(settings, **changes) as elsewhere:
        sessions = elsewhere.running.app.state.resources.sessions

        async def left() -> list[dict[str, Any]]:
            async with sessions() as session, session.begin():
                found = await session.execute(
                    select(ActivityEvent).order_by(ActivityEvent.created_at)
                )
                return [dict(row) for row in found.mappings()]

        before = len(await left())
        for number, address in enumerate(addresses, start=before + 1):
            await knock(elsewhere.spark.browser, address)

            async def written(number: int = number) -> bool:
                return len(await left()) == number

            await eventually(written)
        return (await left())[before:]


async def knock(browser: httpx.AsyncClient, address: str) -> None:
    headers = {"Content-Type": "application/json", "X-Forwarded-For": f"192.0.2.1, {address}"}
    answer = await browser.post(SUBMISSION, content=b"{}", headers=headers)
    assert answer.status_code in (401, 503)


async def hashes_left_by(settings: Settings, *addresses: str, **changes: object) -> list[str]:
    left = await left_by(settings, *addresses, **changes)
    return [event["event_data"]["address_hash"] for event in left]


async def test_a_refusal_leaves_a_hashed_address_and_no_other_trace_of_it(own: Settings) -> None:
    [left] = await left_by(own, ADDRESS)
    assert left["event_data"].keys() == {
        *("error_type", "error_message", "address_hash", "request_id")
    }
    assert re.fullmatch("[0-9a-f]{16}", left["event_data"]["address_hash"])
    assert left["page_url"] == SUBMISSION
    assert left["created_at"]
    assert ADDRESS not in repr(left)


async def test_an_address_has_one_hash_in_every_process(own: Settings) -> None:
    first, again, other = await hashes_left_by(own, ADDRESS, ADDRESS, OTHER)
    assert first == again != other
    assert await hashes_left_by(own, OTHER, ADDRESS) == [other, first]


async def test_without_its_own_key_no_list_of_addresses_finds_it(own: Settings) -> None:
    """Not even the secret itself is that key: it has other work."""
    assert own.jwt_secret_key
    [left] = await hashes_left_by(own, ADDRESS)
    assert left != hashlib.sha256(ADDRESS.encode()).hexdigest()[:16]
    assert left != sign(own.jwt_secret_key, ADDRESS.encode())[:16]
    by_webhook = await hashes_left_by(own, ADDRESS, jwt_secret_key=None)
    assert by_webhook != [left]


async def test_without_secrets_a_process_makes_its_own_key(own: Settings) -> None:
    first = await hashes_left_by(own, ADDRESS, ADDRESS, **WITHOUT_SECRETS)
    assert first[0] == first[1]
    assert first[0] not in await hashes_left_by(own, ADDRESS, **WITHOUT_SECRETS)
