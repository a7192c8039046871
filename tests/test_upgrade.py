"""A new version beside the old one, on one database, and the way back (OPERATOR 1, 2, 11)."""

import asyncio
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count

import httpx
import psutil
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.migrate import newest_revisions
from app.settings import Settings
from tests.support.adopted import by_owner
from tests.support.checkout import PROJECT, Checkout, Serving, make_checkout, wait_until
from tests.support.databases import empty_database, look_into
from tests.support.homework import sign_in, write_homework
from tests.support.patience import patient
from tests.support.processes import environment
from tests.support.stored import eventually
from tests.support.stores import Stores, own_stores

REQUESTS_PER_SECOND = 8
ENOUGH = 8  # requests of each service that are answered before the next step
OURS = newest_revisions()["spark"]
NEXT, NEWER = (f"spark_{int(OURS.partition('_')[2]) + more:04}" for more in (1, 2))
UP_TO_DATE = "The schema is up to date.\n"
NOTHING_TO_DO = f"The schema is newer ({NEWER}) than this version ({OURS}); nothing to do.\n"
MIGRATION = '''"""{act}"""

import sqlalchemy as sa
from alembic import op

from app.migrate import build_index

revision = "{revision}"
down_revision = "{before}"
branch_labels = depends_on = None


def upgrade():
    {act}
'''
STEPS = (
    "op.add_column('deliveries', sa.Column('note', sa.Text(), server_default=''), schema='spark')",
    "build_index('ix_deliveries_note', 'deliveries', ['note'])",
)
BUILT = """
select indisvalid from pg_index
where indexrelid = to_regclass('spark.ix_deliveries_note')
"""


@pytest.fixture
def checkout() -> Iterator[Checkout]:
    with make_checkout() as made:
        yield made


@contextmanager
def next_version() -> Iterator[Checkout]:
    """The same code with two migrations more: a column, and an index on it."""
    with make_checkout() as made:
        (made.folder / "migrations").unlink()
        shutil.copytree(PROJECT / "migrations", made.folder / "migrations")
        for act, revision, before in zip(STEPS, (NEXT, NEWER), (OURS, NEXT), strict=True):
            text_of = MIGRATION.format(act=act, revision=revision, before=before)
            (made.folder / "migrations" / "spark" / f"{revision}.py").write_text(text_of)
        yield made


@pytest.fixture
def stores(settings: Settings) -> Iterator[Stores]:
    with own_stores(settings) as made:
        yield made


def owner_of(stores: Stores) -> dict[str, str]:
    return {"DATABASE_URL": by_owner(stores.variables["DATABASE_URL"])}


class Load:
    """Sign-ins and homework, in turn at each of `urls`; all else than 302 and 200 has `failed`."""

    def __init__(self, settings: Settings, *urls: str) -> None:
        self.urls = list(urls)
        self.answered: Counter[str] = Counter()
        self.failed: list[object] = []
        self._settings = settings

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        sending = asyncio.create_task(self._send())
        try:
            yield
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending

    async def pass_some(self) -> None:
        """Until each of the services has answered ENOUGH more."""
        goals = {url: self.answered[url] + ENOUGH for url in self.urls}

        async def passed() -> bool:
            return all(self.answered[url] >= goal for url, goal in goals.items())

        await eventually(passed)

    async def _send(self) -> None:
        assert self._settings.spark_webhook_secret
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            student = await sign_in(client, self.urls[0], self._settings)
            async with asyncio.TaskGroup() as tasks:
                for number in count():
                    url = self.urls[number // 2 % len(self.urls)]
                    tasks.create_task(self._ask(client, url, student if number % 2 else None))
                    await asyncio.sleep(1 / REQUESTS_PER_SECOND)

    async def _ask(self, client: httpx.AsyncClient, url: str, student: str | None) -> None:
        assert self._settings.spark_webhook_secret
        try:
            if student is None:
                await sign_in(client, url, self._settings)
            else:
                homework = write_homework(self._settings.spark_webhook_secret, student)
                (await homework.send(client, url)).raise_for_status()
            self.answered[url] += 1
        except (AssertionError, httpx.HTTPError) as failure:
            self.failed.append(failure)


@asynccontextmanager
async def served(checkout: Checkout, variables: dict[str, str]) -> AsyncIterator[Serving]:
    serving = checkout.serve(**variables)
    yielded = await asyncio.to_thread(serving.__enter__)
    try:
        yield yielded
    finally:
        await asyncio.to_thread(serving.__exit__, None, None, None)


async def is_ready(url: str) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"{url}/readyz")).status_code == 200


async def migrate_past_a_reader(new: Checkout, stores: Stores, settings: Settings) -> None:
    """Who reads the table for long makes it give way, so that no webhook waits behind it."""
    lines = []
    async with look_into(settings) as sessions:
        with new.start("migrate", **owner_of(stores)) as migration:
            assert migration.stdout
            async with sessions() as reader, reader.begin():
                await reader.execute(text("select from spark.deliveries limit 1"))
                lines.append(await asyncio.to_thread(migration.stdout.readline))
            output, errors = await asyncio.to_thread(migration.communicate)
    assert migration.returncode == 0, errors
    assert lines[0].startswith(f"{NEXT}: a table is in use")
    assert "Trying again in 1 s." in lines[0]
    *steps, said = output.splitlines()
    assert [step.partition(" ")[0] for step in steps] == [NEXT, NEWER]
    assert all("held its locks for " in step for step in steps)
    assert f"{said}\n" == UP_TO_DATE
    assert await stores.execute(BUILT) == [{"indisvalid": True}]


@pytest.mark.soak
@pytest.mark.timeout(patient(120))
@pytest.mark.parametrize("row", ["OPERATOR 1, 11"])
async def test_a_new_version_beside_the_old_one_and_back_fails_no_request(
    checkout: Checkout, stores: Stores, settings: Settings, row: str
) -> None:
    variables = environment(settings) | stores.variables
    own = settings.model_copy(update={"database_url": SecretStr(stores.variables["DATABASE_URL"])})
    with next_version() as new:
        async with served(checkout, variables) as old:
            load = Load(settings, old.url)
            async with load.running():
                starting = asyncio.create_task(_wait_and_serve(new, variables, load))
                await asyncio.to_thread(wait_until, lambda: waits(new))
                await migrate_past_a_reader(new, stores, own)
                assert await is_ready(old.url)
                await starting
                await load.pass_some()
            back = await asyncio.to_thread(checkout.run, "migrate", **owner_of(stores))
            assert (back.returncode, back.stdout) == (0, NOTHING_TO_DO), back.stderr
            assert await is_ready(old.url)
            assert "PostgresqlImpl" not in old.output  # asking costs no lines of Alembic's
    assert load.failed == []


async def _wait_and_serve(new: Checkout, variables: dict[str, str], load: Load) -> None:
    """It serves once the migration is there, for a while; then it is taken away again."""
    async with served(new, variables) as serving:
        load.urls.append(serving.url)
        assert await is_ready(serving.url)
        await load.pass_some()
        load.urls.remove(serving.url)


def waits(checkout: Checkout) -> bool:
    said = checkout.folder / "serve.out"
    return said.exists() and "Run `python -m app migrate`." in said.read_text()


@pytest.mark.own_database("an adopted one is never empty")
@pytest.mark.soak
@pytest.mark.parametrize("command", ["serve", "worker"])
async def test_with_an_older_schema_nothing_listens_and_a_signal_ends_the_waiting(
    checkout: Checkout, settings: Settings, command: str
) -> None:
    """OPERATOR 2, P265"""
    async with empty_database(settings) as empty:
        with checkout.start(command, **environment(empty)) as process:
            assert process.stdout
            line = await asyncio.to_thread(process.stdout.readline)
            assert "Run `python -m app migrate`." in line
            listening = psutil.Process(process.pid).net_connections("tcp")
            assert [each for each in listening if each.status == psutil.CONN_LISTEN] == []
            process.send_signal(signal.SIGTERM)
            output, errors = await asyncio.to_thread(process.communicate, timeout=patient(2))
        assert (process.returncode, output, errors) == (0, "", "")
