"""Spark is told when the time of homework that waited is over (DESIGN R41, R48)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Row, delete, update

from app.models import InboxDelivery
from app.worker import sweep
from tests.conftest import create_assignment
from tests.grades.conftest import Grading
from tests.support.elsewhere import run_elsewhere
from tests.support.spark import Assignment, SignedIn, encoded, submission
from tests.support.stored import deliveries_of

NOWHERE = Assignment(UUID(int=0), "nowhere", "never_synced")


@pytest.fixture
async def grading(grading: Grading) -> Grading:
    """Nothing of other tests waits."""
    async with grading.sessions() as session, session.begin():
        await session.execute(delete(InboxDelivery))
    return grading


@dataclass(frozen=True)
class Waiting:
    """Homework in the inbox, as it was sent."""

    grading: Grading
    raw: bytes
    webhook_id: str

    async def rows(self) -> Sequence[Row[Any]]:
        return await deliveries_of(self.grading.sessions, self.raw)

    async def ages(self, days: int) -> None:
        """So many days more."""
        ids = [row.id for row in await self.rows()]
        older = InboxDelivery.received_at - timedelta(days=days)
        async with self.grading.sessions() as session, session.begin():
            aged = update(InboxDelivery).where(InboxDelivery.id.in_(ids))
            await session.execute(aged.values(received_at=older))

    async def swept(self) -> dict[str, int]:
        return await sweep(self.grading.elsewhere.running.app.state.resources)


def stranger() -> SignedIn:
    """A student whom only Spark knows."""
    return SignedIn(f"early_{uuid4().hex}", str(uuid4()), "", "")


async def sent(
    grading: Grading, student: SignedIn, assignment: Assignment = NOWHERE, **changes: Any
) -> Waiting:
    raw, webhook_id = encoded(submission(student, assignment, **changes)), f"msg_{uuid4().hex}"
    spark = grading.elsewhere.spark
    await spark.post(raw, spark.sign_v1(raw, webhook_id=webhook_id))
    return Waiting(grading, raw, webhook_id)


@pytest.mark.parametrize("is_known", [False, True], ids=["student", "course"])
async def test_homework_whose_time_ends_is_refused_for_good(
    grading: Grading, *, is_known: bool
) -> None:
    """Its text goes in time; what the receipt is made of, once Spark has it."""
    student = await grading.student() if is_known else stranger()
    homework = await sent(grading, student)
    await homework.ages(29)
    assert (await homework.swept())["waiting_ended"] == 0
    await homework.ages(1)
    assert (await homework.swept())["waiting_ended"] == 1
    [row] = await homework.rows()
    assert row.message is None
    assert await grading.work_off() == 1
    [receipt] = await grading.fake.receipts()
    assert receipt | {"kept_until": None} == {
        "submission_id": None,
        "webhook_id": homework.webhook_id,
        "spark_user_id": student.spark_user_id,
        "spark_assignment_id": NOWHERE.spark_assignment_id,
        "state": "refused",
        "files": [],
        "kept_until": None,
    }
    await homework.swept()
    assert await homework.rows() == []
    assert await grading.jobs() == []


async def test_it_is_told_once_whoever_sweeps(grading: Grading) -> None:
    homework = [await sent(grading, stranger()) for _ in range(3)]
    for each in homework:
        await each.ages(31)
    passes = await asyncio.gather(*(homework[0].swept() for _ in range(4)))
    assert sum(each["waiting_ended"] for each in passes) == 3
    await grading.work_off()
    told = sorted(receipt["webhook_id"] for receipt in await grading.fake.receipts())
    assert told == sorted(each.webhook_id for each in homework)


async def test_only_what_still_waited_is_told(grading: Grading) -> None:
    """Neither what was taken, nor what a newer message replaced, nor what was wrong itself; of what
    came several times the last.
    """
    student, there = await grading.student(), await create_assignment(grading.sessions)
    missing = replace(NOWHERE, spark_assignment_id=f"assignment_{uuid4().hex}")
    taken = await sent(grading, student, there)
    outdated = await sent(grading, student, missing)
    wrong = await sent(grading, student, submitted_at="yesterday")
    await create_assignment(grading.sessions, spark_assignment_id=missing.spark_assignment_id)
    await sent(grading, student, missing, spark_course_id=...)
    repeated = await sent(grading, student)
    spark = grading.elsewhere.spark
    await spark.post(repeated.raw, spark.sign_v1(repeated.raw, webhook_id="msg_again"))
    for each in (taken, outdated, wrong, repeated):
        await each.ages(31)
        await each.swept()
        if each is not repeated:
            assert await each.rows() == []
    await grading.work_off()
    [receipt] = await grading.fake.receipts()
    assert (receipt["webhook_id"], receipt["state"]) == ("msg_again", "refused")


async def test_a_spark_that_is_away_is_told_within_a_week(grading: Grading) -> None:
    await grading.fake.script("/receipts", {"status": 503}, {"status": 503})
    homework, forgotten = await sent(grading, stranger()), await sent(grading, stranger())
    for each in (homework, forgotten):
        await each.ages(31)
    await homework.swept()
    await grading.work_off()
    await forgotten.ages(7)
    await homework.ages(5)
    await homework.swept()
    assert await forgotten.rows() == []
    [row] = await homework.rows()
    assert row.message is None
    await grading.come_due()
    await grading.work_off()
    [receipt] = await grading.fake.receipts()
    assert receipt["webhook_id"] == homework.webhook_id
    assert await grading.jobs() == []


async def test_without_receipts_it_goes_in_silence(grading: Grading) -> None:
    settings = grading.elsewhere.running.settings
    async with run_elsewhere(settings, spark_receipts=False) as elsewhere:
        homework = await sent(replace(grading, elsewhere=elsewhere), stranger())
        await homework.ages(31)
        assert (await homework.swept())["waiting_ended"] == 0
    assert await homework.rows() == []
    assert await grading.jobs() == []


async def test_the_text_of_what_was_recorded_goes_in_time_too(grading: Grading) -> None:
    """Also if Spark still has to be told."""
    missing = replace(NOWHERE, spark_assignment_id=f"assignment_{uuid4().hex}")
    homework = await sent(grading, await grading.student(), missing, spark_course_id=...)
    await create_assignment(grading.sessions, spark_assignment_id=missing.spark_assignment_id)
    [row] = await homework.rows()
    answer = await grading.ask("POST", f"deliveries/{row.id}/replay")
    assert answer.status_code == 200, answer.text
    await homework.ages(31)
    await homework.swept()
    assert [row.message for row in await homework.rows()] == [None]
    await grading.work_off()
    [receipt] = await grading.fake.receipts()
    assert (receipt["state"], receipt["submission_id"]) == (
        "recorded",
        answer.json()["submission_id"],
    )
