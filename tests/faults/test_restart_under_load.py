"""The database is restarted under load: nothing that was answered is lost (FAULTS P176)."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from app.database import create_engine
from app.learning.sample_course import seed_sample_course
from app.migrate import migrate
from app.settings import Settings
from tests.embedded.holders import Holder, Holders
from tests.support.folders import open_project
from tests.support.forked import open_forks
from tests.support.homework import sign_in, write_homework
from tests.support.invariants import NO_FAULTS, Answered, find_faults
from tests.support.patience import patient
from tests.support.processes import environment
from tests.support.stored import eventually
from tests.support.stores import Stores

REQUESTS_PER_SECOND = 50
ENOUGH = 50  # answered, before and after


@pytest.fixture
def start() -> Iterator[Callable[[], Holder]]:
    """Starts a Postgres, always on the same data."""
    with open_project() as root, Holders() as holders:
        yield lambda: holders.start(root / ".local", "--only", "postgres")


class Load:
    """JSON 50 times a second; each outcome, `success` or a problem's code, with its moment."""

    def __init__(self, settings: Settings, url: str) -> None:
        assert settings.spark_webhook_secret
        self._secret = settings.spark_webhook_secret
        self._url = url
        self.students: list[str] = []
        self.answered: list[Answered] = []
        self.outcomes: list[tuple[float, str]] = []

    async def run(self, is_over: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as running:
            began, number = clock(), 0
            while not is_over.is_set():
                running.create_task(self._hand_in(self.students[number % len(self.students)]))
                number += 1
                await asyncio.sleep(max(0.0, began + number / REQUESTS_PER_SECOND - clock()))

    async def _hand_in(self, student: str) -> None:
        homework = write_homework(self._secret, student)
        status, body = await homework.send_once(self._url)
        self.outcomes.append((asyncio.get_running_loop().time(), body.get("code", body["status"])))
        if status == 200:
            self.answered.append(homework.answered(body))

    async def wait_for(self, outcome: str, count: int, *, since: float = 0) -> None:
        """Until so many were answered so."""

        async def have_come() -> bool:
            return sum(o == outcome and at > since for at, o in self.outcomes) >= count

        await eventually(have_come)


@asynccontextmanager
async def load_on(
    held: Holder, settings: Settings, stores: Stores, folder: Path
) -> AsyncIterator[Load]:
    """A process on a server of its own, with the sample course and twenty students."""
    own = settings.model_copy(
        update={
            "database_url": SecretStr(held.variables["DATABASE_URL"]),
            "s3_bucket": stores.variables["S3_BUCKET"],
        }
    )
    await asyncio.to_thread(migrate, own)
    engine = create_engine(own)
    await seed_sample_course(engine.connect)
    await engine.dispose()
    async with (
        stores.with_bucket(),
        open_forks(environment(own), folder) as forks,
        httpx.AsyncClient(timeout=60, trust_env=False) as client,
    ):
        serving = await forks.start()
        load = Load(own, serving.url)
        load.students = [await sign_in(client, serving.url, own) for _ in range(20)]
        yield load


@pytest.mark.soak
@pytest.mark.parametrize("row", ["P176"])
async def test_a_database_restarted_under_load_loses_nothing_that_was_answered(
    settings: Settings,
    variables: dict[str, str],
    start: Callable[[], Holder],
    tmp_path: Path,
    row: str,
) -> None:
    held = await asyncio.to_thread(start)
    bucket = {"S3_BUCKET": f"test-{secrets.token_hex(8)}"}
    stores = Stores(variables | held.variables | bucket)
    clock = asyncio.get_running_loop().time
    async with load_on(held, settings, stores, tmp_path) as load:
        is_over = asyncio.Event()
        running = asyncio.create_task(load.run(is_over))
        await load.wait_for("success", ENOUGH)
        await asyncio.to_thread(held.end, signal.SIGKILL)
        await load.wait_for("database_unavailable", 1)
        again = await asyncio.to_thread(start)
        restarted = clock()
        assert again.variables == held.variables
        await load.wait_for("success", ENOUGH, since=restarted)
        is_over.set()
        await running
        allowed = {"success", "database_unavailable", "overloaded"}
        assert {outcome for _, outcome in load.outcomes} <= allowed
        missed = [at for at, outcome in load.outcomes if outcome == "database_unavailable"]
        assert max(missed) - restarted < patient(10)
        assert await find_faults(stores, load.answered) == NO_FAULTS


@pytest.fixture
def variables(settings: Settings) -> dict[str, str]:
    """Where the store of the run is, and its keys."""
    found = environment(settings)
    names = ("S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return {name: found[name] for name in names}
