"""Events of failures wait in a queue, and leave it whole."""

from uuid import uuid4

import pytest
from sqlalchemy import select

from app.activity.failure_events import QUEUE_EVENTS, FailureEvents
from app.database import Sessions
from app.metrics import DROPPED_EVENTS
from app.models import ActivityEvent
from tests.support.logged import logged, say_everything_anew


def _dropped() -> float:
    (metric,) = DROPPED_EVENTS.collect()
    return metric.samples[0].value


def _fail(events: FailureEvents, error_type: str, path: str) -> None:
    events.put(
        "spark_sso_failed",
        error_type=error_type,
        error_message="Test",
        address_hash="0" * 16,
        page_url=path,
    )


async def test_what_waits_at_the_end_is_written_before_leaving(sessions: Sessions) -> None:
    path = f"/{uuid4()}"
    events = FailureEvents(sessions)
    async with events.writing():
        for number in range(250):
            _fail(events, str(number), path)
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(ActivityEvent.event_data).where(ActivityEvent.page_url == path)
        )
        kinds = [(data or {})["error_type"] for data in found.scalars()]
    assert sorted(kinds, key=int) == [str(number) for number in range(250)]


async def test_a_full_queue_drops_and_counts(
    sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    say_everything_anew()
    path, before = f"/{uuid4()}", _dropped()
    events = FailureEvents(sessions)
    for _ in range(QUEUE_EVENTS + 3):  # nobody writes yet
        _fail(events, "flood", path)
    assert events.waiting == QUEUE_EVENTS
    assert _dropped() == before + 3
    assert len(logged(caplog, "events_dropped")) == 1
    async with events.writing():
        pass
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(ActivityEvent.event_type, ActivityEvent.event_data)
            .where(ActivityEvent.page_url == path)
            .order_by(ActivityEvent.event_type)
        )
        first, *others = found.all()
    assert len(others) == QUEUE_EVENTS
    assert first.event_type == "spark_failures_unwritten"
    assert first.event_data == {"error_type": "flood", "error_message": "Test", "times": 3}
