"""Diploma credit: what tasks say of school subjects, added up once for each student and task."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from app.database import Sessions
from app.models import CourseQuestTask, User, UserSubjectXp
from app.models.columns import SCHOOL_SUBJECTS
from tests.conftest import create_assignment
from tests.support.spark import Assignment, SignedIn, Spark, submission
from tests.support.stored import total_xp

pytestmark = pytest.mark.own_database("beside the main app credit is asked for, and approved there")


async def distribute(sessions: Sessions, assignment: Assignment, distribution: object) -> None:
    """What all tasks of the assignment say of school subjects."""
    async with sessions() as session, session.begin():
        await session.execute(
            update(CourseQuestTask)
            .where(CourseQuestTask.quest_id == assignment.quest_id)
            .values(subject_xp_distribution=distribution)
        )


async def subject_xp(sessions: Sessions, student: SignedIn) -> dict[str, int]:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(UserSubjectXp.school_subject, UserSubjectXp.xp_amount).where(
                UserSubjectXp.user_id == student.user_id
            )
        )
        return {row.school_subject: row.xp_amount for row in found}


async def hand_in(spark: Spark, student: SignedIn, assignment: Assignment) -> None:
    answer = await spark.submit(submission(student, assignment))
    assert answer.status_code == 200, answer.text


async def test_the_first_handing_in_adds_what_the_task_says(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    await distribute(sessions, assignment, {"science": 60, "math": 40})
    await hand_in(spark, student, assignment)
    assert await subject_xp(sessions, student) == {"science": 60, "math": 40}


async def test_repetitions_and_revisions_add_nothing(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    await distribute(sessions, assignment, {"science": 60})
    payload = submission(student, assignment)
    for sent in (payload, payload, payload | {"submission_text": "Other."}):
        assert (await spark.submit(sent)).status_code == 200
    assert await subject_xp(sessions, student) == {"science": 60}


async def test_the_tasks_of_a_student_add_up(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    other = await create_assignment(sessions)
    await distribute(sessions, assignment, {"science": 60, "math": 40})
    await distribute(sessions, other, {"science": 5, "pe": 1})
    for work in (assignment, other):
        await hand_in(spark, student, work)
    assert await subject_xp(sessions, student) == {"science": 65, "math": 40, "pe": 1}


DISTRIBUTIONS: dict[str, tuple[Any, dict[str, int]]] = {
    "empty": ({}, {}),
    "as-editors-write": (
        {"Language Arts": 30, " Social Studies ": 20, "PE": 10},
        {"language_arts": 30, "social_studies": 20, "pe": 10},
    ),
    "all": (dict.fromkeys(SCHOOL_SUBJECTS, 1), dict.fromkeys(SCHOOL_SUBJECTS, 1)),
    "unknown-subject": ({"alchemy": 50, "science": 50}, {"science": 50}),
    "one-subject-twice": ({"Math": 1, "math": 1}, {"math": 1}),
    "zero-and-less": ({"science": 0, "math": -5, "pe": 5}, {"pe": 5}),
    "no-integers": (
        {"science": "50", "math": 1.5, "pe": True, "health": None, "cte": 5},
        {"cte": 5},
    ),
    "beyond-the-column": ({"science": 2**31, "math": 5}, {"math": 5}),
    "a-list": (["science"], {}),
    "a-text": ("science", {}),
    "a-number": (7, {}),
}


@pytest.mark.parametrize(("said", "added"), DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
async def test_only_known_subjects_and_whole_numbers_count(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    said: object,
    added: dict[str, int],
) -> None:
    """Nothing that editors write keeps homework from being handed in."""
    await distribute(sessions, assignment, said)
    await hand_in(spark, student, assignment)
    assert await subject_xp(sessions, student) == added
    assert await total_xp(sessions, student.user_id) == 100


async def test_two_tasks_of_a_student_at_once_lose_nothing(
    spark: Spark, student: SignedIn, sessions: Sessions
) -> None:
    """The same subjects, written in opposite orders, so that they could wait for each other."""
    orders = (dict.fromkeys(SCHOOL_SUBJECTS, 1), dict.fromkeys(reversed(SCHOOL_SUBJECTS), 1))
    work = [await create_assignment(sessions) for _ in range(10)]
    for number, assignment in enumerate(work):
        await distribute(sessions, assignment, orders[number % 2])
    await asyncio.gather(*(hand_in(spark, student, assignment) for assignment in work))
    assert await subject_xp(sessions, student) == dict.fromkeys(SCHOOL_SUBJECTS, 10)
    assert await total_xp(sessions, student.user_id) == 1000
    async with sessions() as session, session.begin():
        shown = await session.execute(select(User.total_xp).where(User.id == student.user_id))
        assert shown.scalar_one() == 1000


async def test_identical_messages_at_once_add_once(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    await distribute(sessions, assignment, {"science": 60})
    payloads = [submission(student, assignment) for _ in range(10)]
    await asyncio.gather(*(spark.submit(payload) for payload in payloads * 2))
    assert await subject_xp(sessions, student) == {"science": 60}


async def test_credit_is_what_the_students_own_copy_says(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    await distribute(sessions, assignment, {"science": 60})
    await hand_in(spark, student, assignment)
    classmate = await spark.sign_in()
    await distribute(sessions, assignment, {"math": 7})
    await hand_in(spark, classmate, assignment)
    assert await subject_xp(sessions, student) == {"science": 60}
    assert await subject_xp(sessions, classmate) == {"math": 7}
    async with sessions() as session, session.begin():
        ledger = await session.execute(
            select(func.count())
            .select_from(text("spark.xp_ledger"))
            .where(text("user_id = :user_id")),
            {"user_id": classmate.user_id},
        )
        assert ledger.scalar_one() == 1
