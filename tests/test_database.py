"""Sessions in turn, and acts whose transaction was lost to a cut connection or to another."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.database import SERVING, TRIES, Sessions, create_engine, open_sessions
from app.learning.enrolment import take_turns
from app.models import IdempotencyKey, User, UserQuest
from app.settings import Settings
from tests.support.databases import look_into, ready_database
from tests.support.elsewhere import run_elsewhere
from tests.support.metrics import scrape
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, SignedIn, Spark, encoded, submission
from tests.support.stored import ONCE, eventually, kept, total_xp

NO_LOCK_LEFT = text("select pg_try_advisory_xact_lock(7)")
BLOCKED = text("select pid from pg_stat_activity where :pid = any(pg_blocking_pids(pid))")


@asynccontextmanager
async def own_connection(settings: Settings) -> AsyncIterator[AsyncConnection]:
    """A connection beside the service's, so that nothing of its pool is taken."""
    async with look_into(settings) as sessions, sessions() as connection:
        yield connection


@asynccontextmanager
async def enrolment_locked(
    settings: Settings, spark: Spark, student: SignedIn, assignment: Assignment
) -> AsyncIterator[AsyncConnection]:
    """Whoever hands in for this student waits until the end, or until a rollback."""
    first = await spark.submit(submission(student, assignment))
    assert first.status_code == 200, first.text
    async with own_connection(settings) as connection:
        await connection.execute(
            select(UserQuest.id).where(UserQuest.user_id == student.user_id).with_for_update()
        )
        yield connection


async def waiting_backends(sessions: Sessions, holder: AsyncConnection) -> set[int]:
    """The server's processes that wait for what `holder` has locked."""
    pid = (await holder.execute(text("select pg_backend_pid()"))).scalar_one()
    async with sessions() as session, session.begin():
        found = await session.execute(BLOCKED, {"pid": pid})
        return set(found.scalars())


async def cut(sessions: Sessions, pids: set[int]) -> None:
    async with sessions() as session, session.begin():
        for pid in pids:
            await session.execute(text("select pg_terminate_backend(:pid)"), {"pid": pid})


@pytest.mark.parametrize("cuts", range(1, TRIES))
async def test_a_submission_whose_connection_is_cut_is_tried_again(
    spark: Spark,
    settings: Settings,
    sessions: Sessions,
    student: SignedIn,
    assignment: Assignment,
    cuts: int,
) -> None:
    async with enrolment_locked(settings, spark, student, assignment) as holder:
        asked = asyncio.create_task(spark.submit(submission(student, assignment)))
        await cut_times(cuts, sessions, holder)
        await holder.rollback()
        answer = await asked
    assert (answer.status_code, answer.json()["revision"]) == (200, 2)
    assert await kept(sessions, student.user_id) == ONCE | {"submission_revisions": 2}


async def cut_times(cuts: int, sessions: Sessions, holder: AsyncConnection) -> None:
    """Cut whoever waits for the holder, as often as somebody new does."""
    done: set[int] = set()

    async def another_waits() -> bool:
        return bool(await waiting_backends(sessions, holder) - done)

    for _ in range(cuts):
        await eventually(another_waits)
        waiting = await waiting_backends(sessions, holder)
        await cut(sessions, waiting)
        done |= waiting


async def test_a_submission_that_is_cut_every_time_is_answered_and_may_come_again(
    spark: Spark,
    settings: Settings,
    sessions: Sessions,
    student: SignedIn,
    assignment: Assignment,
) -> None:
    raw = encoded(submission(student, assignment))
    async with enrolment_locked(settings, spark, student, assignment) as holder:
        asked = asyncio.create_task(spark.submit(raw))
        await cut_times(TRIES, sessions, holder)
        answer = await asked
        await holder.rollback()
    assert_problem(answer, 503, "database_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    again = await spark.submit(raw)
    assert (again.status_code, again.json()["revision"]) == (200, 2)
    assert await total_xp(sessions, student.user_id) == 100


async def test_a_submission_that_loses_a_deadlock_is_tried_again(
    spark: Spark,
    settings: Settings,
    sessions: Sessions,
    student: SignedIn,
    assignment: Assignment,
) -> None:
    """It holds its key and waits for the enrolment; who holds that asks for the key."""
    raw = encoded(submission(student, assignment))
    async with enrolment_locked(settings, spark, student, assignment) as holder:
        await holder.execute(text("set local deadlock_timeout = '20s'"))  # the other one finds it
        asked = asyncio.create_task(spark.submit(raw))

        async def it_waits() -> bool:
            return bool(await waiting_backends(sessions, holder))

        await eventually(it_waits)
        await holder.execute(
            insert(IdempotencyKey).values(
                key=hashlib.sha256(raw).digest(), owner=uuid4(), lease_until=text("now()")
            )
        )
        assert not asked.done()
        await holder.rollback()
        answer = await asked
    assert (answer.status_code, answer.json()["revision"]) == (200, 2)


async def test_a_sign_in_that_loses_a_deadlock_with_a_roster_is_tried_again(
    settings: Settings, spark: Spark, sessions: Sessions
) -> None:
    """It holds the student's row and waits for the new address; who holds that asks for the row."""
    student = await spark.sign_in()
    email = f"{uuid4().hex}@example.org"
    async with own_connection(settings) as holder:
        await holder.execute(text("set local deadlock_timeout = '20s'"))  # the other one finds it
        await holder.execute(
            text("select pg_advisory_xact_lock(hashtextextended(:name, 0))"),
            {"name": f"email:{email}"},
        )
        token = spark.launch_token(sub=student.spark_user_id, email=email)
        clicked = asyncio.create_task(spark.launch(token))

        async def it_waits() -> bool:
            return bool(await waiting_backends(sessions, holder))

        await eventually(it_waits)
        await holder.execute(
            select(User.id).where(User.id == UUID(student.user_id)).with_for_update()
        )
        assert not clicked.done()
        await holder.rollback()
        answer = await clicked
    assert answer.status_code == 302, answer.text
    [code] = parse_qs(urlsplit(answer.headers["location"]).query)["code"]
    assert (await spark.exchange(code)).status_code == 200


async def test_a_rehearsal_that_loses_a_deadlock_with_homework_is_tried_again(
    settings: Settings, spark: Spark, sessions: Sessions, assignment: Assignment
) -> None:
    """It holds the student's row and waits for the turn; who has that adds up the XP in the row."""
    student = await spark.sign_in()
    courses = [assignment.spark_course_id]
    async with own_connection(settings) as holder:
        await holder.execute(text("set local deadlock_timeout = '20s'"))  # the other one finds it
        await take_turns(holder, [UUID(student.user_id)])
        token = spark.launch_token(sub=student.spark_user_id, courses=courses)
        path = "/spark/sso?dry_run=true"
        asked = asyncio.create_task(spark.browser.post(path, data={"token": token}))

        async def it_waits() -> bool:
            return bool(await waiting_backends(sessions, holder))

        await eventually(it_waits)
        await holder.execute(
            select(User.id).where(User.id == UUID(student.user_id)).with_for_update()
        )
        assert not asked.done()
        await holder.rollback()
        answer = await asked
    assert (answer.status_code, answer.json()["courses"]["found"]) == (200, courses)


# ---------------------------------------------------------------------------- turns


async def test_who_finds_no_session_in_time_is_told_to_come_again(
    settings: Settings,
    spark: Spark,
    sessions: Sessions,
    student: SignedIn,
    assignment: Assignment,
    main_app: dict[str, str],
) -> None:
    """Operators see who waits (OPERATOR 7)."""
    async with (
        run_elsewhere(settings, database_pool_size=1) as elsewhere,
        enrolment_locked(settings, spark, student, assignment) as holder,
    ):
        first = asyncio.create_task(elsewhere.spark.submit(submission(student, assignment)))

        async def it_waits() -> bool:
            return bool(await waiting_backends(sessions, holder))

        await eventually(it_waits)
        asked = asyncio.create_task(elsewhere.spark.submit(submission(student, assignment)))

        async def pool() -> list[float]:
            found = await scrape(elsewhere.spark.browser, main_app)
            return [
                found.get(f"spark_{name}", 0)
                for name in (
                    "database_connections_max",
                    "database_connections_in_use",
                    "database_waiters",
                    'overloaded_total{limit="DATABASE_POOL_SIZE"}',
                )
            ]

        *_, refused = await pool()
        while await pool() != [1, 1, 1, refused]:
            assert not asked.done()
        second = await asked
        assert_problem(second, 503, "overloaded")
        assert (await pool())[-1] == refused + 1
        assert int(second.headers["retry-after"]) > 0
        await holder.rollback()
        assert (await first).status_code == 200
        assert (await elsewhere.spark.submit(submission(student, assignment))).status_code == 200

        async def nobody_waits() -> bool:
            return (await pool())[1:3] == [0, 0]

        await eventually(nobody_waits)


@pytest.fixture
async def one_at_a_time(settings: Settings) -> AsyncIterator[Sessions]:
    engine = create_engine(settings.model_copy(update={"database_pool_size": 1}))
    yield open_sessions(engine, at_once=1)
    await engine.dispose()


async def test_sessions_are_given_in_the_order_they_are_asked_for(
    one_at_a_time: Sessions,
) -> None:
    order: list[int] = []

    async def ask(number: int) -> None:
        async with one_at_a_time() as session, session.begin():
            order.append(number)
            await session.execute(text("select 1"))

    await asyncio.gather(*(ask(number) for number in range(50)))
    assert order == list(range(50))


async def test_who_fails_or_leaves_gives_the_turn_back(one_at_a_time: Sessions) -> None:
    async def fail() -> None:
        async with one_at_a_time():
            raise LookupError

    async with one_at_a_time():
        failing = asyncio.create_task(fail())
        leaving = asyncio.create_task(fail())
        await asyncio.sleep(0)
        leaving.cancel()
    with pytest.raises(LookupError):
        await failing
    with pytest.raises(asyncio.CancelledError):
        await leaving
    async with one_at_a_time() as session:
        await session.execute(text("select 1"))


async def test_parameters_of_the_address_reach_the_server(settings: Settings) -> None:
    """F04"""
    assert settings.database_url
    query = "?application_name=homework&options=-c%20work_mem%3D5MB&sslmode=prefer"
    address = SecretStr(settings.database_url.get_secret_value() + query)
    engine = create_engine(settings.model_copy(update={"database_url": address}))
    async with engine.connect() as connection:
        for name, value in {"application_name": "homework", "work_mem": "5MB"}.items():
            assert (await connection.execute(text(f"show {name}"))).scalar_one() == value
    await engine.dispose()


async def test_a_server_without_encryption_is_refused_where_it_is_required(
    settings: Settings,
) -> None:
    """F04"""
    assert settings.database_url
    address = SecretStr(settings.database_url.get_secret_value() + "?sslmode=require")
    with pytest.raises(ConnectionError):
        async with own_connection(settings.model_copy(update={"database_url": address})):
            pass


async def test_a_host_that_is_gone_in_a_transaction_holds_its_locks_for_seconds(
    settings: Settings,
) -> None:
    """Nobody closes its connection: the server ends what says nothing."""
    engine = create_engine(settings, session={"idle_in_transaction_session_timeout": "1s"})
    gone = await engine.connect()
    await gone.execute(text("select pg_advisory_xact_lock(7)"))
    async with look_into(settings) as sessions:

        async def is_free() -> bool:
            async with sessions() as session, session.begin():
                return bool((await session.execute(NO_LOCK_LEFT)).scalar_one())

        assert not await is_free()
        await eventually(is_free)
    await gone.invalidate()
    await engine.dispose()


async def test_what_is_planned_for_an_empty_table_finds_its_rows_by_a_key(
    settings: Settings,
) -> None:
    async with ready_database(settings) as own:
        engine = create_engine(own, session=SERVING)
        async with engine.begin() as session:
            await session.execute(text("analyze user_quests"))
            rows = "explain select from user_quests where user_id = gen_random_uuid()"
            planned = "\n".join((await session.execute(text(rows))).scalars())
        await engine.dispose()
    assert "Seq Scan" not in planned, planned
