"""Events of failures wait in a queue, and leave it whole."""

from uuid import uuid4

from sqlalchemy import select

from app.activity.failure_events import QUEUE_EVENTS, FailureEvents
from app.database import Sessions
from app.metrics import DROPPED_EVENTS
from app.models import ActivityEvent


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


async def test_a_full_queue_drops_and_counts(sessions: Sessions) -> None:
    events, before = FailureEvents(sessions), _dropped()
    for _ in range(QUEUE_EVENTS + 3):  # nobody writes yet
        _fail(events, "flood", "/flood")
    assert events.waiting == QUEUE_EVENTS
    assert _dropped() == before + 3
