"""Homework that came before its student or course is recorded once that is there (DESIGN R41)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import Row, func, select, text, update

from app.clock import new_id, utc_now
from app.database import Sessions
from app.jobs.lease import claim, free_lapsed
from app.models import Erasure, Job, LmsIntegration, SparkAssignment, SubmissionRevision
from app.submissions.do_replay import CALLER
from app.submissions.replay import replay_delivery
from tests.conftest import create_assignment
from tests.support.bodies import Part, form
from tests.support.courses import course, hand_in, synced
from tests.support.problems import assert_problem
from tests.support.roster import counts, entry, roster, send, sync_course
from tests.support.round_trips import round_trips
from tests.support.running import Running
from tests.support.samples import png
from tests.support.spark import Assignment, SignedIn, Spark, encoded, minutes_ago, submission
from tests.support.stored import NOTHING, ONCE, deliveries_of, eventually, kept, total_xp
from tests.support.work import Work

Listed = Callable[[bytes], Awaitable[list[str | None]]]
DELIVERIES = "/internal/v1/deliveries"


@pytest.fixture
def listed(browser: httpx.AsyncClient, main_app: dict[str, str], sessions: Sessions) -> Listed:
    """For what the inbox says these bytes wait."""

    async def read(raw: bytes) -> list[str | None]:
        ids = [one.id for one in await deliveries_of(sessions, raw)]
        found = [await browser.get(f"{DELIVERIES}/{each}", headers=main_app) for each in ids]
        return [one.json()["waiting_for"] for one in found]

    return read


def stranger() -> SignedIn:
    """A student whom only Spark knows."""
    return SignedIn(f"early_{uuid4().hex}", str(uuid4()), "", "")


async def refused(spark: Spark, message: dict[str, Any], code: str = "user_not_found") -> bytes:
    raw = encoded(message)
    status = 404 if code == "user_not_found" else 400
    assert_problem(await spark.submit(raw), status, code)
    return raw


async def jobs_of(sessions: Sessions, *raws: bytes) -> Sequence[Row[Any]]:
    keys = [str(one.id) for raw in raws for one in await deliveries_of(sessions, raw)]
    async with sessions() as session, session.begin():
        found = await session.execute(select(Job).where(Job.kind == "replay", Job.key.in_(keys)))
        return found.all()


async def codes(sessions: Sessions, *raws: bytes) -> list[str | None]:
    return [one.code for raw in raws for one in await deliveries_of(sessions, raw)]


# ---------------------------------------------------------------------------- the student comes


async def test_a_first_sign_in_brings_the_homework_that_came_before(
    spark: Spark, assignment: Assignment, sessions: Sessions, work: Work
) -> None:
    early = stranger()
    raw = await refused(spark, submission(early, assignment))
    assert await jobs_of(sessions, raw) == []
    student = await spark.sign_in(sub=early.spark_user_id)
    [job] = await jobs_of(sessions, raw)
    assert (str(job.user_id), job.payload) == (student.user_id, {"early": True})
    await work()
    [delivery] = await deliveries_of(sessions, raw)
    assert (delivery.status, delivery.code, str(delivery.user_id)) == (200, None, student.user_id)
    assert await kept(sessions, student.user_id) == ONCE
    assert await total_xp(sessions, student.user_id) == 100
    assert await jobs_of(sessions, raw) == []


async def test_a_roster_brings_the_homework_of_its_students(
    spark: Spark, sessions: Sessions, work: Work
) -> None:
    here = await sync_course(spark)
    early = [stranger() for _ in range(3)]
    raws = [await refused(spark, submission(each, here.assignment)) for each in early]
    listed = [entry(each.spark_user_id) for each in early]
    assert counts(await send(spark, roster(here, *listed)))["users_created"] == 3
    await work()
    assert await codes(sessions, *raws) == [None] * 3


async def test_a_roster_that_is_only_tried_brings_nothing(spark: Spark, sessions: Sessions) -> None:
    here, early = await sync_course(spark), stranger()
    raw = await refused(spark, submission(early, here.assignment))
    listed = roster(here, entry(early.spark_user_id))
    assert (await send(spark, listed, dry_run="true")).status_code == 200
    assert await jobs_of(sessions, raw) == []


async def test_a_link_by_hand_brings_the_homework_that_waited(
    spark: Spark,
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    assignment: Assignment,
    sessions: Sessions,
    work: Work,
) -> None:
    student, early = await spark.sign_in(), stranger()
    raw = await refused(spark, submission(early, assignment))
    link = f"/internal/v1/students/{student.user_id}/link"
    await browser.delete(link, headers=main_app)
    linked = await browser.post(link, headers=main_app, json={"spark_user_id": early.spark_user_id})
    assert linked.status_code == 200, linked.text
    await work()
    assert await codes(sessions, raw) == [None]
    assert await kept(sessions, student.user_id) == ONCE


async def test_everything_of_a_student_comes_and_nothing_of_others(
    spark: Spark, sessions: Sessions, work: Work
) -> None:
    early, other = stranger(), stranger()
    two = [await create_assignment(sessions) for _ in range(2)]
    raws = [await refused(spark, submission(early, each)) for each in two]
    theirs = await refused(spark, submission(other, two[0]))
    student = await spark.sign_in(sub=early.spark_user_id)
    await work()
    assert await codes(sessions, *raws, theirs) == [None, None, "user_not_found"]
    assert (await kept(sessions, student.user_id))["quest_task_completions"] == 2


# ---------------------------------------------------------------------------- the course comes


async def test_a_course_brings_the_homework_that_came_before(
    spark: Spark, student: SignedIn, sessions: Sessions, work: Work
) -> None:
    late = course("essay_" + uuid4().hex)
    [item] = late["assignments"]
    message = hand_in(student, late, item["spark_assignment_id"])
    raw = await refused(spark, message, "assignment_not_found")
    await synced(spark, late)
    await work()
    assert await codes(sessions, raw) == [None]
    assert await kept(sessions, student.user_id) == ONCE


async def test_the_course_that_a_message_names_settles_which_one_is_meant(
    spark: Spark, student: SignedIn, sessions: Sessions, work: Work
) -> None:
    name = "essay_" + uuid4().hex
    late = course(name)
    for _ in range(2):
        await synced(spark, course(name))
    raw = await refused(spark, hand_in(student, late, name), "assignment_ambiguous")
    await synced(spark, late)
    await work()
    assert await codes(sessions, raw) == [None]


async def test_whose_student_and_course_both_come_late_waits_for_both(
    spark: Spark, sessions: Sessions, work: Work, listed: Listed
) -> None:
    early, late = stranger(), course("essay_" + uuid4().hex)
    [item] = late["assignments"]
    raw = await refused(spark, hand_in(early, late, item["spark_assignment_id"]))
    assert await listed(raw) == ["student"]
    student = await spark.sign_in(sub=early.spark_user_id)
    await work()
    assert (await codes(sessions, raw), await listed(raw)) == (["assignment_not_found"], ["course"])
    await synced(spark, late)
    await work()
    assert (await codes(sessions, raw), await listed(raw)) == ([None], [None])
    assert await kept(sessions, student.user_id) == ONCE


async def test_a_course_that_is_sent_again_tries_nothing_again(
    spark: Spark, student: SignedIn, sessions: Sessions
) -> None:
    """What it left refused is refused for another reason."""
    name = "essay_" + uuid4().hex
    courses = [course(name) for _ in range(2)]
    for each in courses:
        await synced(spark, each)
    await _age_assignments(sessions, name)
    raw = await refused(spark, hand_in(student, course(), name), "assignment_ambiguous")
    for each in courses:
        await synced(spark, each | {"course_title": "Wind"})
    assert await jobs_of(sessions, raw) == []


async def _age_assignments(sessions: Sessions, name: str) -> None:
    async with sessions() as session, session.begin():
        ago = func.now() - func.make_interval(0, 0, 0, 1)
        of_name = SparkAssignment.spark_assignment_id == name
        await session.execute(update(SparkAssignment).where(of_name).values(updated_at=ago))


# ---------------------------------------------------------------------------- who was first


async def test_nothing_older_overtakes_what_was_taken(
    spark: Spark, assignment: Assignment, sessions: Sessions, work: Work, listed: Listed
) -> None:
    early = stranger()
    older = await refused(spark, submission(early, assignment, submitted_at=minutes_ago(1)))
    student = await spark.sign_in(sub=early.spark_user_id)
    newer = await spark.submit(submission(early, assignment))
    assert newer.json()["revision"] == 1
    await work()
    assert (await codes(sessions, older), await listed(older)) == (["user_not_found"], [None])
    assert await jobs_of(sessions, older) == []
    assert await kept(sessions, student.user_id) == ONCE


async def test_of_several_that_waited_the_one_handed_in_last_is_shown(
    spark: Spark, assignment: Assignment, sessions: Sessions, work: Work
) -> None:
    early = stranger()
    for minutes in (3, 2, 1):
        message = submission(early, assignment, submitted_at=minutes_ago(minutes))
        await refused(spark, message)
    student = await spark.sign_in(sub=early.spark_user_id)
    await work()
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(SubmissionRevision.submission_text).where(
                SubmissionRevision.user_id == student.user_id,
                SubmissionRevision.replaced_at.is_(None),
            )
        )
        assert found.scalar_one() == message["submission_text"]
    assert await total_xp(sessions, student.user_id) == 100


@pytest.mark.parametrize("when", ["before the course", "before the job"])
async def test_an_erased_students_homework_never_comes(
    spark: Spark,
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    sessions: Sessions,
    work: Work,
    when: str,
) -> None:
    student, late = await spark.sign_in(), course("essay_" + uuid4().hex)
    [item] = late["assignments"]
    message = hand_in(student, late, item["spark_assignment_id"])
    raw = await refused(spark, message, "assignment_not_found")
    if when == "before the job":
        await synced(spark, late)
    erased = await browser.delete(f"/internal/v1/students/{student.user_id}", headers=main_app)
    assert erased.status_code == 200, erased.text
    back = int(datetime.now(tz=UTC).timestamp()) + 59  # past the leeway of Spark's clock
    async with sessions() as session, session.begin():
        ago = {"requested_at": func.now() - func.make_interval(0, 0, 0, 0, 0, 5)}
        await session.execute(update(Erasure).where(Erasure.id == erased.json()["id"]).values(ago))
    again = await spark.sign_in(sub=student.spark_user_id, iat=back)
    await synced(spark, late)
    await work()
    assert await jobs_of(sessions, raw) == []
    assert await kept(sessions, again.user_id) == NOTHING


# ---------------------------------------------------------------------------- at once


async def waiting(sessions: Sessions) -> int:
    """Who waits for a lock in this database."""
    asked = text(
        "select count(distinct pid) from pg_locks join pg_stat_activity using (pid)"
        " where not granted and datname = current_database()"
    )
    async with sessions() as session, session.begin():
        return int((await session.execute(asked)).scalar_one())


@asynccontextmanager
async def held(sessions: Sessions, table: str) -> AsyncIterator[None]:
    """Nobody writes to this table inside."""
    async with sessions() as session, session.begin():
        await session.execute(text(f"lock table {table} in share mode"))
        yield


async def until_waiting(sessions: Sessions, number: int) -> None:
    async def so_many() -> bool:
        return await waiting(sessions) >= number

    await eventually(so_many)


async def test_homework_that_arrives_while_its_account_is_made_is_not_forgotten(
    spark: Spark, sessions: Sessions, work: Work
) -> None:
    here, early = await sync_course(spark), stranger()
    raw = encoded(submission(early, here.assignment))
    async with held(sessions, "user_quests"):  # the account is made, and not enrolled yet
        listing = asyncio.create_task(send(spark, roster(here, entry(early.spark_user_id))))
        await until_waiting(sessions, 1)
        arriving = asyncio.create_task(spark.submit(raw))
        await until_waiting(sessions, 2)
    listed, answer = await asyncio.gather(listing, arriving)
    assert counts(listed)["users_created"] == 1
    assert_problem(answer, 404, "user_not_found")
    await work()
    assert await codes(sessions, raw) == [None]


async def test_homework_that_arrives_while_its_course_is_made_is_not_forgotten(
    spark: Spark, student: SignedIn, sessions: Sessions, work: Work
) -> None:
    late = course("essay_" + uuid4().hex)
    [item] = late["assignments"]
    raw = encoded(hand_in(student, late, item["spark_assignment_id"]))
    async with held(sessions, "user_activity_events"):  # its event is the last that it writes
        syncing = asyncio.create_task(synced(spark, late))
        await until_waiting(sessions, 1)
        arriving = asyncio.create_task(spark.submit(raw))
        await until_waiting(sessions, 2)
    _, answer = await asyncio.gather(syncing, arriving)
    assert_problem(answer, 400, "assignment_not_found")
    await work()
    assert await codes(sessions, raw) == [None]


async def test_two_workers_record_each_once(spark: Spark, sessions: Sessions, work: Work) -> None:
    here, early = await sync_course(spark), [stranger() for _ in range(12)]
    raws = [await refused(spark, submission(each, here.assignment)) for each in early]
    await send(spark, roster(here, *(entry(each.spark_user_id) for each in early)))
    await asyncio.gather(*(work() for _ in range(3)))
    assert await codes(sessions, *raws) == [None] * 12
    async with sessions() as session, session.begin():
        of_quest = SubmissionRevision.quest_id == here.quest_id
        found = await session.execute(select(func.count()).where(of_quest))
        assert found.scalar_one() == 12


@pytest.mark.parametrize("recorded", [False, True], ids=["before", "after"])
async def test_what_a_killed_worker_held_is_recorded_once(
    spark: Spark,
    server: Running,
    assignment: Assignment,
    sessions: Sessions,
    work: Work,
    *,
    recorded: bool,
) -> None:
    """Before it recorded anything, or after that and before its job had ended."""
    early, resources = stranger(), server.app.state.resources
    raw = await refused(spark, submission(early, assignment))
    student = await spark.sign_in(sub=early.spark_user_id)
    [lease] = [
        each
        for each in await claim(resources.sessions, {"replay": 50}, owner=new_id())
        if each.user_id == UUID(student.user_id)
    ]
    if recorded:
        await replay_delivery(
            resources.intake,
            UUID(lease.key),
            caller=CALLER,
            now=utc_now(),
            new_id=new_id,
        )
    async with sessions() as session, session.begin():
        past = func.now() - func.make_interval(0, 0, 0, 0, 0, 1)
        await session.execute(update(Job).where(Job.id == lease.id).values(lease_until=past))
    await free_lapsed(resources.sessions)
    await work()
    assert (await codes(sessions, raw), await jobs_of(sessions, raw)) == ([None], [])
    assert await kept(sessions, student.user_id) == ONCE
    assert await total_xp(sessions, student.user_id) == 100


async def test_what_is_refused_for_good_is_told_by_the_inbox_and_the_job_is_done(
    spark: Spark, assignment: Assignment, sessions: Sessions, work: Work
) -> None:
    early = stranger()
    raw = await refused(spark, submission(early, assignment))
    student = await spark.sign_in(sub=early.spark_user_id)
    async with sessions() as session, session.begin():
        of_student = LmsIntegration.user_id == student.user_id
        paused = update(LmsIntegration).where(of_student).values(sync_status="paused")
        await session.execute(paused)
    await work()
    assert (await codes(sessions, raw), await jobs_of(sessions, raw)) == (["account_inactive"], [])


async def test_what_an_outage_kept_out_is_tried_again_later(
    spark: Spark, assignment: Assignment, sessions: Sessions, work: Work
) -> None:
    """The database ends each connection in mid-record."""
    early = stranger()
    raw = await refused(spark, submission(early, assignment))
    student = await spark.sign_in(sub=early.spark_user_id)
    end_them = text(
        "select pg_terminate_backend(pid) from pg_locks join pg_stat_activity using (pid)"
        " where not granted and datname = current_database()"
    )
    async with held(sessions, "user_activity_events"):
        working = asyncio.create_task(work())
        while not working.done():
            async with sessions() as session, session.begin():
                await session.execute(end_them)
            await asyncio.wait([working], timeout=0.05)
    [job] = await jobs_of(sessions, raw)
    assert (job.state, job.attempts) == ("waiting", 1)
    assert await kept(sessions, student.user_id) == NOTHING
    async with sessions() as session, session.begin():
        await session.execute(update(Job).where(Job.id == job.id).values(run_at=func.now()))
    await work()
    assert await kept(sessions, student.user_id) == ONCE


# ---------------------------------------------------------------------------- what is no homework


async def test_what_spark_must_send_again_waits_for_nobody(
    spark: Spark, assignment: Assignment, sessions: Sessions, listed: Listed
) -> None:
    """A form's files were refused unread: its answer says so."""
    early, picture = stranger(), Part("file1", png(), filename="gauge.png")
    raw = encoded(submission(early, assignment))
    answer = await spark.send_form(form(Part("metadata", raw), picture), signature=spark.sign(raw))
    problem = assert_problem(answer, 404, "user_not_found")
    assert "send it again" in str(problem["hint"])
    await spark.sign_in(sub=early.spark_user_id)
    assert (await listed(raw), await jobs_of(sessions, raw)) == ([None], [])


async def test_explain_says_what_is_waited_for_and_that_nobody_need_do_more(
    spark: Spark,
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    assignment: Assignment,
) -> None:
    early = stranger()
    await refused(spark, submission(early, assignment))
    asked = {
        "spark_user_id": early.spark_user_id,
        "spark_assignment_id": assignment.spark_assignment_id,
    }
    answer = await browser.get("/internal/v1/explain", params=asked, headers=main_app)
    assert "It is waiting for the student." in answer.json()["summary"][-1]
    assert answer.json()["next"] == (
        "Let the student sign in from Spark once, then it is processed again by itself."
    )


async def test_a_known_students_sign_in_is_one_round_trip_still(
    spark: Spark, student: SignedIn
) -> None:
    with round_trips() as sent:
        await spark.launch_code(sub=student.spark_user_id)
    assert not [statement for statement in sent if "spark.jobs" in statement]
