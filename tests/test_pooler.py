"""Behind a pooler in transaction mode, where each transaction may get another connection."""

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy import func, select, update

from app.database import Sessions
from app.models import Grade, Job
from app.settings import Settings
from tests.conftest import create_assignment
from tests.support.courses import course, synced
from tests.support.elsewhere import run_elsewhere
from tests.support.outward import run_outward
from tests.support.pooler import needs_pgbouncer, run_pooler
from tests.support.spark import Assignment, encoded, submission
from tests.support.work import do_jobs

STUDENTS = 20


@needs_pgbouncer
@pytest.mark.parametrize(
    "reset",
    [
        pytest.param("DISCARD ALL", id="P177", marks=pytest.mark.soak),
        pytest.param("", id="P177 without a reset"),
    ],
)
async def test_twenty_students_at_once_share_three_connections(
    settings: Settings, assignment: Assignment, reset: str
) -> None:
    async with run_pooler(settings, reset=reset, size=3) as pooled:
        changes = {
            "database_url": pooled,
            "database_transaction_pooler": True,
            "database_pool_size": STUDENTS,
        }
        async with run_elsewhere(settings, **changes) as elsewhere:
            spark = elsewhere.spark
            one = course("one")
            await synced(spark, one)
            listed = [one["spark_course_id"]]
            students = await asyncio.gather(
                *(spark.sign_in(courses=listed) for _ in range(STUDENTS))
            )
            await asyncio.gather(
                *(spark.sign_in(sub=each.spark_user_id, courses=listed) for each in students)
            )
            for _ in range(2):
                sent = [encoded(submission(student, assignment)) for student in students]
                answers = [await asyncio.gather(*map(spark.submit, sent)) for _ in range(2)]
                assert {answer.status_code for each in answers for answer in each} == {200}
                first, replayed = ([answer.json() for answer in each] for each in answers)
                assert [each["submission_id"] for each in first] == [
                    each["submission_id"] for each in replayed
                ]


@pytest.mark.soak
@needs_pgbouncer
async def test_jobs_of_two_workers_are_done_once_behind_it(
    settings: Settings, sessions: Sessions, main_app: dict[str, str]
) -> None:
    """Grades of twenty students, of which every third call fails."""
    async with (
        run_pooler(settings, reset="", size=3) as pooled,
        run_outward(settings) as (calling, fake),
        run_elsewhere(calling, database_url=pooled, database_transaction_pooler=True) as elsewhere,
    ):
        graded = []
        for _ in range(STUDENTS):
            student, made = await elsewhere.spark.sign_in(), await create_assignment(sessions)
            body = (await elsewhere.spark.submit(submission(student, made))).json()
            grade = {"user_id": student.user_id, "task_id": body["task_id"], "score": 90}
            client = elsewhere.spark.browser
            answer = await client.post("/internal/v1/grades", json=grade, headers=main_app)
            assert answer.status_code == 202
            graded.append(answer.json()["id"])
        await fake.script("/grades", *[{}, {}, {"status": 503}] * (STUDENTS // 3))
        opened = elsewhere.running.app.state.resources
        while await unsent(sessions, graded):
            await asyncio.gather(*(do_jobs(opened) for _ in range(2)))
            async with sessions() as session, session.begin():
                await session.execute(update(Job).values(run_at=func.now()))
        assert len(await fake.effects()) == len(await fake.gradebook()) == STUDENTS


async def unsent(sessions: Sessions, graded: Sequence[str]) -> int:
    async with sessions() as session, session.begin():
        waiting = select(func.count()).where(Grade.id.in_(graded), Grade.state == "waiting")
        return int((await session.execute(waiting)).scalar_one())
