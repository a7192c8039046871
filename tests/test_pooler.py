"""Behind a pooler in transaction mode, where each transaction may get another connection."""

import asyncio

import pytest

from app.settings import Settings
from tests.support.courses import course, synced
from tests.support.elsewhere import run_elsewhere
from tests.support.pooler import needs_pgbouncer, run_pooler
from tests.support.spark import Assignment, encoded, submission

STUDENTS = 20


@needs_pgbouncer
@pytest.mark.parametrize("reset", ["DISCARD ALL", ""], ids=["P177", "P177 without a reset"])
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
