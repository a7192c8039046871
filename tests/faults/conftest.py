"""A service behind two fault proxies, on a database and a bucket that only these tests use."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy.engine import make_url

from app.main import open_resources
from app.settings import Settings
from app.worker import sweep
from tests.support.bodies import Part
from tests.support.elsewhere import run_elsewhere
from tests.support.fault_proxy import FaultProxy, run_proxy
from tests.support.forked import Forked, Forks, open_forks
from tests.support.homework import Homework, note, sign_in, write_homework
from tests.support.invariants import NO_FAULTS, Answered, find_faults
from tests.support.patience import patient
from tests.support.problems import assert_problem
from tests.support.processes import environment
from tests.support.running import Running
from tests.support.spark import Spark
from tests.support.stores import Stores, own_stores

FORMS = pytest.mark.parametrize("files", [(), (note(2000),)], ids=["json", "form"])


@pytest.fixture(scope="session")
def settings(settings: Settings) -> Settings:
    """With the deadlines of production, which these tests are about."""
    seconds = Settings.model_fields["statement_timeout_seconds"].default
    return settings.model_copy(update={"statement_timeout_seconds": seconds})


@pytest.fixture(scope="session")
def stores(settings: Settings) -> Iterator[Stores]:
    with own_stores(settings) as made:
        yield made


@pytest.fixture(scope="session")
def settings_of_stores(settings: Settings, stores: Stores) -> Settings:
    """A retry after a lost claim does not wait long."""
    return stores.given_to(settings, delivery_lease_seconds=2)


@dataclass(eq=False)
class Faulty:
    """A service whose database and store are behind proxies, and what it has answered."""

    running: Running
    spark: Spark
    stores: Stores
    database: FaultProxy
    store: FaultProxy
    answered: list[Answered] = field(default_factory=list)

    @property
    def client(self) -> httpx.AsyncClient:
        return self.spark.browser

    async def write(self, files: Sequence[Part] = ()) -> Homework:
        """Homework of a new student."""
        student = await self.spark.sign_in()
        return self.write_more(student.spark_user_id, files)

    def write_more(self, spark_user_id: str, files: Sequence[Part] = ()) -> Homework:
        return write_homework(self.spark.webhook_secret, spark_user_id, files)

    async def send(self, homework: Homework) -> httpx.Response:
        """Remembers what was promised."""
        answer = await homework.send(self.client)
        if answer.is_success:
            self.answered.append(homework.answered(answer.json()))
        return answer

    async def restore(self) -> None:
        await self.database.restore()
        await self.store.restore()

    async def expire_uploads(self) -> None:
        """As if their leases had run out."""
        await self.stores.execute(
            "UPDATE spark.uploads SET lease_until = now() - interval '1 second'"
            " WHERE state <> 'committed'"
        )

    async def settle(self) -> None:
        """One sweep, when all leases have ended.

        A lease is far longer than a request to the store takes to arrive when its sender has given
        it up: so those come first.
        """
        await self.restore()
        await self.store.drain()
        await self.expire_uploads()
        await sweep(self.running.app.state.resources)

    async def assert_invariants(self) -> None:
        """Once it is settled."""
        await self.settle()
        assert await find_faults(self.stores, self.answered) == NO_FAULTS


@asynccontextmanager
async def run_faulty(
    settings: Settings, stores: Stores, *, database_is_there: bool = True, **changes: Any
) -> AsyncIterator[Faulty]:
    """`changes` are to the service's settings."""
    assert settings.database_url
    assert settings.s3_endpoint_url
    url = make_url(settings.database_url.get_secret_value())
    s3 = urlsplit(settings.s3_endpoint_url)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(run_proxy(str(url.host), url.port or 5432))
        store = await stack.enter_async_context(run_proxy(str(s3.hostname), s3.port or 80))
        if not database_is_there:
            await database.refuse()
        through = url.set(host="127.0.0.1", port=database.port)
        addresses = {
            "database_url": SecretStr(through.render_as_string(hide_password=False)),
            "s3_endpoint_url": store.url,
        }
        elsewhere = await stack.enter_async_context(run_elsewhere(settings, **addresses | changes))
        yield Faulty(elsewhere.running, elsewhere.spark, stores, database, store)


@pytest.fixture(scope="module")
async def service(settings_of_stores: Settings, stores: Stores) -> AsyncIterator[Faulty]:
    async with run_faulty(settings_of_stores, stores) as made:
        yield made


@pytest.fixture
async def faulty(service: Faulty) -> AsyncIterator[Faulty]:
    """One service for a whole file: each test also shows that it got over the last one's fault."""
    service.answered.clear()
    await service.settle()  # others use these stores, too, and kill services that hold uploads
    yield service
    await service.restore()
    await service.stores.abort_unfinished()  # what a failed test left


async def assert_unavailable(answering: Awaitable[httpx.Response]) -> None:
    """A 503 within 10 s that says when to come again (SECURITY promise 21)."""
    began = time.monotonic()
    answer = await answering
    assert_problem(answer, 503, "database_unavailable")
    assert 0 < int(answer.headers["retry-after"]) <= 10
    assert time.monotonic() - began < patient(10)


@pytest.fixture
def leased(settings_of_stores: Settings) -> Settings:
    """Leases end soon after a kill; one connection, so that each request writes the same."""
    return settings_of_stores.model_copy(
        update={"delivery_lease_seconds": 1, "upload_lease_seconds": 2, "database_pool_size": 1}
    )


@pytest.fixture
async def forks(leased: Settings, tmp_path: Path) -> AsyncIterator[Forks]:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    async with open_forks(environment(leased) | {"TMPDIR": str(temporary)}, tmp_path) as opened:
        yield opened


class Writer:
    """Writes the homework of new students, who sign in at the process they are told of."""

    def __init__(self, client: httpx.AsyncClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    async def write(self, serving: Forked, files: Sequence[Part] = ()) -> Homework:
        assert self._settings.spark_webhook_secret
        student = await sign_in(self._client, serving.url, self._settings)
        return write_homework(self._settings.spark_webhook_secret, student, files)


@pytest.fixture
async def writer(leased: Settings) -> AsyncIterator[Writer]:
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        yield Writer(client, leased)


async def until_answered(homework: Homework, serving: Forked) -> Answered:
    """As a sender repeats what was not answered."""
    async with asyncio.timeout(patient(30)):
        while True:
            status, body = await homework.send_once(serving.url)
            if status == 200:
                return homework.answered(body)
            assert status in (409, 503), body


async def assert_invariants(stores: Stores, leased: Settings, answered: list[Answered]) -> None:
    """After one sweep, when all leases have ended."""
    await stores.execute("UPDATE spark.uploads SET lease_until = now() WHERE state <> 'committed'")
    async with open_resources(leased) as resources:
        await sweep(resources)
    assert await find_faults(stores, answered) == NO_FAULTS


@asynccontextmanager
async def connected(serving: Forked) -> AsyncIterator[asyncio.StreamWriter]:
    address = urlsplit(serving.url)
    _, sender = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield sender
    finally:
        sender.transport.abort()
