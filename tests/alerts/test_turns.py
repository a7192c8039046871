"""Operators are told once, whoever measures and however often: at first, daily, and at the end."""

import asyncio
from datetime import UTC, datetime

import pytest

from app.alerts.evaluate import evaluate_alerts
from app.alerts.rules import RULES
from app.worker import sweep
from tests.alerts.conftest import Telling
from tests.alerts.test_rules import sign_ins, target_refused
from tests.support.elsewhere import run_elsewhere
from tests.support.metrics import scrape

BURST, REFUSED = "sign_in_failures", "target_refused"


async def texts(telling: Telling) -> list[str]:
    """What each that was told says of its rule."""
    return [each["text"].partition("] ")[2].split("\n")[0] for each in await telling.told()]


async def test_of_two_workers_at_once_one_tells(telling: Telling) -> None:
    await telling.evaluate()  # so that no row is new
    await sign_ins(telling)
    now = datetime.now(tz=UTC)
    ordered = await asyncio.gather(
        *(evaluate_alerts(telling.sessions, telling.settings, now=now) for _ in range(8))
    )
    assert sum(ordered) == 1
    assert len(await telling.told()) == 1


async def test_a_restart_repeats_nothing(telling: Telling) -> None:
    await sign_ins(telling)
    assert await telling.evaluate() == 1
    async with run_elsewhere(telling.settings) as again:
        await sweep(again.running.app.state.resources)
    assert await texts(telling) == [f"{BURST} fires."]


async def test_recovery_is_told_when_it_was_quiet_for_five_minutes(telling: Telling) -> None:
    await sign_ins(telling)
    assert [await telling.evaluate(minutes=minute) for minute in (0, 2, 4, 6, 8)] == [1, 0, 0, 0, 0]
    [(name, fired)] = (await telling.firing()).items()
    since = datetime.fromisoformat(fired["since"])
    await telling.told()
    assert await telling.evaluate(minutes=9.1) == 1
    assert await telling.firing() == {}
    first, second = await texts(telling)
    assert (name, first) == (BURST, f"{BURST} fires.")
    assert second.startswith(f"{BURST} is over. It fired since {since:%Y-%m-%d }")
    assert (await telling.told())[1]["alert"]["state"] == "ok"
    assert await telling.evaluate(minutes=20) == 0


async def test_what_flaps_is_told_once(telling: Telling) -> None:
    """Now and then for forty minutes, and quiet for less than five between."""
    ordered = []
    for minute in range(0, 40, 2):
        if minute % 6 == 0:
            await telling.fail_sign_ins(5, minutes=-minute)
        ordered.append(await telling.evaluate(minutes=minute + 0.5))
    assert ordered == [1] + [0] * 19
    assert list(await telling.firing()) == [BURST]


async def test_who_fires_again_after_it_was_over_is_told_again(telling: Telling) -> None:
    await sign_ins(telling)
    ordered = [await telling.evaluate(minutes=minute) for minute in (0, 4, 10)]
    await telling.fail_sign_ins(5, minutes=-11)
    assert [*ordered, await telling.evaluate(minutes=11.5)] == [1, 0, 1, 1]


async def test_once_a_day_it_is_remembered_as_long_as_it_fires(telling: Telling) -> None:
    await target_refused(telling)
    ordered = []
    for hours in (0, 23, 24.1, 25, 48.2):
        ordered.append(await telling.evaluate(hours=hours))
        await telling.told()
    jobs_late = "jobs_late"  # the grade that waits is none: its target is not called
    assert jobs_late not in await telling.firing()
    assert ordered == [1, 0, 1, 0, 1]
    first, *others = await texts(telling)
    assert first == f"{REFUSED} fires."
    since = datetime.fromisoformat((await telling.firing())[REFUSED]["since"])
    still = f"{REFUSED} still fires, since {since:%Y-%m-%d}"
    assert all(each.startswith(still) for each in others)


async def test_without_a_receiver_it_is_measured_and_told_once_there_is_one(
    telling: Telling,
) -> None:
    await target_refused(telling)
    async with run_elsewhere(telling.settings, alert_webhook_url=None) as silent:
        for _ in range(2):
            await sweep(silent.running.app.state.resources)
    assert list(await telling.firing()) == [REFUSED]
    assert await telling.jobs() == []
    assert [await telling.evaluate(minutes=minute) for minute in (1, 2)] == [1, 0]


async def test_those_with_alarms_of_their_own_read_it_of_the_metrics(telling: Telling) -> None:
    await target_refused(telling)
    for _ in range(2):
        await sweep(telling.elsewhere.running.app.state.resources)
    found = await scrape(telling.elsewhere.spark.browser, telling.main_app)
    told = {rule.name: found[f'spark_alert_firing{{name="{rule.name}"}}'] for rule in RULES}
    assert told == {rule.name: float(rule.name == REFUSED) for rule in RULES}
    assert found['spark_target_open{target="spark"}'] == 0
    assert found['spark_jobs_waiting{kind="alert"}'] == 1


@pytest.mark.parametrize("state", ["paused", "refused"])
async def test_of_alerts_that_cannot_be_told_no_alert_is_told(telling: Telling, state: str) -> None:
    """It could reach nobody, and its own failure would be the next."""
    fault = {"paused": {"status": 503}, "refused": {"status": 403}}[state]
    await telling.fake.script("/alerts", *[fault] * 5, {"status": 404})
    await sign_ins(telling)
    await telling.evaluate()
    for _ in range(6):
        await telling.told()
        await telling.come_due()
    [job] = await telling.jobs()
    assert (job.state, job.reason) == ("dead", "alerts_404")
    await telling.evaluate(minutes=1)
    assert list(await telling.firing()) == [BURST]
