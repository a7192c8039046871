"""An outage as an operator has it: told with cause and count, mended, replayed, told to be over.

It lasts for one handing-in, or for OUTAGE_MINUTES of them: alone, as its figures are in --junitxml.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.alerts.evaluate import evaluate_alerts
from app.alerts.rules import ALERT
from app.deliveries.send_receipt import RECEIPT
from app.jobs.try_early import REPLAY
from app.settings import Settings
from tests.faults.conftest import Faulty, run_faulty
from tests.support.console import at_console, words
from tests.support.fake_spark import FakeSpark
from tests.support.homework import Homework, note, write_homework
from tests.support.outward import run_outward
from tests.support.patience import patient
from tests.support.running import everything_is_written
from tests.support.stores import Stores, own_stores
from tests.support.work import do_jobs

ONES = 6  # of text, and of files, before and each time in the outage
LATE = 3
OUTAGE_MINUTES = float(os.environ.get("OUTAGE_MINUTES") or 0)
PAUSE_SECONDS = 3


@pytest.fixture(scope="module")
def stores(settings: Settings) -> Iterator[Stores]:
    """Of this file alone: what is measured is all of an hour."""
    with own_stores(settings) as made:
        yield made


class Operator:
    """Reads what is told, asks the internal API, and sits at the console."""

    def __init__(
        self,
        faulty: Faulty,
        fake: FakeSpark,
        main_app: dict[str, str],
        console: httpx.AsyncClient,
    ) -> None:
        self.faulty = faulty
        self.console = console
        self._fake = fake
        self._main_app = main_app
        self._resources = faulty.running.app.state.resources
        self._began = datetime.now(tz=UTC)

    @property
    def minutes(self) -> float:
        """Since it began."""
        return (datetime.now(tz=UTC) - self._began) / timedelta(minutes=1)

    async def told(self, minutes: float) -> list[dict[str, Any]]:
        """All so far, as many minutes after it began."""
        await everything_is_written()
        now, opened = self._began + timedelta(minutes=minutes), self._resources
        await evaluate_alerts(opened.sessions, opened.settings, now=now)
        await self.work_off(ALERT)
        return await self._fake.alerts()

    async def work_off(self, kind: str) -> int:
        return await do_jobs(self._resources, kind)

    async def ask(self, method: str, path: str, **more: Any) -> Any:
        url = f"/internal/v1/{path}"
        answer = await self.faulty.client.request(method, url, headers=self._main_app, **more)
        assert answer.is_success, answer.text
        return answer.json()


@pytest.fixture
async def operator(
    settings: Settings, stores: Stores, main_app: dict[str, str]
) -> AsyncIterator[Operator]:
    async with run_outward(stores.given_to(settings)) as (calling, fake):
        receiver = SecretStr(f"{fake.url}/alerts")
        async with run_faulty(calling, stores, alert_webhook_url=receiver) as faulty:
            sessions = faulty.running.app.state.resources.sessions
            async with at_console(faulty.running.url, sessions) as console:
                yield Operator(faulty, fake, main_app, console)


async def send_all(faulty: Faulty, homework: list[Homework]) -> list[int]:
    answers: list[httpx.Response] = await asyncio.gather(*map(faulty.send, homework))
    return [answer.status_code for answer in answers]


async def write_each(faulty: Faulty) -> tuple[list[Homework], list[Homework]]:
    """Of text, and of files."""
    texts = [await faulty.write() for _ in range(ONES)]
    return texts, [await faulty.write([note(2000)]) for _ in range(ONES)]


async def hand_in(operator: Operator) -> AsyncIterator[tuple[list[Homework], list[Homework]]]:
    """For as long as it lasts; whoever is told of it is told once."""
    ends = operator.minutes + OUTAGE_MINUTES
    while True:
        texts, forms = await write_each(operator.faulty)
        assert await send_all(operator.faulty, [*texts, *forms]) == [200] * ONES + [503] * ONES
        yield texts, forms
        if operator.minutes >= ends:
            return
        assert len(await operator.told(operator.minutes)) == 1
        await asyncio.sleep(PAUSE_SECONDS)


async def too_late(faulty: Faulty) -> Homework:
    """What its sender held back behind the others until an hour had passed."""
    student = await faulty.spark.sign_in()
    at = datetime.now(tz=UTC) - timedelta(hours=1)
    return write_homework(faulty.spark.webhook_secret, student.spark_user_id, at=at)


@pytest.mark.soak
@pytest.mark.timeout(patient(180 + OUTAGE_MINUTES * 120))
@pytest.mark.parametrize("point", ["21.2"])
async def test_an_outage_of_the_store_from_alert_to_recovery(
    operator: Operator,
    stores: Stores,
    record_property: Callable[[str, object], None],
    point: str,
) -> None:
    faulty = operator.faulty
    texts, before = await write_each(faulty)
    assert await send_all(faulty, [*texts, *before]) == [200] * 2 * ONES
    assert await operator.told(0) == []

    await faulty.store.refuse()
    rounds = [each async for each in hand_in(operator)]
    texts += [text for some, _ in rounds for text in some]
    forms = [form for _, some in rounds for form in some]
    [told] = await operator.told(OUTAGE_MINUTES + 1)
    assert (told["alert"]["name"], told["alert"]["value"]) == ("submission_success", 75)
    assert "75 % of the submissions of an hour were taken" in told["text"]
    assert f"(unavailable {ONES})" in told["text"]
    assert len(await operator.told(OUTAGE_MINUTES + 9)) == 1

    [fires, *_] = (await operator.ask("GET", "alerts"))["items"]
    assert (fires["state"], fires["codes"]) == ("firing", {"unavailable": len(forms)})
    period = {"received_from": (datetime.now(tz=UTC) - timedelta(hours=1)).isoformat()}
    counts = (await operator.ask("GET", "deliveries/counts", params=period))["items"]
    assert {each["code"]: each["deliveries"] for each in counts} == {
        None: len(texts) + len(before),
        "storage_unavailable": len(forms),
    }
    said = words((await operator.console.get("/console")).text)
    assert re.search(r"The alert submission success \(.+\) began to fire", said)
    number = f"{len(forms):,}"
    assert f"storage_unavailable {number} {number} {number} students" in said

    await faulty.store.restore()
    for _, some in rounds:
        assert await send_all(faulty, some) == [200] * ONES  # as Spark does by itself
    late = [await too_late(faulty) for _ in rounds for _ in range(LATE)]
    for place in range(0, len(late), LATE):
        assert await send_all(faulty, late[place : place + LATE]) == [400] * LATE
    order = {"codes": ["timestamp_too_old"]}
    page, of = "/console/deliveries/replay", {"code": "timestamp_too_old"}
    assert (await operator.console.post(page, data=of)).status_code == 303
    [ordered] = (await operator.ask("POST", "deliveries/replay", json=order))["items"]
    assert ordered["queued"] == len(late)
    assert await operator.work_off(REPLAY) == len(late)
    assert await operator.work_off(RECEIPT) == len(late)
    done = (await operator.ask("POST", "deliveries/replay", json=order))["outcomes"]
    assert [(each["code"], each["deliveries"]) for each in done] == [(None, len(late))]
    number = f"{len(late):,}"
    assert f"taken {number} of {number}" in words(
        (await operator.console.get(page, params=of)).text
    )

    await faulty.assert_invariants()
    written = {each.text for each in (*texts, *before, *forms, *late)}
    shown = await stores.execute(
        "SELECT content->>'text' AS text FROM evidence_document_blocks WHERE block_type = 'text'"
    )
    assert {row["text"] for row in shown} == written

    assert len(await operator.told(OUTAGE_MINUTES + 62)) == 1  # quiet, and not yet for long
    _, over = await operator.told(OUTAGE_MINUTES + 67.5)
    assert over["alert"]["state"] == "ok"
    assert "submission_success is over. It fired since" in over["text"]
    figures = {"taken": len(texts), "refused": len(forms), "replayed": len(late)}
    record_property("outage", figures | {"fired since": fires["since"], "text": over["text"]})
