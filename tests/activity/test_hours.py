"""Counts of whole hours beside counts of events: the same totals, whatever is asked."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import delete, func, insert, select

from app.activity.hours import count_hours
from app.activity.log_page import ActivityData, AppliedFilters, Status
from app.activity.search import search_activity
from app.database import Sessions, create_engine, open_sessions
from app.models import ActivityEvent, ActivityHour
from app.settings import Settings
from app.worker import sweep
from tests.support.databases import ready_database
from tests.support.running import Running

TYPES = ("spark_webhook_success", "spark_webhook_failed", "spark_sso_success", "spark_sso_failed")
STATUSES: tuple[Status | None, ...] = (None, "success", "failed")
HOUR, SMALLEST = timedelta(hours=1), timedelta(microseconds=1)
Events = list[tuple[datetime, str]]


@pytest.fixture(scope="module")
async def pools(settings: Settings) -> AsyncIterator[list[Sessions]]:
    """Two, of a database of these tests' own: what happens elsewhere would be counted as well."""
    async with ready_database(settings) as own:
        engines = [create_engine(own) for _ in range(2)]
        yield [open_sessions(engine, at_once=4) for engine in engines]
        for engine in engines:
            await engine.dispose()


@pytest.fixture
async def database(pools: list[Sessions]) -> Sessions:
    """Without an event, and with nothing counted."""
    async with pools[0]() as session, session.begin():
        await session.execute(delete(ActivityEvent))
        await session.execute(delete(ActivityHour))
    return pools[0]


async def _write(sessions: Sessions, events: Events, category: str = "lms") -> None:
    rows = [
        {
            "session_id": uuid4(),
            "event_type": event_type,
            "event_category": category,
            "created_at": moment,
        }
        for moment, event_type in events
    ]
    async with sessions() as session, session.begin():
        await session.execute(insert(ActivityEvent), rows)


def _some_events(chance: random.Random, now: datetime) -> Events:
    """Over three days until now, many at the very edges of hours; some hours have none."""
    whole = now.replace(minute=0, second=0, microsecond=0)
    moments = [now - timedelta(seconds=chance.uniform(0, 3 * 86400)) for _ in range(150)]
    for hours in chance.sample(range(72), 20):
        edge = whole - hours * HOUR
        moments += [edge - SMALLEST, edge, edge + SMALLEST]
    return [(moment, chance.choice(TYPES)) for moment in moments if moment <= now]


def _some_range(chance: random.Random, now: datetime) -> tuple[datetime, datetime]:
    """Whole hours, parts of one, and from before the first event until after the last."""
    whole = now.replace(minute=0, second=0, microsecond=0)

    def moment() -> datetime:
        hours = chance.randrange(-3, 80) * HOUR
        within = chance.choice(
            [timedelta(0), SMALLEST, -SMALLEST, timedelta(minutes=chance.randrange(60))]
        )
        return whole - hours + within

    start, end = sorted((moment(), moment()))
    return start, chance.choice([end, start + timedelta(minutes=30)])


def _filters(
    start: datetime, end: datetime, event_type: str | None = None, status: Status | None = None
) -> AppliedFilters:
    return AppliedFilters(
        start_date=start,
        end_date=end,
        event_type=event_type,
        status=status,
        request_id=None,
        limit=500,
    )


def _plain_count(events: Events, wanted: AppliedFilters) -> Counter[str]:
    def status(event_type: str) -> Status:
        return "success" if "success" in event_type else "failed"

    return Counter(
        event_type
        for moment, event_type in events
        if wanted.start_date <= moment <= wanted.end_date
        and wanted.event_type in (None, event_type)
        and wanted.status in (None, status(event_type))
    )


async def _assert_exact(sessions: Sessions, events: Events, wanted: AppliedFilters) -> ActivityData:
    found = await search_activity(sessions, wanted, caller="test")
    expected = _plain_count(events, wanted)
    summary = found.summary
    assert dict(summary.event_type_counts) == dict(expected), wanted
    assert summary.success_count + summary.failed_count == expected.total() == len(found.events)
    return found


async def _hours(sessions: Sessions) -> int:
    async with sessions() as session, session.begin():
        events = func.coalesce(func.sum(ActivityHour.events), 0)
        return int((await session.execute(select(events))).scalar_one())


async def test_counts_are_those_of_the_events_before_and_after_hours_are_counted(
    database: Sessions,
) -> None:
    chance = random.Random(11)  # noqa: S311 - no secret
    now = datetime.now(tz=UTC)
    events = _some_events(chance, now)
    await _write(database, events)
    await _write(database, events, category="navigation")  # the main app's own
    asked = [
        _filters(*_some_range(chance, now), chance.choice([None, *TYPES]), chance.choice(STATUSES))
        for _ in range(100)
    ]
    for wanted in asked:
        await _assert_exact(database, events, wanted)
    await count_hours(database)
    assert 0 < await _hours(database) < len(events)  # the last two hours are not over for long
    for wanted in asked:
        await _assert_exact(database, events, wanted)


async def test_an_hour_is_counted_when_it_has_been_over_for_an_hour(database: Sessions) -> None:
    whole = datetime.now(tz=UTC).replace(minute=0, second=0, microsecond=0)
    settled = [whole - 2 * HOUR, whole - HOUR - SMALLEST]
    await _write(database, [(moment, TYPES[0]) for moment in (*settled, whole - HOUR, whole)])
    await count_hours(database)
    async with database() as session, session.begin():
        counted = (await session.execute(select(ActivityHour.hour, ActivityHour.events))).all()
    assert counted == [(whole - 2 * HOUR, 2)]


async def test_a_counted_hour_is_not_read_again(database: Sessions) -> None:
    """Long gaps are passed over, and a later pass goes on from there."""
    moments = [datetime(2001, 5, day, 6, 30, tzinfo=UTC) for day in (1, 2, 3, 29)]
    for moment in moments:
        await _write(database, [(moment, TYPES[0])] * 3)
        await count_hours(database)
    async with database() as session, session.begin():
        await session.execute(delete(ActivityEvent))
    wanted = _filters(moments[0] - HOUR, moments[-1] + HOUR)
    found = await search_activity(database, wanted, caller="test")
    assert (found.summary.event_type_counts, found.events) == ({TYPES[0]: 12}, [])


async def test_several_workers_count_everything_once(
    database: Sessions, pools: list[Sessions]
) -> None:
    first = datetime(2002, 5, 6, tzinfo=UTC)
    events = [(first + number * HOUR / 2, TYPES[number % 3]) for number in range(400)]
    await _write(database, events)
    await asyncio.gather(*(count_hours(pool) for pool in pools for _ in range(3)))
    assert await _hours(database) == len(events)
    await _assert_exact(database, events, _filters(first, events[-1][0]))


async def test_the_sweeping_worker_counts(server: Running, sessions: Sessions) -> None:
    event_type = f"lms_{uuid4().hex}"
    async with sessions() as session, session.begin():
        await session.execute(delete(ActivityHour))  # what is dated back would come too late
    await _write(sessions, [(datetime.now(tz=UTC) - timedelta(days=3), event_type)])
    await sweep(server.app.state.resources)
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(ActivityHour.events).where(ActivityHour.event_type == event_type)
        )
    assert found.scalar_one() == 1
