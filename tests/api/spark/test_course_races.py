"""Messages about one course at once: of two states one holds entirely (FAULTS P168)."""

import asyncio
from contextlib import suppress
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select, text

from app.database import Session, Sessions
from app.models import Quest
from tests.support.courses import (
    Course,
    course,
    course_rows,
    enrolments_of,
    hand_in,
    items,
    sync,
    synced,
    tasks_of,
    templates,
    titles_of,
)
from tests.support.spark import Spark
from tests.support.stored import eventually, total_xp

AT_ONCE = 10
ROUNDS = 5
TURNS = pytest.mark.parametrize(
    "turn", [0, *(pytest.param(turn, marks=pytest.mark.soak) for turn in range(1, ROUNDS))]
)


async def pid_of(session: Session) -> int:
    found = await session.execute(text("select pg_backend_pid()"))
    return int(found.scalar_one())


async def somebody_waits_for(sessions: Sessions, pid: int) -> None:
    waiting = text(
        "select count(*) from pg_stat_activity where cast(:pid as int) = any(pg_blocking_pids(pid))"
    )

    async def is_blocked() -> bool:
        async with sessions() as session, session.begin():
            return bool((await session.execute(waiting, {"pid": pid})).scalar_one())

    await eventually(is_blocked)


async def title_of(sessions: Sessions, quest_id: str) -> str:
    async with sessions() as session, session.begin():
        found = await session.execute(select(Quest.title).where(Quest.id == UUID(quest_id)))
        return str(found.scalar_one())


def assert_all_accepted(answers: list[httpx.Response]) -> None:
    assert [answer.status_code for answer in answers] == [200] * len(answers), [
        answer.text for answer in answers if answer.status_code != 200
    ]


@pytest.mark.parametrize("row", ["P168"])
async def test_the_same_state_at_once_is_one_course(
    lms: Spark, sessions: Sessions, row: str
) -> None:
    payload = course("one", "two", "three")
    answers = await asyncio.gather(*(sync(lms, payload) for _ in range(AT_ONCE)))
    assert_all_accepted(answers)
    [quest_id] = {answer.json()["quest_id"] for answer in answers}
    assert len(await course_rows(sessions, payload["spark_course_id"])) == 1
    found = await templates(sessions, quest_id)
    assert [task.spark_assignment_id for task in found] == ["one", "two", "three"]
    async with sessions() as session, session.begin():
        quests = await session.execute(
            select(Quest.id).where(Quest.lms_course_id == payload["spark_course_id"])
        )
        assert [str(quest) for quest in quests.scalars()] == [quest_id]


def states(payload: Course) -> list[Course]:
    """Each names other assignments in another order, and says its number everywhere."""
    names = ["one", "two", "three", "four", "five"]
    return [
        payload
        | {
            "course_title": f"State {number}",
            "assignments": items(
                *(names[number % 5 :] + names[: number % 5])[: 2 + number % 3],
                f"only_{number}",
                title=f"In state {number}",
            ),
        }
        for number in range(AT_ONCE)
    ]


@pytest.mark.parametrize("is_new", [True, False], ids=["P168-new", "P168-known"])
@TURNS
async def test_different_states_at_once_end_as_one_of_them_entirely(
    lms: Spark, sessions: Sessions, turn: int, *, is_new: bool
) -> None:
    payload = course("one", "two")
    if not is_new:
        await synced(lms, payload)
    student = await lms.sign_in(courses=[payload["spark_course_id"]])
    sent = states(payload)
    answers = await asyncio.gather(*(sync(lms, one) for one in sent))
    assert_all_accepted(answers)
    [quest_id] = {answer.json()["quest_id"] for answer in answers}
    title = await title_of(sessions, quest_id)
    [last] = [one for one in sent if one["course_title"] == title]
    current = [task for task in await templates(sessions, quest_id) if task.retired_at is None]
    assert [(task.spark_assignment_id, task.title) for task in current] == [
        (item["spark_assignment_id"], item["title"]) for item in last["assignments"]
    ]
    assert [task.order_index for task in current] == list(range(len(current)))
    if not is_new:
        copies = await tasks_of(sessions, student, quest_id)
        must = {task.source_task_id: task.title for task in copies if task.is_required}
        assert must == {task.id: task.title for task in current}


@TURNS
async def test_submissions_and_syncs_at_once_are_all_accepted(
    lms: Spark, sessions: Sessions, turn: int
) -> None:
    names = [f"a{number}" for number in range(4)]
    payload = course(*names)
    quest_id = await synced(lms, payload)
    students = [
        await lms.sign_in(courses=[payload["spark_course_id"]] if number < 3 else [])
        for number in range(5)
    ]
    syncs = [
        payload | {"assignments": items(*names[::step], f"new_{number}", title=f"{number}")}
        for number in range(AT_ONCE)
        for step in [1 if number % 2 else -1]
    ]
    work = [hand_in(student, payload, name) for student in students for name in names]
    mixed = [
        *(lms.submit(message) for message in work),
        *(sync(lms, one) for one in syncs),
    ]
    answers = await asyncio.gather(*mixed[::2], *mixed[1::2])
    assert_all_accepted(answers)
    await synced(lms, payload)
    for student in students:
        found = await tasks_of(sessions, student, quest_id)
        assert len(found) == len({task.source_task_id for task in found})
        assert {task.source_task_id for task in found} >= {
            task.id for task in await templates(sessions, quest_id) if task.retired_at is None
        }
        assert await total_xp(sessions, student.user_id) == 100 * len(names)


async def test_who_signs_in_during_a_sync_gets_its_new_tasks(
    lms: Spark, sessions: Sessions
) -> None:
    """The sync is held up by a row it has to write; the enrolment must not overtake it."""
    payload = course("one")
    quest_id = await synced(lms, payload)
    changed = payload | {"assignments": items("one", "two", title="Anew")}
    async with sessions() as holder, holder.begin():
        held = text("select 1 from course_quest_tasks where quest_id = :id for update")
        await holder.execute(held, {"id": UUID(quest_id)})
        syncing = asyncio.create_task(sync(lms, changed))
        await somebody_waits_for(sessions, await pid_of(holder))
        entering = asyncio.create_task(lms.sign_in(courses=[payload["spark_course_id"]]))
        await a_sign_in_is_enrolling(sessions, entering)
    student = await entering
    assert_all_accepted([await syncing])
    assert await enrolments_of(sessions, student) == {quest_id: True}
    assert await titles_of(sessions, student, quest_id) == ["Anew", "Anew"]


async def a_sign_in_is_enrolling(sessions: Sessions, entering: "asyncio.Task[object]") -> None:
    """It waits for the sync, or, if it does not, has ended."""
    waiting = text(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        " and query ilike '%lms_course_id%for share%'"
    )

    async def has_come_so_far() -> bool:
        async with sessions() as session, session.begin():
            return entering.done() or bool((await session.execute(waiting)).scalar_one())

    await eventually(has_come_so_far)


async def test_a_sync_whose_connection_is_cut_is_done_again(lms: Spark, sessions: Sessions) -> None:
    payload = course("one")
    quest_id = await synced(lms, payload)
    async with sessions() as holder, holder.begin():
        held = text("select 1 from course_quest_tasks where quest_id = :id for update")
        await holder.execute(held, {"id": UUID(quest_id)})
        pid = await pid_of(holder)
        syncing = asyncio.create_task(sync(lms, payload | {"course_title": "Again"}))
        await somebody_waits_for(sessions, pid)
        async with sessions() as killer, killer.begin():
            await killer.execute(
                text(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where cast(:pid as int) = any(pg_blocking_pids(pid))"
                ),
                {"pid": pid},
            )
    assert_all_accepted([await syncing])
    assert await title_of(sessions, quest_id) == "Again"


async def test_a_sync_that_fails_half_way_leaves_nothing_of_it(
    lms: Spark, sessions: Sessions
) -> None:
    """Its sender goes while it waits for a row: all of it happens later, or nothing."""
    payload = course("one", "two")
    quest_id = await synced(lms, payload)
    changed = payload | {"course_title": "Gone", "assignments": items("two", "three")}
    async with sessions() as holder, holder.begin():
        held = text("select 1 from course_quest_tasks where quest_id = :id for update")
        await holder.execute(held, {"id": UUID(quest_id)})
        syncing = asyncio.create_task(sync(lms, changed))
        await somebody_waits_for(sessions, await pid_of(holder))
        syncing.cancel()
        with suppress(asyncio.CancelledError):
            await syncing

    async def is_whole() -> bool:
        title = await title_of(sessions, quest_id)
        found = await templates(sessions, quest_id)
        names = [task.spark_assignment_id for task in found if task.retired_at is None]
        return (title, names) in (("Weather", ["one", "two"]), ("Gone", ["two", "three"]))

    await eventually(is_whole)
    assert_all_accepted([await sync(lms, payload)])
    assert await title_of(sessions, quest_id) == "Weather"
