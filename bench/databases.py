"""What a submission costs on other databases than an empty one of our own: CPU, in turns.

    .venv/bin/python -m bench.databases filled     # by `bench.scale seed`
    .venv/bin/python -m bench.databases adopted    # the main app's, with its triggers and without

Each database has a service of its own, all on one Postgres, whose CPU is that of the backends of
the database. The ratios are to the empty one; exits 1 when one is over the goal, but for that with
the main app's triggers: they are not ours.
"""

import argparse
import asyncio
import logging
import os
import secrets
import statistics
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import asyncpg  # type: ignore[import-untyped]
import psutil
from pydantic import SecretStr
from sqlalchemy import make_url

from app.database import create_engine
from app.embedded.servers import run_servers
from app.learning.sample_course import seed_sample_course
from app.logs import configure_logs
from app.migrate import migrate
from app.settings import Settings
from bench import scale, wire
from bench.submissions import AT_ONCE, NO_LIMIT, Bench
from tests.support.adopted import adopt, by_owner, main_app_database
from tests.support.checkout import Serving, make_checkout
from tests.support.databases import empty_database, execute
from tests.support.kinds import ORGANIZATION
from tests.support.service_role import as_service, give_rights

GOAL = 1.15
TRIGGERED = ("user_skill_xp", "user_subject_xp", "user_task_evidence_documents")
NOT_OURS = "adopted"


@asynccontextmanager
async def own(settings: Settings) -> AsyncIterator[Settings]:
    async with empty_database(settings) as made:
        await asyncio.to_thread(migrate, made)
        yield made


@asynccontextmanager
async def adopted(settings: Settings, *, triggers: bool) -> AsyncIterator[Settings]:
    """With quests that end, as they do in databases of our own."""
    async with main_app_database(settings) as found:
        await adopt(found)
        await give_rights(settings, found)
        for table in () if triggers else TRIGGERED:
            await execute(found, f"alter table {table} disable trigger user")
        changes = {"optio_organization_id": ORGANIZATION, "database_url": as_service(found)}
        yield found.model_copy(update=changes | {"complete_quests": True})


async def compared(kind: str, settings: Settings, stack: AsyncExitStack) -> dict[str, Settings]:
    """The empty one of our own first."""
    found = {"empty": await stack.enter_async_context(own(settings))}
    if kind == "filled":
        return found | {"filled": settings}
    for title, triggers in ((NOT_OURS, True), ("without triggers", False)):
        made = await stack.enter_async_context(adopted(settings, triggers=triggers))
        found[title] = made
    return found


@contextmanager
def serving(settings: Settings) -> Iterator[Serving]:
    given = settings.model_dump(exclude_unset=True, exclude_none=True)
    given = {name.upper(): _plain(value) for name, value in given.items()}
    given |= {"RATE_LIMIT_WEBHOOK": NO_LIMIT, "RATE_LIMIT_SSO": NO_LIMIT}
    with make_checkout() as checkout, checkout.serve(**checkout.secrets | given) as running:
        yield running


class Measured:
    """One database, its service, and the CPU milliseconds of a submission in each round."""

    def __init__(self, settings: Settings, bench: Bench, process: psutil.Process) -> None:
        assert settings.database_url
        self.name = make_url(settings.database_url.get_secret_value()).database
        self.bench, self.process = bench, process
        self.service: list[float] = []
        self.postgres: list[float] = []

    async def round(self, submissions: int) -> None:
        students = await self.bench.sign_in(submissions)
        requests = [self.bench.request(student) for student in students]
        service, backends = _cpu(self.process), self._backends()
        _, answers = await self.bench.hand_in(requests, at_once=AT_ONCE)
        assert answers.counted == {200: submissions}, answers.counted
        spent = sum(cpu - backends.get(pid, 0) for pid, cpu in self._backends().items())
        self.service.append((_cpu(self.process) - service) / submissions * 1000)
        self.postgres.append(spent / submissions * 1000)

    def _backends(self) -> dict[int, float]:
        found = {}
        for process in psutil.process_iter(["cmdline"]):
            words = " ".join(process.info["cmdline"] or ()).split()
            if words[:1] == ["postgres:"] and self.name in words:
                found[process.pid] = _cpu(process)
        return found


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _cpu(process: psutil.Process) -> float:
    return sum(process.cpu_times()[:2])


async def measure(each: dict[str, Measured], *, rounds: int, submissions: int) -> bool:
    for number in range(rounds + 1):
        for one in list(each.values())[:: 1 if number % 2 else -1]:
            await one.round(submissions)
    reached = True
    base = each["empty"]
    for title, one in each.items():
        words = []
        for name in ("service", "postgres"):
            pairs = list(zip(getattr(one, name), getattr(base, name), strict=True))[1:]
            ratio = statistics.median(mine / first for mine, first in pairs)
            reached &= ratio <= GOAL or title == NOT_OURS
            words.append(f"{name} {statistics.median(p[0] for p in pairs):.2f} ms {ratio:.2f}")
        print(f"{title:18} {'   '.join(words)}   goal <= {GOAL}")
    return reached


async def run(kind: str, settings: Settings, *, rounds: int, submissions: int) -> bool:
    async with AsyncExitStack() as stack:
        each = {}
        for title, found in (await compared(kind, settings, stack)).items():
            engine = create_engine(found)
            await seed_sample_course(engine.connect)
            await engine.dispose()
            running = stack.enter_context(serving(found))
            assert found.database_url
            address = by_owner(found.database_url.get_secret_value()).replace("+asyncpg", "")
            pool = await stack.enter_async_context(asyncpg.create_pool(address, min_size=1))
            bench = Bench(
                running, pool, prefix=secrets.token_hex(4)
            )  # the filled one may know some
            each[title] = Measured(found, bench, psutil.Process(running.process.pid))
        return await measure(each, rounds=rounds, submissions=submissions)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.databases")
    parser.add_argument("kind", choices=("filled", "adopted"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--submissions", type=int, default=300)
    asked = parser.parse_args()
    configure_logs(logging.WARNING)
    with make_checkout() as checkout:
        folder = scale.FOLDER if asked.kind == "filled" else checkout.local
        with run_servers(folder, postgres=True, s3=True) as servers:
            os.environ.update(servers)
            settings = Settings(_env_file=None)
            reached = wire.run(
                run(asked.kind, settings, rounds=asked.rounds, submissions=asked.submissions)
            )
    sys.exit(not reached)


if __name__ == "__main__":
    main()
