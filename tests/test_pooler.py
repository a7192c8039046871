"""Behind a pooler in transaction mode, where each transaction may get another connection."""

import asyncio

import pytest

from app.settings import Settings
from tests.support.elsewhere import run_elsewhere
from tests.support.pooler import needs_pgbouncer, run_pooler
from tests.support.spark import Assignment, submission

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
            students = await asyncio.gather(*(spark.sign_in() for _ in range(STUDENTS)))
            for _ in range(2):
                answers = await asyncio.gather(
                    *(spark.submit(submission(student, assignment)) for student in students)
                )
                assert {answer.status_code for answer in answers} == {200}
