"""Which work an assignment means, in both models, by four rules in order (CONTRACT 8.5, P092)."""

from datetime import UTC, datetime
from uuid import UUID

import httpx
import pytest
from sqlalchemy import update

from app.database import Sessions
from app.learning.course_enrolment import drop_students
from app.models import Quest
from tests.conftest import create_assignment
from tests.support.courses import (
    Course,
    course,
    enrolments_of,
    hand_in,
    items,
    synced,
    tasks_of,
)
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, Spark, submission
from tests.support.stored import NOTHING, kept

NAMES = ("assign_bio_001", "assign_bio_002", "assign_bio_003")


def quest_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["quest_id"])


def assert_ambiguous(answer: httpx.Response, name: str) -> None:
    problem = assert_problem(answer, 400, "assignment_ambiguous")
    assert problem["error"] == f"Quest not found for assignment: {name}"
    assert "spark_course_id" in str(problem["hint"])


def of_one_organisation(*courses: Course) -> tuple[Course, ...]:
    return tuple(one | {"spark_org_id": courses[0]["spark_org_id"]} for one in courses)


def fresh(name: str) -> str:
    """An assignment id of this test alone, which may be in several of its courses."""
    return f"{name}_{datetime.now(tz=UTC).timestamp()}"


# ---------------------------------------------------------------------------- both models


async def test_two_courses_with_the_same_assignment_ids(spark: Spark) -> None:
    """The two real scripts of CONTRACT 8.5: sync, sign-in, a submission for each."""
    courses = of_one_organisation(course(*NAMES), course(*NAMES))
    quests = [await synced(spark, one) for one in courses]
    student = await spark.sign_in(courses=[one["spark_course_id"] for one in courses])
    answers = [await spark.submit(hand_in(student, one, name)) for one in courses for name in NAMES]
    assert [quest_of(answer) for answer in answers] == [quests[0]] * 3 + [quests[1]] * 3
    assert len({answer.json()["completion_id"] for answer in answers}) == 6
    assert {answer.json()["xp_awarded"] for answer in answers} == {100}
    for name in NAMES:
        assert_ambiguous(
            await spark.submit(hand_in(student, courses[0], name, spark_course_id=...)), name
        )


async def test_one_quest_for_each_assignment_in_two_courses(
    spark: Spark, sessions: Sessions
) -> None:
    name = fresh("shared")
    first, second = [await create_assignment(sessions, spark_assignment_id=name) for _ in range(2)]
    student = await spark.sign_in(courses=[first.spark_course_id, second.spark_course_id])
    assert await enrolments_of(sessions, student) == {
        str(first.quest_id): True,
        str(second.quest_id): True,
    }
    for one in (first, second):
        assert quest_of(await spark.submit(submission(student, one))) == str(one.quest_id)


async def test_the_submission_may_come_before_the_sign_in_named_the_course(
    spark: Spark, sessions: Sessions
) -> None:
    payload = course("one", "two")
    student = await spark.sign_in()
    quest_id = await synced(spark, payload)
    assert quest_of(await spark.submit(hand_in(student, payload, "two"))) == quest_id
    assert [task.title for task in await tasks_of(sessions, student, quest_id)] == [
        "Do one",
        "Do two",
    ]
    again = await spark.sign_in(sub=student.spark_user_id, courses=[payload["spark_course_id"]])
    assert again.user_id == student.user_id
    assert len(await tasks_of(sessions, student, quest_id)) == 2


async def test_what_was_synced_goes_before_a_quest_of_one_assignment(
    spark: Spark, sessions: Sessions, assignment: Assignment
) -> None:
    payload = course(assignment.spark_assignment_id, spark_course_id=assignment.spark_course_id)
    quest_id = await synced(spark, payload)
    student = await spark.sign_in()
    for changes in ({}, {"spark_course_id": ...}):
        answer = await spark.submit(submission(student, assignment, **changes))
        assert quest_of(answer) == quest_id != str(assignment.quest_id)


async def test_a_retired_assignment_still_finds_its_task(spark: Spark, sessions: Sessions) -> None:
    payload = course("one", "two")
    quest_id = await synced(spark, payload)
    before, late = [
        await spark.sign_in(courses=courses) for courses in ([payload["spark_course_id"]], [])
    ]
    await synced(spark, payload | {"assignments": items("two")})
    for student, titles in ((before, ["Do one", "Do two"]), (late, ["Do one", "Do two"])):
        answer = await spark.submit(hand_in(student, payload, "one"))
        assert quest_of(answer) == quest_id
        found = await tasks_of(sessions, student, quest_id)
        assert sorted(task.title for task in found) == titles
        [one] = [task for task in found if task.title == "Do one"]
        assert (str(one.id), one.is_required) == (answer.json()["task_id"], False)


# ---------------------------------------------------------------------------- rule 1


async def test_a_known_course_without_the_assignment_finds_nothing(
    spark: Spark, sessions: Sessions
) -> None:
    name = fresh("elsewhere")
    first, second = of_one_organisation(course(name), course("other"))
    for one in (first, second):
        await synced(spark, one)
    student = await spark.sign_in()
    answer = await spark.submit(hand_in(student, second, name))
    problem = assert_problem(answer, 400, "assignment_not_found")
    assert problem["error"] == f"Quest not found for assignment: {name}"
    assert await kept(sessions, student.user_id) == NOTHING


async def test_a_course_that_was_synced_without_assignments_is_known(spark: Spark) -> None:
    name = fresh("elsewhere")
    empty = course(assignments=[])
    for one in (course(name), empty):
        await synced(spark, one)
    answer = await spark.submit(hand_in(await spark.sign_in(), empty, name))
    assert_problem(answer, 400, "assignment_not_found")


async def test_a_named_course_of_another_organisation_is_the_one(spark: Spark) -> None:
    """`spark_org_id` only narrows: where the course is named, there is nothing to narrow."""
    name = fresh("shared")
    mine, theirs = course(name), course(name)
    quests = [await synced(spark, one) for one in (mine, theirs)]
    student = await spark.sign_in(courses=[mine["spark_course_id"]])
    assert quest_of(await spark.submit(hand_in(student, theirs, name))) == quests[1]


async def test_a_course_that_was_withdrawn_is_not_found(spark: Spark, sessions: Sessions) -> None:
    payload = course("one")
    quest_id = await synced(spark, payload)
    async with sessions() as session, session.begin():
        await session.execute(
            update(Quest).where(Quest.id == UUID(quest_id)).values(is_active=False)
        )
    student = await spark.sign_in(courses=[payload["spark_course_id"]])
    assert await enrolments_of(sessions, student) == {}
    answer = await spark.submit(hand_in(student, payload, "one"))
    assert_problem(answer, 400, "assignment_not_found")
    await synced(spark, payload)
    assert quest_of(await spark.submit(hand_in(student, payload, "one"))) == quest_id


# ---------------------------------------------------------------------------- rule 2


@pytest.mark.parametrize("course_id", [..., None, "no_such_course"])
async def test_the_only_match_is_it_without_a_known_course(spark: Spark, course_id: object) -> None:
    name = fresh("only")
    payload = course(name)
    quest_id = await synced(spark, payload)
    student = await spark.sign_in()
    answer = await spark.submit(hand_in(student, payload, name, spark_course_id=course_id))
    assert quest_of(answer) == quest_id


async def test_the_students_organisation_narrows(spark: Spark) -> None:
    """DESIGN R17: it is the one whose course named the student, here another course of it."""
    name = fresh("shared")
    mine, theirs = course(name), course(name)
    other = of_one_organisation(mine, course("other"))[1]
    quests = [await synced(spark, one) for one in (mine, theirs, other)]
    student = await spark.sign_in(courses=[other["spark_course_id"]])
    answer = await spark.submit(hand_in(student, mine, name, spark_course_id=...))
    assert quest_of(answer) == quests[0]


async def test_one_course_id_in_two_organisations_is_the_students_own(
    spark: Spark, sessions: Sessions
) -> None:
    mine, theirs = course("one"), course("one")
    theirs["spark_course_id"] = mine["spark_course_id"]
    other = of_one_organisation(mine, course("other"))[1]
    quests = [await synced(spark, one) for one in (mine, theirs, other)]
    student = await spark.sign_in(courses=[other["spark_course_id"]])
    assert quest_of(await spark.submit(hand_in(student, mine, "one"))) == quests[0]
    again = await spark.sign_in(sub=student.spark_user_id, courses=[mine["spark_course_id"]])
    assert set(await enrolments_of(sessions, again)) == {quests[0], quests[2]}


@pytest.mark.parametrize("row", ["P092"])
async def test_whose_organisation_is_not_known_must_name_the_course(
    spark: Spark, sessions: Sessions, row: str
) -> None:
    name = fresh("shared")
    first, second = course(name), course(name)
    quests = [await synced(spark, one) for one in (first, second)]
    student = await spark.sign_in()
    assert_ambiguous(await spark.submit(hand_in(student, first, name, spark_course_id=...)), name)
    assert await kept(sessions, student.user_id) == NOTHING
    assert quest_of(await spark.submit(hand_in(student, second, name))) == quests[1]


async def test_no_match_in_the_students_organisation_is_ambiguous_until_it_is_named(
    spark: Spark,
) -> None:
    name = fresh("theirs")
    mine, theirs = course("one"), course(name)
    quests = [await synced(spark, one) for one in (mine, theirs)]
    student = await spark.sign_in(courses=[mine["spark_course_id"]])
    assert_ambiguous(await spark.submit(hand_in(student, theirs, name, spark_course_id=...)), name)
    assert quest_of(await spark.submit(hand_in(student, theirs, name))) == quests[1]


# ---------------------------------------------------------------------------- rules 3 and 4


async def test_of_several_the_one_the_student_is_enrolled_in(spark: Spark) -> None:
    name = fresh("shared")
    first, second = of_one_organisation(course(name), course(name))
    quests = [await synced(spark, one) for one in (first, second)]
    student = await spark.sign_in(courses=[second["spark_course_id"]])
    answer = await spark.submit(hand_in(student, first, name, spark_course_id=...))
    assert quest_of(answer) == quests[1]


async def test_a_course_without_organisation_is_decided_by_the_enrolment(spark: Spark) -> None:
    name = fresh("shared")
    mine, nobodys, theirs = course("one"), course(name, spark_org_id=...), course(name)
    quests = [await synced(spark, one) for one in (mine, nobodys, theirs)]
    student = await spark.sign_in(courses=[mine["spark_course_id"], nobodys["spark_course_id"]])
    answer = await spark.submit(hand_in(student, mine, name, spark_course_id=...))
    assert quest_of(answer) == quests[1]


async def test_who_was_dropped_is_enrolled_no_more(spark: Spark, sessions: Sessions) -> None:
    name = fresh("shared")
    first, second = of_one_organisation(course(name), course(name))
    quests = [await synced(spark, one) for one in (first, second)]
    student = await spark.sign_in(courses=[second["spark_course_id"]])
    async with sessions() as session, session.begin():
        await drop_students(
            session,
            [(UUID(student.user_id), UUID(quests[1]))],
            now=datetime.now(tz=UTC),
            caller="test",
        )
    assert_ambiguous(await spark.submit(hand_in(student, first, name, spark_course_id=...)), name)
