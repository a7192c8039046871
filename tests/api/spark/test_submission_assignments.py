"""Which task a submission is for, and what it does to the student's quest (CONTRACT 7.7, 8.5)."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import Row, func, insert, select, text, update

from app.database import Sessions
from app.learning.course_enrolment import enrol_students
from app.models import (
    CourseQuestTask,
    EvidenceBlock,
    EvidenceDocument,
    Quest,
    QuestTaskCompletion,
    UserQuest,
    UserQuestTask,
)
from tests.conftest import create_assignment
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, SignedIn, Spark, submission
from tests.support.stored import NOTHING, blocks_of, kept, total_xp


async def set_quest(sessions: Sessions, quest_id: UUID, **values: object) -> None:
    async with sessions() as session, session.begin():
        await session.execute(update(Quest).where(Quest.id == quest_id).values(**values))


async def enrol_in(sessions: Sessions, student: SignedIn, *assignments: Assignment) -> None:
    async with sessions() as session, session.begin():
        pairs = [(UUID(student.user_id), assignment.quest_id) for assignment in assignments]
        await enrol_students(session, pairs, now=datetime.now(tz=UTC))


async def set_enrolment(sessions: Sessions, student: SignedIn, **values: object) -> None:
    async with sessions() as session, session.begin():
        await session.execute(
            update(UserQuest).where(UserQuest.user_id == student.user_id).values(**values)
        )


async def get_enrolment(sessions: Sessions, student: SignedIn) -> Row[Any]:
    async with sessions() as session, session.begin():
        found = await session.execute(select(UserQuest).where(UserQuest.user_id == student.user_id))
        return found.one()


async def tasks_of(sessions: Sessions, student: SignedIn) -> list[Row[Any]]:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(UserQuestTask)
            .where(UserQuestTask.user_id == student.user_id)
            .order_by(UserQuestTask.order_index)
        )
        return list(found.all())


async def complete(sessions: Sessions, student: SignedIn, *tasks: Row[Any]) -> None:
    """As the main app records it."""
    async with sessions() as session, session.begin():
        for task in tasks:
            await session.execute(
                insert(QuestTaskCompletion).values(
                    user_id=student.user_id, quest_id=task.quest_id, task_id=task.id
                )
            )


def quest_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["quest_id"])


# ---------------------------------------------------------------------------- which quest


@pytest.fixture
async def twin(sessions: Sessions, assignment: Assignment) -> Assignment:
    """The same assignment id in another course."""
    return await create_assignment(sessions, spark_assignment_id=assignment.spark_assignment_id)


async def test_the_course_decides_between_two_assignments_of_one_id(
    spark: Spark, student: SignedIn, assignment: Assignment, twin: Assignment
) -> None:
    first = await spark.submit(submission(student, assignment))
    second = await spark.submit(submission(student, twin))
    assert quest_of(first) == str(assignment.quest_id)
    assert quest_of(second) == str(twin.quest_id)
    assert first.json()["completion_id"] != second.json()["completion_id"]


@pytest.mark.parametrize("course_id", [..., None, "no_such_course"])
async def test_the_only_match_is_it_without_a_known_course(
    spark: Spark, student: SignedIn, assignment: Assignment, course_id: object
) -> None:
    answer = await spark.submit(submission(student, assignment, spark_course_id=course_id))
    assert quest_of(answer) == str(assignment.quest_id)


async def test_a_quest_without_a_course_is_found_by_an_unknown_course(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    await set_quest(sessions, assignment.quest_id, lms_course_id=None)
    answer = await spark.submit(submission(student, assignment))
    assert quest_of(answer) == str(assignment.quest_id)


async def test_a_known_course_without_the_assignment_finds_nothing(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    """It must not be handed in for another course that happens to use the id."""
    other = await create_assignment(sessions)
    payload = submission(student, assignment, spark_course_id=other.spark_course_id)
    assert_problem(await spark.submit(payload), 400, "assignment_not_found")


async def test_p092_an_unknown_assignment_is_not_found(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    payload = submission(student, assignment, spark_assignment_id="no_such_assignment")
    problem = assert_problem(await spark.submit(payload), 400, "assignment_not_found")
    assert problem["error"] == "Quest not found for assignment: no_such_assignment"
    assert await kept(sessions, student.user_id) == NOTHING


@pytest.mark.parametrize(
    "course_id", [pytest.param(..., id="P092-absent"), pytest.param("nowhere", id="unknown")]
)
async def test_an_id_that_fits_two_courses_is_ambiguous(
    spark: Spark, student: SignedIn, assignment: Assignment, twin: Assignment, course_id: object
) -> None:
    answer = await spark.submit(submission(student, assignment, spark_course_id=course_id))
    problem = assert_problem(answer, 400, "assignment_ambiguous")
    assert str(problem["error"]).startswith("Quest not found for assignment: ")
    assert "spark_course_id" in str(problem["hint"])


async def test_of_several_matches_the_one_the_student_is_enrolled_in_wins(
    spark: Spark, student: SignedIn, assignment: Assignment, twin: Assignment, sessions: Sessions
) -> None:
    await enrol_in(sessions, student, twin)
    answer = await spark.submit(submission(student, assignment, spark_course_id=...))
    assert quest_of(answer) == str(twin.quest_id)


async def test_enrolled_in_both_it_stays_ambiguous(
    spark: Spark, student: SignedIn, assignment: Assignment, twin: Assignment, sessions: Sessions
) -> None:
    await enrol_in(sessions, student, assignment, twin)
    answer = await spark.submit(submission(student, assignment, spark_course_id=...))
    assert_problem(answer, 400, "assignment_ambiguous")


async def test_an_enrolment_that_was_set_down_does_not_decide(
    spark: Spark, student: SignedIn, assignment: Assignment, twin: Assignment, sessions: Sessions
) -> None:
    await enrol_in(sessions, student, twin)
    await set_enrolment(sessions, student, is_active=False)
    answer = await spark.submit(submission(student, assignment, spark_course_id=...))
    assert_problem(answer, 400, "assignment_ambiguous")


async def test_a_quest_that_was_withdrawn_is_not_found(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    await set_quest(sessions, assignment.quest_id, is_active=False)
    assert_problem(await spark.submit(submission(student, assignment)), 400, "assignment_not_found")


async def test_a_quest_without_tasks_is_refused_and_enrols_nobody(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    async with sessions() as session, session.begin():
        await session.execute(
            text("delete from course_quest_tasks where quest_id = :quest_id"),
            {"quest_id": assignment.quest_id},
        )
    answer = await spark.submit(submission(student, assignment))
    assert assert_problem(answer, 400, "assignment_not_found")["hint"]
    async with sessions() as session, session.begin():
        enrolled = select(func.count()).where(UserQuest.user_id == student.user_id)
        assert (await session.execute(enrolled)).scalar_one() == 0


# ---------------------------------------------------------------------------- which task


async def test_the_first_task_of_the_quest_is_completed(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    answer = await spark.submit(submission(student, assignment))
    tasks = await tasks_of(sessions, student)
    assert [task.title for task in tasks] == ["Research", "Build", "Present"]
    assert answer.json()["task_id"] == str(tasks[0].id)


async def test_tasks_are_copied_with_the_values_of_the_template(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    await spark.submit(submission(student, assignment))
    first, *_ = await tasks_of(sessions, student)
    assert (first.xp_value, first.pillar, first.is_required) == (100, "stem", True)
    assert (first.is_manual, first.approval_status) == (False, "approved")
    assert (first.diploma_subjects, first.subject_xp_distribution) == (["Electives"], {})


async def test_a_task_the_student_added_does_not_become_the_assignments_task(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    first = (await spark.submit(submission(student, assignment))).json()
    enrolment = await get_enrolment(sessions, student)
    async with sessions() as session, session.begin():
        await session.execute(
            insert(UserQuestTask).values(
                user_id=student.user_id,
                quest_id=assignment.quest_id,
                user_quest_id=enrolment.id,
                title="My own idea",
                pillar="art",
                is_manual=True,
                order_index=0,
            )
        )
    second = await spark.submit(submission(student, assignment, submission_text="More."))
    assert second.json()["completion_id"] == first["completion_id"]


async def test_a_task_of_the_same_order_that_is_older_comes_first(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    async with sessions() as session, session.begin():
        await session.execute(
            update(CourseQuestTask)
            .where(CourseQuestTask.quest_id == assignment.quest_id)
            .values(order_index=0)
        )
    first = (await spark.submit(submission(student, assignment))).json()
    again = await spark.submit(submission(student, assignment, submission_text="More."))
    assert again.json()["task_id"] == first["task_id"]


async def test_a_draft_the_student_began_becomes_the_completed_document(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    await enrol_in(sessions, student, assignment)
    first, *_ = await tasks_of(sessions, student)
    document_id = uuid4()
    async with sessions() as session, session.begin():
        await session.execute(
            insert(EvidenceDocument).values(
                id=document_id,
                user_id=student.user_id,
                quest_id=first.quest_id,
                task_id=first.id,
            )
        )
        await session.execute(
            insert(EvidenceBlock).values(
                document_id=document_id,
                block_type="text",
                content={"text": "Mine."},
                order_index=0,
            )
        )
    await spark.submit(submission(student, assignment, submission_text="Spark's."))
    assert await _document(sessions, student) == (document_id, "completed")
    texts = [block.content["text"] for block in await blocks_of(sessions, student.user_id)]
    assert texts == ["Mine.", "Spark's."]


async def _document(sessions: Sessions, student: SignedIn) -> tuple[UUID, str]:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(EvidenceDocument.id, EvidenceDocument.status).where(
                EvidenceDocument.user_id == student.user_id
            )
        )
        document_id, status = found.one()
        return document_id, status


async def test_a_task_that_was_completed_in_optio_keeps_its_completion(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    await enrol_in(sessions, student, assignment)
    first, *_ = await tasks_of(sessions, student)
    await complete(sessions, student, first)
    assert (await spark.submit(submission(student, assignment))).status_code == 200
    assert (await kept(sessions, student.user_id))["quest_task_completions"] == 1


# ---------------------------------------------------------------------------- the quest


async def test_a_quest_is_complete_when_its_last_required_task_is(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    await spark.submit(submission(student, assignment))
    assert (await get_enrolment(sessions, student)).completed_at is None
    _, *others = await tasks_of(sessions, student)
    await complete(sessions, student, *others)
    await spark.submit(submission(student, assignment, submission_text="The end."))
    assert (await get_enrolment(sessions, student)).completed_at


async def test_a_quest_is_complete_for_the_student_who_did_it_alone(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    classmate = await spark.sign_in()
    await enrol_in(sessions, classmate, assignment)
    await complete(sessions, classmate, *await tasks_of(sessions, classmate))
    await spark.submit(submission(student, assignment))
    assert (await get_enrolment(sessions, student)).completed_at is None


async def test_optional_tasks_do_not_keep_a_quest_open(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    async with sessions() as session, session.begin():
        await session.execute(
            update(CourseQuestTask)
            .where(CourseQuestTask.quest_id == assignment.quest_id, CourseQuestTask.order_index > 1)
            .values(is_required=False)
        )
    await spark.submit(submission(student, assignment))
    assert (await get_enrolment(sessions, student)).completed_at


async def test_a_finished_quest_stays_finished_when_a_finished_task_is_handed_in_again(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    await spark.submit(submission(student, assignment))
    _, *others = await tasks_of(sessions, student)
    await complete(sessions, student, *others)
    done_at = datetime(2026, 1, 2, tzinfo=UTC)
    await set_enrolment(sessions, student, completed_at=done_at, is_active=False)
    await spark.submit(submission(student, assignment, submission_text="A typo mended."))
    enrolment = await get_enrolment(sessions, student)
    assert (enrolment.completed_at, enrolment.is_active) == (done_at, False)


@pytest.mark.parametrize("completed_at", [None, datetime(2026, 1, 2, tzinfo=UTC)])
async def test_a_quest_with_an_open_task_is_taken_up_again(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    completed_at: datetime | None,
) -> None:
    await enrol_in(sessions, student, assignment)
    await set_enrolment(sessions, student, is_active=False, completed_at=completed_at)
    await spark.submit(submission(student, assignment))
    enrolment = await get_enrolment(sessions, student)
    assert (enrolment.completed_at, enrolment.is_active) == (None, True)


async def test_a_duplicate_leaves_the_enrolment_alone(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    await spark.submit(submission(student, assignment, submission_text="Rain."))
    await set_enrolment(sessions, student, is_active=False)
    again = await spark.submit(submission(student, assignment, submission_text="Rain."))
    assert again.json()["duplicate"]
    assert not (await get_enrolment(sessions, student)).is_active


async def test_xp_goes_to_the_pillar_of_the_task(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    other = await create_assignment(sessions)
    for work in (assignment, other):
        assert (await spark.submit(submission(student, work))).json()["xp_awarded"] == 100
    assert await total_xp(sessions, student.user_id) == 200
