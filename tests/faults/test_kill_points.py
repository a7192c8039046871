"""`kill -9` at any moment under load (SECURITY promises 10-12): 0 lost, 0 doubled, 0 orphans."""

import asyncio
import os
import random
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from app.main import open_resources
from app.settings import Settings
from app.worker import sweep
from tests.support.forked import Forked, Forks, open_forks
from tests.support.homework import note
from tests.support.invariants import NO_FAULTS, find_faults
from tests.support.load import Load
from tests.support.processes import environment
from tests.support.spark import Spark
from tests.support.stored import eventually
from tests.support.stores import Stores, own_stores

KILLS_A_ROUND = 20
KILLS = 500 if "SOAK" in os.environ else KILLS_A_ROUND
STUDENTS, SENDERS = 12, 8
SHORTEST, LONGEST = 0.02, 0.8  # seconds under load before a kill


@pytest.fixture
def stores(settings: Settings) -> Iterator[Stores]:
    """Of this file's own: it looks at every row."""
    with own_stores(settings) as made:
        yield made


@pytest.mark.soak
@pytest.mark.timeout(60 * 90 if "SOAK" in os.environ else 180)
@pytest.mark.parametrize("row", ["P190"])
async def test_any_number_of_kills_loses_doubles_and_leaves_nothing(
    settings: Settings,
    stores: Stores,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    row: str,
) -> None:
    seed = int(os.environ.get("KILL_SEED") or secrets.randbits(32))
    chance = random.Random(seed)  # noqa: S311 - it hides nothing
    service = of_stores(settings, stores)
    load = Load(settings, chance)
    async with (
        open_forks(environment(service), tmp_path) as forks,
        httpx.AsyncClient(timeout=60, trust_env=False) as client,
    ):
        for _ in range(0, KILLS, KILLS_A_ROUND):
            last = await kill_and_restart(load, forks, client)
            last.kill()
            await wait_for_leases(stores)
            async with open_resources(service) as resources:
                await sweep(resources)
            assert await find_faults(stores, load.answered) == NO_FAULTS, f"KILL_SEED={seed}"
    record_property("answered", len(load.answered))
    record_property("unanswered", load.unanswered)
    assert load.unanswered > KILLS / 2, "the kills met no requests"


async def kill_and_restart(load: Load, forks: Forks, client: httpx.AsyncClient) -> Forked:
    """One round: at its end everything that was sent has been answered. The last one to serve."""
    serving = await start_warm(forks, client, load)
    load.students = [await sign_in(client, serving.url, load.settings) for _ in range(STUDENTS)]
    load.is_over = False
    senders = [asyncio.create_task(load.run()) for _ in range(SENDERS)]
    for _ in range(KILLS_A_ROUND):
        load.is_served.set()
        await asyncio.sleep(load.chance.uniform(SHORTEST, LONGEST))
        load.is_served.clear()
        serving.kill()
        serving = await start_warm(forks, client, load)
    load.is_over = True
    load.is_served.set()
    await asyncio.gather(*senders)
    return serving


async def start_warm(forks: Forks, client: httpx.AsyncClient, load: Load) -> Forked:
    """Ready, and not at the beginning of everything: else no request would get far in time."""
    serving = await forks.start()
    load.urls = [serving.url]
    student = await sign_in(client, serving.url, load.settings)
    await asyncio.gather(*(load.hand_in(student, files) for files in ([], [note(2000)])))
    return serving


def of_stores(settings: Settings, stores: Stores) -> Settings:
    return stores.given_to(settings, delivery_lease_seconds=1, upload_lease_seconds=2)


async def sign_in(client: httpx.AsyncClient, url: str, settings: Settings) -> str:
    assert settings.spark_sso_secret
    assert settings.spark_webhook_secret
    spark = Spark(client, settings.spark_sso_secret, settings.spark_webhook_secret)
    claims = spark.claims()
    answer = await client.get(f"{url}/spark/sso", params={"token": spark.launch_token(**claims)})
    assert answer.status_code == 302, answer.text
    return str(claims["sub"])


async def wait_for_leases(stores: Stores) -> None:
    """Until every upload that was not committed counts as abandoned.

    The five minutes of a removal that was killed are not waited for.
    """
    await stores.execute("UPDATE spark.uploads SET lease_until = now() WHERE state = 'deleting'")

    async def have_ended() -> bool:
        return not await stores.execute(
            "SELECT id FROM spark.uploads WHERE state <> 'committed' AND lease_until > now()"
        )

    await eventually(have_ended)
