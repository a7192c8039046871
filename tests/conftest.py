"""Real servers for the whole run, one application, and a Spark to call it.

Tests commit for real and keep apart by fresh ids: a student, a course and an assignment of their
own. Addresses of servers in DATABASE_URL and S3_ENDPOINT_URL are used where they are set.
"""

# ruff: noqa: PLC0415 - a test that asks for no server does not wait for what servers import
from __future__ import annotations

import os
import secrets
import signal
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from pydantic import SecretStr

from tests.support.canaries import CANARIES
from tests.support.kinds import IS_ADOPTED, SETTINGS, fit_to_adopted
from tests.support.patience import patient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

    import httpx

    from app.database import Sessions
    from app.settings import Settings
    from app.storage.bucket import Bucket
    from tests.support.running import Running
    from tests.support.spark import Assignment, SignedIn, Spark
    from tests.support.work import Work

# Whoever runs the tests in the background may have these ignored, and so would every service that
# a test starts and ends by them.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

# Fixtures with processes.
STARTED = frozenset({"settings", "project", "checkout", "serving", "fake_spark"})
TASKS = (("Research", 100), ("Build", 150), ("Present", 100))


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Function]) -> None:
    """A test is pure if nothing it asks for, however far away, starts a server or a command."""
    for item in items:
        if STARTED.isdisjoint(item.fixturenames):
            item.add_marker("pure")
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(patient(float(config.getini("timeout")))))
    if IS_ADOPTED:
        fit_to_adopted(config, items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With FORBID_SKIPS in the environment a test that cannot run here has failed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and "FORBID_SKIPS" in os.environ:
        report.outcome = "failed"
    return report


@pytest.fixture(scope="session")
def settings() -> Iterator[Settings]:
    """Settings of a service with a migrated database and a bucket of the run's own."""
    from app.embedded.servers import run_servers
    from app.settings import Settings
    from tests.support.defaults import RATES
    from tests.support.folders import open_project
    from tests.support.ports import share_out_ports
    from tests.support.stores import own_stores

    postgres, s3 = "DATABASE_URL" not in os.environ, "S3_ENDPOINT_URL" not in os.environ
    with ExitStack() as stack:
        if postgres or s3:
            folder = stack.enter_context(open_project()) / ".local"
            share_out_ports(folder)
            servers = stack.enter_context(run_servers(folder, postgres=postgres, s3=s3))
            os.environ.update(servers)
        made = Settings(
            _env_file=None,
            frontend_url="http://localhost:5173",
            spark_sso_secret=_secret(),
            spark_webhook_secret=_secret(),
            jwt_secret_key=_secret(),
            internal_api_keys=(_secret(),),
            statement_timeout_seconds=30,  # a machine that stands still for seconds fails no test
        )
        CANARIES.release(*_all_secrets(made))
        own = stack.enter_context(own_stores(made, people=True))
        os.environ.update(own.variables)
        # All tests are one address: a test of a rate sets it.
        rates = dict.fromkeys(RATES, 10**9)
        yield own.given_to(made, **rates, **SETTINGS)


def _all_secrets(settings: Settings) -> list[str]:
    """That were set: what everybody has may be logged."""
    fields = type(settings).model_fields
    values = [
        value
        for name, value in settings
        if isinstance(value, SecretStr) and value != fields[name].default
    ]
    return [value.get_secret_value() for value in (*values, *settings.internal_api_keys)]


@pytest.fixture(scope="session", autouse=True)
def nothing_secret_is_logged() -> Iterator[None]:
    """SECURITY promise 27, over whatever the run did: the search comes after the last test."""
    CANARIES.listen()
    yield
    assert CANARIES.is_listening
    assert CANARIES.found() == []


def _secret() -> SecretStr:
    return SecretStr(secrets.token_hex(32))


@pytest.fixture(scope="session")
async def server(settings: Settings) -> AsyncIterator[Running]:
    from tests.support.running import run_app

    async with run_app(settings) as running:
        yield running


@pytest.fixture(scope="session")
async def browser(server: Running) -> AsyncIterator[httpx.AsyncClient]:
    import httpx

    async with httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def spark(browser: httpx.AsyncClient, settings: Settings) -> Spark:
    from tests.support.spark import Spark

    assert settings.spark_sso_secret
    assert settings.spark_webhook_secret
    return Spark(browser, settings.spark_sso_secret, settings.spark_webhook_secret)


@pytest.fixture(scope="session")
def main_app(settings: Settings) -> dict[str, str]:
    """The headers of the main Optio app."""
    return {"Authorization": f"Bearer {settings.internal_api_keys[0].get_secret_value()}"}


@pytest.fixture(scope="session")
async def sessions(settings: Settings) -> AsyncIterator[Sessions]:
    from tests.support.databases import look_into

    async with look_into(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def bucket(server: Running) -> Bucket:
    opened: Bucket = server.app.state.resources.bucket
    return opened


@pytest.fixture
async def student(spark: Spark) -> SignedIn:
    return await spark.sign_in()


@pytest.fixture
async def assignment(sessions: Sessions) -> Assignment:
    return await create_assignment(sessions)


@pytest.fixture
async def work(server: Running, sessions: Sessions) -> Work:
    """Do what is due, as a worker of its own, which finds nothing that other tests left."""
    from tests.support.work import do_jobs, forget_jobs

    await forget_jobs(sessions)
    return partial(do_jobs, server.app.state.resources)


async def create_assignment(sessions: Sessions, **changes: str) -> Assignment:
    """A course quest of its own, as `seed` makes one."""
    from sqlalchemy import insert

    from app.models import CourseQuestTask, Quest
    from tests.support.spark import Assignment

    made = Assignment(
        quest_id=uuid4(),
        spark_assignment_id=changes.get("spark_assignment_id", f"assignment_{uuid4().hex}"),
        spark_course_id=f"course_{uuid4().hex}",
    )
    async with sessions() as session, session.begin():
        await session.execute(
            insert(Quest).values(
                id=made.quest_id,
                title="Weather",
                quest_type="course",
                lms_platform="spark",
                lms_course_id=made.spark_course_id,
                lms_assignment_id=made.spark_assignment_id,
            )
        )
        tasks = [
            {
                "quest_id": made.quest_id,
                "title": title,
                "pillar": "stem",
                "xp_value": xp_value,
                "order_index": order_index,
            }
            for order_index, (title, xp_value) in enumerate(TASKS, start=1)
        ]
        await session.execute(insert(CourseQuestTask).values(tasks))
    return made
