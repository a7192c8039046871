"""Spark is away for an hour, or refuses our key: nothing is lost, and no flood follows (D21)."""

import asyncio
import os
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from pydantic import SecretStr

from app.settings import Settings
from app.worker import job_kinds
from tests.jobs.conftest import Outward
from tests.support.outward import worker_elsewhere
from tests.support.stored import eventually
from tests.support.work import do_jobs

GRADES = 1_000 if "SOAK" in os.environ else 12
FIRST_SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
async def nothing_before(outward: Outward) -> None:
    await outward.fake.forget()
    for table in ("jobs", "job_targets"):
        await outward.stores.execute(f"DELETE FROM spark.{table}")  # noqa: S608 - a table's name


async def give(outward: Outward, number: int) -> None:
    turns = asyncio.Semaphore(8)

    async def give_one() -> None:
        async with turns:
            await outward.give()

    await asyncio.gather(*(give_one() for _ in range(number)))


async def work(outward: Outward, *, then_pass: int) -> None:
    """Whatever is due, and then as if what waits had been waiting so many minutes longer."""
    await do_jobs(outward.elsewhere.running.app.state.resources)
    for changed in ("jobs SET run_at = run_at", "job_targets SET paused_until = paused_until"):
        passed = f"{changed} - make_interval(mins => {then_pass})"
        await outward.stores.execute(f"UPDATE spark.{passed}")


async def be_away_for_an_hour(outward: Outward) -> int:
    """How often it was called; it is back when the next probe is due."""
    await outward.fake.script("/grades", *[{"status": 503}] * 1_000)
    for _ in range(12):
        await work(outward, then_pass=5)
    calls = len(await outward.fake.requests())
    await outward.fake.forget()
    await outward.stores.execute("UPDATE spark.job_targets SET paused_until = now()")
    return calls


async def all_are_sent(outward: Outward, number: int) -> bool:
    return not await outward.stores.execute("SELECT id FROM spark.jobs") and number == len(
        await outward.fake.gradebook()
    )


def places(outward: Outward) -> int:
    return job_kinds(outward.elsewhere.running.app.state.resources)["grade"].places


@pytest.mark.soak
@pytest.mark.alone
async def test_an_hours_outage_ends_without_a_flood(outward: Outward) -> None:
    """At the pace that is set by default."""
    await give(outward, 12)
    calls = await be_away_for_an_hour(outward)
    assert calls <= places(outward) + 12, "more than a probe for each pause"
    pace = Settings.model_fields["spark_api_per_minute"].default
    paced = outward.settings.model_copy(update={"spark_api_per_minute": pace})
    async with worker_elsewhere(paced):
        await eventually(lambda: are_sent(outward, 12))
    times = [datetime.fromisoformat(each["at"]) for each in await outward.fake.requests()]
    assert len([at for at in times if at - times[0] < FIRST_SECOND]) <= 2 * places(outward)


async def are_sent(outward: Outward, number: int) -> bool:
    """What is to come within the minute is due at once."""
    await outward.stores.execute(
        "UPDATE spark.jobs SET run_at = now()"
        " WHERE state = 'waiting' AND run_at < now() + interval '1 minute'"
    )
    return await all_are_sent(outward, number)


async def test_what_was_tried_often_in_an_outage_is_sent_soon_after_it(outward: Outward) -> None:
    """Its own wait would be hours by now."""
    await give(outward, 3)
    await be_away_for_an_hour(outward)
    await work(outward, then_pass=2)
    await work(outward, then_pass=0)
    assert await all_are_sent(outward, 3)


@pytest.mark.timeout(600)
async def test_a_wrong_key_buries_no_grade(outward: Outward) -> None:
    await give(outward, GRADES)
    right = outward.settings.spark_api_key
    assert isinstance(right, SecretStr)
    await outward.fake.change(api_key=str(uuid4()))
    for _ in range(4):
        await work(outward, then_pass=15)
    assert len(await outward.fake.requests("/grades")) <= places(outward) + 4
    jobs = await outward.stores.execute("SELECT DISTINCT state, attempts FROM spark.jobs")
    assert jobs == [{"state": "waiting", "attempts": 0}]
    await outward.fake.change(api_key=right.get_secret_value())
    await work(outward, then_pass=15)
    assert await all_are_sent(outward, GRADES)
