"""Following events: in order, each at least once, and none skipped that commits late."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import delete

from app.activity.failure_events import FailureEvents
from app.activity.follow import BATCHES, BEGINNING, follow_events, read_feed, skip_to_now
from app.activity.kinds import KINDS
from app.activity.record_event import record_event
from app.database import Session, Sessions, create_engine, open_sessions
from app.models import ActivityEvent
from app.settings import Settings
from tests.support.elsewhere import run_elsewhere
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, SignedIn, Spark, submission

EVENTS = "/internal/v1/events"
Items = list[dict[str, Any]]


class Follower:
    """The main app: asks, handles, keeps the cursor."""

    def __init__(self, browser: httpx.AsyncClient, key: dict[str, str]) -> None:
        self._browser = browser
        self._key = key
        self.cursor: str | None = None

    async def ask(self, **query: object) -> httpx.Response:
        asked = {name: str(value) for name, value in query.items() if value is not None}
        return await self._browser.get(EVENTS, params=asked, headers=self._key)

    async def page(self, **query: object) -> dict[str, Any]:
        answer = await self.ask(**query)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        assert page.keys() == {"items", "next_cursor", "has_more"}
        return page

    async def catch_up(self, limit: int = 200) -> Items:
        """What happened since the last time."""
        items: Items = []
        while True:
            page = await self.page(after=self.cursor, limit=limit)
            self.cursor = page["next_cursor"]
            items += page["items"]
            assert page["has_more"] or len(page["items"]) <= limit
            if not page["has_more"]:
                return items


@pytest.fixture
async def follower(browser: httpx.AsyncClient, main_app: dict[str, str]) -> Follower:
    """Who has seen everything up to now."""
    made = Follower(browser, main_app)
    await made.catch_up()
    return made


@pytest.fixture
async def pools(settings: Settings) -> AsyncIterator[list[Sessions]]:
    """Of two other instances, with as many connections as the races need."""
    engines = [create_engine(settings) for _ in range(2)]
    yield [open_sessions(engine, at_once=settings.database_pool_size) for engine in engines]
    for engine in engines:
        await engine.dispose()


async def _record(
    session: Session, event_type: str = "spark_course_sync_success", name: str = ""
) -> None:
    await record_event(
        session,
        event_type,
        user_id=None,
        session_id=uuid4(),
        data={"spark_course_id": name},
        page_url="/test",
    )


def _names(items: Items) -> list[str]:
    return [item["data"]["spark_course_id"] for item in items]


# ---------------------------------------------------------------------------- one follower


async def test_homework_is_followed_to_its_completion(
    follower: Follower,
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    spark: Spark,
    assignment: Assignment,
) -> None:
    student = await spark.sign_in()
    answer = (await spark.submit(submission(student, assignment))).json()
    items = await follower.catch_up()
    assert [item["type"] for item in items] == [
        "spark_sso_success",
        "spark_token_exchange_success",
        "spark_webhook_success",
    ]
    for item in items:
        assert item.keys() == {"id", "type", "occurred_at", "user_id", "data"}
        assert item["data"].keys() == set(KINDS[item["type"]].data)
        assert item["user_id"] == student.user_id
    data = items[-1]["data"]
    assert data["submission_id"] == answer["submission_id"]
    path = f"/internal/v1/completions/{data['completion_id']}"
    assert (await browser.get(path, headers=main_app)).status_code == 200


async def test_of_an_erased_student_only_the_erasure_is_followed(
    follower: Follower, browser: httpx.AsyncClient, main_app: dict[str, str], spark: Spark
) -> None:
    student = await spark.sign_in()
    path = f"/internal/v1/students/{student.user_id}"
    answers = [await browser.delete(path, headers=main_app) for _ in range(2)]
    items = await follower.catch_up()
    assert [(item["type"], item["user_id"], item["data"]) for item in items] == [
        ("student_erased", None, {"erasure_id": answer.json()["id"]}) for answer in answers[:1]
    ]


async def test_every_page_has_a_cursor_and_a_repeated_cursor_its_events(
    follower: Follower, sessions: Sessions
) -> None:
    before = follower.cursor
    page = await follower.page(after=before)
    assert page == {"items": [], "next_cursor": before, "has_more": False}
    names = [f"course_{number}" for number in range(7)]
    for name in names:
        async with sessions() as session, session.begin():
            await _record(session, name=name)
    items = await follower.catch_up(limit=3)
    assert _names(items) == names
    exactly = await follower.page(cursor=before, limit=len(names))
    assert (exactly["next_cursor"], exactly["has_more"]) == (follower.cursor, False)
    assert (await follower.page(after=before, limit=len(names) - 1))["has_more"] is True
    again = await follower.page(after=before)
    assert (again["items"], again["next_cursor"]) == (items, follower.cursor)
    assert len({item["id"] for item in items}) == len(items)


async def test_a_cursor_outlives_the_secret_it_was_made_with(
    follower: Follower, settings: Settings, main_app: dict[str, str]
) -> None:
    rotated = {
        "jwt_secret_key": SecretStr(secrets.token_hex(32)),
        "jwt_secret_key_previous": settings.jwt_secret_key,
    }
    async with run_elsewhere(settings, **rotated) as later:
        same = Follower(later.spark.browser, main_app)
        cursor = (await same.page(after=follower.cursor))["next_cursor"]
        assert cursor != follower.cursor
        page = await same.page(after=cursor)
        assert page == {"items": [], "next_cursor": cursor, "has_more": False}
    assert_problem(await follower.ask(after=cursor), 400, "field_invalid")


async def test_without_a_cursor_reading_begins_with_the_oldest(
    follower: Follower, sessions: Sessions
) -> None:
    for _ in range(2):  # the first may be the run's own
        await follower.catch_up()
        async with sessions() as session, session.begin():
            await _record(session)
    [first] = (await follower.page(limit=1))["items"]
    [(_, oldest)] = await follow_events(sessions, BEGINNING, 1)
    assert UUID(first["id"]) == oldest.id
    [newest] = await follower.catch_up()
    assert first["id"] != newest["id"]


async def test_what_was_refused_is_not_followed(follower: Follower, sessions: Sessions) -> None:
    failures = FailureEvents(sessions)
    async with failures.writing():
        failures.put(
            "spark_sso_failed",
            error_type="missing_token",
            error_message="Test",
            address_hash="0" * 16,
            page_url="/test",
        )
    async with sessions() as session, session.begin():
        await _record(session, "spark_enrolment_failed")
    assert await follower.catch_up() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("limit", "0", id="P238 limit 0"),
        pytest.param("limit", "201", id="P238 limit above the largest"),
        pytest.param("after", "latest", id="P238 no cursor"),
        pytest.param("after", "", id="P238 empty cursor"),
        pytest.param("after", "0" * 48, id="P238 forged cursor"),
        pytest.param("after", "f" * 32 + "0" * 16, id="P238 forged cursor beyond any"),
        pytest.param("cursor", "0" * 48, id="P238 forged cursor as other lists have it"),
        pytest.param("from", "yesterday", id="from another time than now"),
        pytest.param("types", "spark_sso_failed", id="a type that nobody can follow"),
        pytest.param("types", "spark_webhook_success,", id="a type without a name"),
    ],
)
async def test_what_no_feed_is_asked_is_invalid(follower: Follower, name: str, value: str) -> None:
    problem = assert_problem(await follower.ask(**{name: value}), 400, "field_invalid")
    assert problem["error"] == f"Invalid field: {name}"


async def test_the_cursor_of_a_list_is_none_of_the_feed(
    follower: Follower,
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
) -> None:
    for _ in range(2):
        await spark.submit(submission(student, assignment))
    listed = await browser.get("/internal/v1/deliveries", params={"limit": "1"}, headers=main_app)
    cursor = listed.json()["next_cursor"]
    assert_problem(await follower.ask(after=cursor), 400, "field_invalid")
    list_cursor = {"cursor": follower.cursor or ""}
    answer = await browser.get("/internal/v1/deliveries", params=list_cursor, headers=main_app)
    assert_problem(answer, 400, "field_invalid")


async def test_who_begins_now_is_told_only_what_happens_from_then_on(
    browser: httpx.AsyncClient, main_app: dict[str, str], sessions: Sessions
) -> None:
    newcomer = Follower(browser, main_app)
    async with sessions() as late, late.begin() as transaction:
        await _record(late, name="late")
        async with sessions() as session, session.begin():
            await _record(session, name="before")
        page = await newcomer.page(**{"from": "now"})
        assert (page["items"], page["has_more"]) == ([], False)
        newcomer.cursor = page["next_cursor"]
        async with sessions() as session, session.begin():
            await _record(session, name="after")
        assert _names(await newcomer.catch_up()) == ["after"]
        await transaction.commit()
    assert _names(await newcomer.catch_up()) == ["late"]
    both = await newcomer.ask(**{"from": "now", "after": newcomer.cursor})
    problem = assert_problem(both, 400, "field_invalid")
    assert problem["error"] == "Invalid field: from"


async def test_however_many_wait_a_newcomer_begins_behind_them(
    follower: Follower, sessions: Sessions
) -> None:
    async with sessions() as session, session.begin():
        for number in range(BATCHES + 2):
            await _record(session, name=str(number))
    place, has_more = await skip_to_now(sessions, batch=1)
    assert has_more is True
    events, *_ = await read_feed(sessions, place, 9, caller="test")
    assert [event.data["spark_course_id"] for event in events] == ["20", "21"]
    assert (await skip_to_now(sessions, batch=1))[1] is False
    assert len(await follower.catch_up()) == BATCHES + 2


async def test_only_the_types_that_are_asked_for_are_followed(
    follower: Follower, sessions: Sessions
) -> None:
    course, roster = "spark_course_sync_success", "spark_roster_success"
    for number in range(6):
        async with sessions() as session, session.begin():
            await _record(session, (course, roster)[number % 2], name=str(number))
            await _record(session, "spark_account_linked", name="other")
    before = follower.cursor
    for types, names in ((course, "024"), (f"{course},{roster}", "012345")):
        page = await follower.page(after=before, types=types)
        assert (_names(page["items"]), page["has_more"]) == (list(names), False)
        after = page["next_cursor"]
        assert (await follower.page(after=after))["items"] == []
        first = await follower.page(after=before, types=types, limit=2)
        assert (_names(first["items"]), first["has_more"]) == (list(names[:2]), True)
        rest = await follower.page(after=first["next_cursor"], types=types)
        assert _names(rest["items"]) == list(names[2:])


async def test_rare_types_are_looked_for_in_windows(follower: Follower, sessions: Sessions) -> None:
    """And nothing of them is skipped where a window ends."""
    assert follower.cursor
    place, has_more = int(follower.cursor[:32], 16), True
    for number in range(10):
        rare = number in (3, 8)
        kind = "spark_roster_success" if rare else "spark_course_sync_success"
        async with sessions() as session, session.begin():
            await _record(session, kind, name=str(number))
    found: list[str] = []
    pages = 0
    while has_more:
        types = ["spark_roster_success"]
        events, place, has_more = await read_feed(
            sessions, place, 5, types, caller="test", window=4
        )
        found += [event.data["spark_course_id"] for event in events]
        pages += 1
    assert (found, pages) == (["3", "8"], 3)


# ---------------------------------------------------------------------------- races


async def test_an_event_that_commits_late_is_not_skipped(
    follower: Follower, pools: Sequence[Sessions]
) -> None:
    """Written in one order and committed in another; read after each."""
    count = 8
    async with AsyncExitStack() as stack:
        writers = []
        for number in range(count):
            session = await stack.enter_async_context(pools[number % 2]())
            writers.append(await session.begin())
            await _record(session, name=f"late_{number}")
        order = random.Random(4).sample(range(count), count)  # noqa: S311 - no secret
        assert order != sorted(order)
        for number in order:
            assert await follower.catch_up() == []
            await writers[number].commit()
            assert _names(await follower.catch_up(limit=1)) == [f"late_{number}"]


async def _follow(sessions: Sessions, after: int, last: str, *, limit: int) -> list[str]:
    """The names of all events, in order, until the `last` has come."""
    names: list[str] = []
    while last not in names:
        happened = await follow_events(sessions, after, limit)
        positions = [position for position, _ in happened]
        assert positions == sorted(set(positions))
        assert all(position > after for position in positions)
        after = positions[-1] if positions else after
        names += [event.data["spark_course_id"] for _, event in happened]
    return names


async def test_every_reader_sees_each_event_once_and_in_the_same_order(
    follower: Follower, sessions: Sessions, pools: Sequence[Sessions]
) -> None:
    """Writers on two pools, some of whom roll back, and readers on three."""
    assert follower.cursor
    start = int(follower.cursor[:32], 16)
    chance = random.Random(6)  # noqa: S311 - no secret
    kept = {f"racing_{number}": chance.random() > 0.2 for number in range(150)}
    waiting = iter(kept)

    async def write(pool: Sessions) -> None:
        for name in waiting:
            async with pool() as session, session.begin() as transaction:
                await _record(session, name=name)
                for _ in range(chance.randrange(20)):
                    await asyncio.sleep(0)  # others commit meanwhile
                if not kept[name]:
                    await transaction.rollback()

    async def write_all() -> None:
        await asyncio.gather(*(write(pool) for pool in pools for _ in range(4)))
        async with sessions() as session, session.begin():
            await _record(session, name="last")

    _, *seen = await asyncio.gather(
        write_all(),
        _follow(sessions, start, "last", limit=2),
        _follow(pools[0], start, "last", limit=7),
        _follow(pools[1], start, "last", limit=200),
    )
    assert seen[0] == seen[1] == seen[2]
    assert sorted(seen[0]) == sorted(["last", *(name for name, stays in kept.items() if stays)])


# ---------------------------------------------------------------------------- erasure


async def _erase(session: Session, name: str) -> None:
    await session.execute(
        delete(ActivityEvent).where(ActivityEvent.event_data["spark_course_id"].astext == name)
    )


async def test_what_happens_after_the_newest_was_erased_is_not_skipped(
    follower: Follower, sessions: Sessions
) -> None:
    """A position counted from those that are left would be given twice."""
    names = [f"erased_{uuid4()}" for _ in range(3)]
    async with sessions() as session, session.begin():
        for name in names:
            await _record(session, name=name)
    assert _names(await follower.catch_up()) == names
    async with sessions() as session, session.begin():
        for name in names:
            await _erase(session, name)
    async with sessions() as session, session.begin():
        await _record(session, name="next")
    assert _names(await follower.catch_up()) == ["next"]


async def test_an_event_that_is_being_erased_holds_nobody_up(
    follower: Follower, sessions: Sessions
) -> None:
    name = f"erasing_{uuid4()}"
    for recorded in (name, "other"):
        async with sessions() as session, session.begin():
            await _record(session, name=recorded)
    async with sessions() as session, session.begin() as transaction:
        await _erase(session, name)
        assert _names(await follower.catch_up()) == ["other"]
        await transaction.rollback()
    assert _names(await follower.catch_up()) == [name]
