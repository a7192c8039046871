"""What is known of an outage when it is over: who was refused, how often, and why."""

import asyncio
import hashlib
from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY

from tests.faults.conftest import Faulty
from tests.support.homework import note
from tests.support.logged import logged
from tests.support.patience import patient

UNKEPT = "spark_unkept_deliveries_total"
UNAVAILABLE = {"code": "database_unavailable"}


def unkept() -> float:
    return REGISTRY.get_sample_value(UNKEPT, UNAVAILABLE) or 0


@pytest.mark.parametrize("finding", ["OPERATOR 5, 15"])
async def test_what_an_outage_refused_is_told_when_it_is_over(
    faulty: Faulty, caplog: pytest.LogCaptureFixture, finding: str
) -> None:
    homework = [await faulty.write(), await faulty.write([note(2000)])]
    launches = [faulty.spark.launch_token() for _ in range(3)]
    events = faulty.running.app.state.resources.failure_events
    await events.settle()
    began, before = datetime.now(tz=UTC), unkept()
    await faulty.database.refuse()
    caplog.clear()
    answers = [await faulty.send(each) for each in homework]
    answers += [await faulty.spark.launch(token) for token in launches]
    assert {answer.status_code for answer in answers} == {503}
    ended = datetime.now(tz=UTC)
    await faulty.database.restore()
    async with asyncio.timeout(patient(30)):
        await events.settle()

    assert unkept() == before + len(homework)
    lines = logged(caplog, "request")[: len(answers)]
    assert {(line["level"], line["code"]) for line in lines} == {
        ("warning", "database_unavailable")
    }
    digests = [hashlib.sha256(each.message).hexdigest()[:16] for each in homework]
    assert [line.get("digest") for line in lines] == [*digests, None, None, None]

    [key] = faulty.running.settings.internal_api_keys
    answer = await faulty.client.get(
        "/internal/v1/activity",
        params={"start_date": began.isoformat(), "end_date": ended.isoformat()},
        headers={"Authorization": f"Bearer {key.get_secret_value()}"},
    )
    data = answer.json()["data"]
    assert data["summary"] == {
        "success_count": 0,
        "failed_count": 5,
        "success_rate": 0.0,
        "event_type_counts": {"spark_webhook_failed": 2, "spark_sso_failed": 3},
    }
    assert {event["event_data"]["error_type"] for event in data["events"]} == {"unavailable"}
    told = {event["event_data"]["request_id"] for event in data["events"]}
    assert told == {answer.headers["x-request-id"] for answer in answers}
