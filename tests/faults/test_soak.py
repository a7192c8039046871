"""A fault a minute under steady load on two instances: an operator's bad weeks in half an hour.

Of two minutes, with a fault every few seconds, unless SOAK_MINUTES says how many. Senders leave as
well, and send twins, as `Load` does.
"""

import asyncio
import json
import os
import random
import secrets
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy.engine import make_url

from app.main import open_resources
from app.play_spark import launch_token
from app.settings import Settings
from app.worker import sweep
from tests.support.fault_proxy import ALWAYS, Act, Aim, FaultProxy, run_proxy
from tests.support.forked import Forked, Forks, open_forks
from tests.support.homework import sign_in
from tests.support.invariants import NO_FAULTS, find_faults
from tests.support.load import Load
from tests.support.locks import hold
from tests.support.patience import patient
from tests.support.processes import environment
from tests.support.stored import eventually
from tests.support.stores import Stores, own_stores

MINUTES = float(os.environ.get("SOAK_MINUTES") or (30 if "SOAK" in os.environ else 2))
STUDENTS, SENDERS, PAUSE_SECONDS = 40, 4, 0.4
SHORT, LONG = 3, 9  # seconds of a fault: within the deadlines, and beyond them


@pytest.fixture
def stores(settings: Settings) -> Iterator[Stores]:
    """Of this file's own: it looks at every row."""
    with own_stores(settings) as made:
        yield made


@dataclass(eq=False)
class Scene:
    """Two instances behind two proxies, and what happens to them."""

    forks: Forks
    load: Load
    stores: Stores
    database: FaultProxy
    store: FaultProxy
    instances: list[Forked] = field(default_factory=list)

    async def start(self) -> None:
        self.instances.append(await self.forks.start())
        self.load.urls = [each.url for each in self.instances]

    async def happen(self, name: str) -> None:
        """One fault, from its beginning to its end."""
        match name:
            case "kill -9":
                self.instances.pop(0).kill()
                await self.start()
            case "deploy":
                await self.start()
                self.instances.pop(0).signal(signal.SIGTERM)
                self.load.urls = [each.url for each in self.instances]
            case "all connections are busy":
                async with hold(self.stores):
                    await asyncio.sleep(SHORT)
            case _:
                seconds, begin = PROXIED[name]
                begin(self)
                await asyncio.sleep(seconds)
        await self.restore()

    async def restore(self) -> None:
        await self.database.restore()
        await self.store.restore()


PROXIED: dict[str, tuple[float, Callable[[Scene], object]]] = {
    "database hangs": (LONG, lambda scene: scene.database.hang()),
    "database refuses": (SHORT, lambda scene: scene.database.flap(1)),
    "database flaps": (SHORT, lambda scene: scene.database.flap()),
    "database is cut": (0, lambda scene: scene.database.cut()),
    "store hangs": (LONG, lambda scene: scene.store.hang()),
    "store refuses": (SHORT, lambda scene: scene.store.flap(1)),
    "store fails": (
        SHORT,
        lambda scene: scene.store.aim(Aim(Act.ANSWER, b" /", times=ALWAYS, status=500)),
    ),
    "store loses answers": (
        SHORT,
        lambda scene: scene.store.aim(Aim(Act.LOSE_ANSWER, b"PUT /", times=ALWAYS)),
    ),
}
FAULTS = ("kill -9", "deploy", "all connections are busy", *PROXIED)


@asynccontextmanager
async def two_instances(settings: Settings, stores: Stores, folder: Path) -> AsyncIterator[Scene]:
    """Their leases are long enough for what the store was sent in a fault to arrive."""
    url, s3 = make_url(stores.variables["DATABASE_URL"]), urlsplit(str(settings.s3_endpoint_url))
    chance = random.Random(secrets.randbits(32))  # noqa: S311 - it hides nothing
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(run_proxy(str(url.host), url.port or 5432))
        store = await stack.enter_async_context(run_proxy(str(s3.hostname), s3.port or 80))
        through = url.set(host="127.0.0.1", port=database.port)
        service = settings.model_copy(
            update={
                "database_url": SecretStr(through.render_as_string(hide_password=False)),
                "s3_endpoint_url": store.url,
                "s3_bucket": stores.variables["S3_BUCKET"],
                "delivery_lease_seconds": 2,
                "upload_lease_seconds": 60,
            }
        )
        forks = await stack.enter_async_context(open_forks(environment(service), folder))
        load = Load(service, chance, pause=PAUSE_SECONDS)
        scene = Scene(forks, load, stores, database, store)
        await scene.start()
        await scene.start()
        yield scene


async def sign_in_now_and_then(load: Load, client: httpx.AsyncClient) -> Counter[int]:
    """New students, until it is over; how they were answered."""
    secret, answers = load.settings.spark_sso_secret, Counter[int]()
    assert secret
    while not load.is_over:
        token = launch_token(secret, f"new_{secrets.token_hex(6)}", now=datetime.now(tz=UTC))
        with suppress(httpx.TransportError):
            url = f"{load.chance.choice(load.urls)}/spark/sso"
            answers[(await client.get(url, params={"token": token})).status_code] += 1
        await asyncio.sleep(PAUSE_SECONDS)
    return answers


async def let_happen(scene: Scene) -> None:
    """Every fault in turn, in another order each time."""
    clock = asyncio.get_running_loop().time
    began, number, left = clock(), 0, list[str]()
    every = min(60, MINUTES * 60 / len(FAULTS))
    while (number + 1) * every <= MINUTES * 60:
        left = left or scene.load.chance.sample(FAULTS, len(FAULTS))
        await scene.happen(left.pop())
        number += 1
        await asyncio.sleep(max(1, began + number * every - clock()))


@pytest.mark.soak
@pytest.mark.timeout(patient(MINUTES * 120 + 300))
@pytest.mark.parametrize("finding", ["OPERATOR 1"])
async def test_a_fault_a_minute_loses_doubles_and_leaves_nothing(
    settings: Settings,
    stores: Stores,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    finding: str,
) -> None:
    async with (
        two_instances(settings, stores, tmp_path) as scene,
        httpx.AsyncClient(timeout=60, trust_env=False) as client,
    ):
        load = scene.load
        load.students = [
            await sign_in(client, load.urls[0], load.settings) for _ in range(STUDENTS)
        ]
        load.is_served.set()
        senders = [asyncio.create_task(load.run()) for _ in range(SENDERS)]
        launching = asyncio.create_task(sign_in_now_and_then(load, client))
        await let_happen(scene)
        load.is_over = True
        await asyncio.gather(*senders)
        launches = await launching
        assert set(launches) <= {302, 503}
        await eventually(lambda: are_ready(client, load.urls))
        await scene.store.drain()
    requests = read_requests(tmp_path)
    assert not [line for line in requests if line["status"] == 500]
    outages = ("database_unavailable", "storage_unavailable")
    slowest = max(line["ms"] for line in requests if line["code"] in outages)
    assert slowest < patient(10_000)  # SECURITY promise 21
    await stores.execute("UPDATE spark.uploads SET lease_until = now() WHERE state <> 'committed'")
    direct = load.settings.model_copy(
        update={
            "database_url": SecretStr(stores.variables["DATABASE_URL"]),
            "s3_endpoint_url": settings.s3_endpoint_url,
        }
    )
    async with open_resources(direct) as resources:
        await sweep(resources)
    assert await find_faults(stores, load.answered) == NO_FAULTS
    assert load.unanswered > 0
    told = {"answered": len(load.answered), "launches": dict(launches), "slowest 503": slowest}
    for name, value in told.items():
        record_property(name, value)


def read_requests(folder: Path) -> list[dict[str, Any]]:
    """The log lines of all requests to all instances."""
    lines = [line for log in folder.glob("*.log") for line in log.read_text().splitlines()]
    return [json.loads(line) for line in lines if '"event": "request"' in line]


async def are_ready(client: httpx.AsyncClient, urls: list[str]) -> bool:
    answers = [await client.get(f"{url}/readyz") for url in urls]
    return {answer.status_code for answer in answers} == {200}
