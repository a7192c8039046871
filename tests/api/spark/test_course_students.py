"""What a sync does to students who are enrolled (DEFECTS 2, 16, 47, 48; FAULTS P167, P169)."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import func, insert, select, text, update

from app.database import Sessions
from app.learning.course_enrolment import enrol_students
from app.models import (
    CourseQuestTask,
    EvidenceDocument,
    LmsIntegration,
    User,
    UserQuest,
    UserQuestTask,
)
from tests.support.courses import (
    Course,
    course,
    enrolments_of,
    hand_in,
    items,
    synced,
    tasks_of,
    templates,
    titles_of,
)
from tests.support.problems import assert_problem
from tests.support.spark import SignedIn, Spark
from tests.support.stored import ONCE, blocks_of, kept, total_xp


async def enrolled_in(spark: Spark, payload: Course) -> tuple[str, SignedIn]:
    """The quest, and a student whom the sign-in enrolled in it."""
    quest_id = await synced(spark, payload)
    return quest_id, await spark.sign_in(courses=[payload["spark_course_id"]])


async def set_enrolment(sessions: Sessions, student: SignedIn, **values: object) -> None:
    async with sessions() as session, session.begin():
        await session.execute(
            update(UserQuest).where(UserQuest.user_id == UUID(student.user_id)).values(**values)
        )


async def begin_draft(sessions: Sessions, student: SignedIn, task_id: UUID) -> None:
    quest_id = select(UserQuestTask.quest_id).where(UserQuestTask.id == task_id)
    draft = {"user_id": UUID(student.user_id), "quest_id": quest_id.scalar_subquery()}
    async with sessions() as session, session.begin():
        await session.execute(insert(EvidenceDocument).values(draft | {"task_id": task_id}))


async def completed_at(sessions: Sessions, student: SignedIn) -> datetime | None:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(UserQuest.completed_at).where(UserQuest.user_id == UUID(student.user_id))
        )
        moment: datetime | None = found.scalar_one()
        return moment


# ---------------------------------------------------------------------------- the whole way


async def test_a_course_is_synced_entered_and_handed_in_for(
    spark: Spark, sessions: Sessions
) -> None:
    payload = course("one", "two", "three")
    quest_id, student = await enrolled_in(spark, payload)
    assert await titles_of(sessions, student, quest_id) == ["Do one", "Do two", "Do three"]
    answers = [
        (await spark.submit(hand_in(student, payload, name))).json() for name in ("two", "one")
    ]
    assert [answer["quest_id"] for answer in answers] == [quest_id] * 2
    assert len({answer["task_id"] for answer in answers}) == 2
    assert [answer["xp_awarded"] for answer in answers] == [100, 100]
    assert await completed_at(sessions, student) is None
    last = (await spark.submit(hand_in(student, payload, "three"))).json()
    assert last["xp_awarded"] == 100
    assert await completed_at(sessions, student) is not None
    assert await total_xp(sessions, student.user_id) == 300


async def test_a_student_of_a_roster_hands_in_before_the_first_sign_in(
    spark: Spark, sessions: Sessions
) -> None:
    payload = course("one", "two")
    quest_id = await synced(spark, payload)
    student = await on_a_roster(spark, sessions, quest_id)
    answer = await spark.submit(hand_in(student, payload, "two"))
    assert answer.status_code == 200, answer.text
    assert (await spark.sign_in(sub=student.spark_user_id)).user_id == student.user_id
    assert await titles_of(sessions, student, quest_id) == ["Do one", "Do two"]


async def on_a_roster(spark: Spark, sessions: Sessions, quest_id: str) -> SignedIn:
    """A user and an enrolment that no sign-in has made."""
    claims = spark.claims()
    async with sessions() as session, session.begin():
        user_id = UUID(int=int.from_bytes(str(claims["sub"]).encode()[-16:], "big"))
        await session.execute(
            insert(User).values(id=user_id, email=claims["email"], role="student")
        )
        await session.execute(
            insert(LmsIntegration).values(
                user_id=user_id, lms_platform="spark", lms_user_id=claims["sub"]
            )
        )
        await enrol_students(session, [(user_id, UUID(quest_id))] * 2, now=datetime.now(tz=UTC))
    return SignedIn(str(claims["sub"]), str(user_id), "", "")


@pytest.mark.parametrize("row", ["P167"])
async def test_first_submissions_at_once_make_one_enrolment(
    spark: Spark, sessions: Sessions, row: str
) -> None:
    names = [f"a{number}" for number in range(6)]
    payload = course(*names)
    quest_id = await synced(spark, payload)
    student = await spark.sign_in()
    answers = await asyncio.gather(
        *(spark.submit(hand_in(student, payload, name)) for name in names)
    )
    assert [answer.status_code for answer in answers] == [200] * len(names)
    assert await enrolments_of(sessions, student) == {quest_id: True}
    assert len(await tasks_of(sessions, student, quest_id)) == len(names)
    assert len({answer.json()["task_id"] for answer in answers}) == len(names)
    assert await completed_at(sessions, student) is not None


@pytest.mark.parametrize(
    ("values", "status", "code"),
    [
        ({}, 404, "user_not_found"),
        ({"sync_status": "paused"}, 403, "account_inactive"),
        ({"sync_enabled": False}, 403, "account_inactive"),
    ],
    ids=["P093-unknown", "P093-paused", "P093-disabled"],
)
async def test_an_enrolment_lets_nobody_in_who_is_not_active(
    spark: Spark, sessions: Sessions, values: dict[str, object], status: int, code: str
) -> None:
    payload = course("one")
    _, student = await enrolled_in(spark, payload)
    change = hand_in(student, payload, "one")
    if values:
        async with sessions() as session, session.begin():
            await session.execute(
                update(LmsIntegration)
                .where(LmsIntegration.user_id == UUID(student.user_id))
                .values(**values)
            )
    else:
        change["spark_user_id"] += "_of_another_school"
    assert_problem(await spark.submit(change), status, code)


# ---------------------------------------------------------------------------- following


async def test_new_assignments_reach_who_is_enrolled(spark: Spark, sessions: Sessions) -> None:
    payload = course("one")
    quest_id, student = await enrolled_in(spark, payload)
    other = await spark.sign_in(courses=[payload["spark_course_id"]])
    await synced(spark, payload | {"assignments": items("zero", "one", "two")})
    for each in (student, other):
        assert await titles_of(sessions, each, quest_id) == ["Do zero", "Do one", "Do two"]
    tasks = await tasks_of(sessions, student, quest_id)
    assert {(task.is_required, task.xp_value, task.pillar) for task in tasks} == {
        (True, 100, "stem")
    }


async def test_a_template_of_the_main_app_reaches_them_with_the_next_sync(
    spark: Spark, sessions: Sessions
) -> None:
    payload = course("one")
    quest_id, student = await enrolled_in(spark, payload)
    async with sessions() as session, session.begin():
        await session.execute(
            insert(CourseQuestTask).values(
                quest_id=UUID(quest_id), title="Teacher's own", pillar="art", order_index=9
            )
        )
    await synced(spark, payload | {"assignments": items("two")})
    assert await titles_of(sessions, student, quest_id) == ["Do one", "Do two", "Teacher's own"]
    own = (await tasks_of(sessions, student, quest_id))[-1]
    assert (own.is_required, own.pillar) == (True, "art")


async def test_untouched_tasks_follow(spark: Spark, sessions: Sessions) -> None:
    payload = course("one", "two")
    quest_id, student = await enrolled_in(spark, payload)
    before = {task.id for task in await tasks_of(sessions, student, quest_id)}
    changed = items("two", "one", title="Anew", description="Other")
    await synced(spark, payload | {"assignments": changed})
    found = await tasks_of(sessions, student, quest_id)
    assert [(task.title, task.description) for task in found] == [("Anew", "Other")] * 2
    by_template = {task.source_task_id: task.order_index for task in found}
    assert by_template == {
        task.id: task.order_index for task in await templates(sessions, quest_id)
    }
    assert {task.id for task in found} == before


async def test_tasks_with_work_keep_their_titles(spark: Spark, sessions: Sessions) -> None:
    """One was handed in, one is a draft, one is untouched."""
    payload = course("one", "two", "three")
    quest_id, student = await enrolled_in(spark, payload)
    await spark.submit(hand_in(student, payload, "one"))
    await begin_draft(sessions, student, (await tasks_of(sessions, student, quest_id))[1].id)
    await synced(spark, payload | {"assignments": items("three", "two", "one", title="Anew")})
    found = await tasks_of(sessions, student, quest_id)
    assert sorted((task.title, task.order_index) for task in found) == [
        ("Anew", 0),
        ("Do one", 0),
        ("Do two", 1),
    ]


async def test_a_task_of_one_students_work_follows_for_the_others(
    spark: Spark, sessions: Sessions
) -> None:
    payload = course("one")
    quest_id, student = await enrolled_in(spark, payload)
    other = await spark.sign_in(courses=[payload["spark_course_id"]])
    await spark.submit(hand_in(student, payload, "one"))
    await synced(spark, payload | {"assignments": items("one", title="Anew")})
    assert await titles_of(sessions, student, quest_id) == ["Do one"]
    assert await titles_of(sessions, other, quest_id) == ["Anew"]


@pytest.mark.parametrize("due", ["2027-01-31T12:00:00Z", None])
async def test_a_due_date_follows_even_where_work_began(
    spark: Spark, sessions: Sessions, due: str | None
) -> None:
    payload = course(assignments=items("one", "two", due_date="2026-12-01T12:00:00Z"))
    quest_id, student = await enrolled_in(spark, payload)
    one, _ = await tasks_of(sessions, student, quest_id)
    await begin_draft(sessions, student, one.id)
    await synced(spark, payload | {"assignments": items("one", "two", due_date=due)})
    expected = datetime(2027, 1, 31, 12, tzinfo=UTC) if due else None
    found = await tasks_of(sessions, student, quest_id)
    assert [task.due_date for task in found] == [expected] * 2


async def test_what_the_main_app_set_on_a_copy_stays(spark: Spark, sessions: Sessions) -> None:
    payload = course("one")
    quest_id, student = await enrolled_in(spark, payload)
    async with sessions() as session, session.begin():
        await session.execute(
            update(UserQuestTask)
            .where(UserQuestTask.user_id == UUID(student.user_id))
            .values(xp_value=300, pillar="civics")
        )
    await synced(spark, payload | {"assignments": items("one", title="Anew")})
    [task] = await tasks_of(sessions, student, quest_id)
    assert (task.title, task.xp_value, task.pillar) == ("Anew", 300, "civics")


async def test_tasks_a_student_added_stay_as_they_are(spark: Spark, sessions: Sessions) -> None:
    payload = course("one")
    quest_id, student = await enrolled_in(spark, payload)
    [task] = await tasks_of(sessions, student, quest_id)
    async with sessions() as session, session.begin():
        await session.execute(
            insert(UserQuestTask).values(
                user_id=UUID(student.user_id),
                quest_id=UUID(quest_id),
                user_quest_id=task.user_quest_id,
                title="My own idea",
                pillar="art",
                is_manual=True,
                order_index=7,
            )
        )
    await synced(spark, payload | {"assignments": items("one", "two", title="Anew")})
    assert await titles_of(sessions, student, quest_id) == ["Anew", "Anew", "My own idea"]


# ---------------------------------------------------------------------------- inactive


async def test_who_set_the_quest_down_gets_what_was_added_with_the_next_submission(
    spark: Spark, sessions: Sessions
) -> None:
    payload = course("one")
    quest_id, student = await enrolled_in(spark, payload)
    await set_enrolment(sessions, student, is_active=False)
    await synced(spark, payload | {"assignments": items("one", "two", "three")})
    assert await titles_of(sessions, student, quest_id) == ["Do one"]
    answer = await spark.submit(hand_in(student, payload, "two"))
    assert answer.status_code == 200, answer.text
    assert await titles_of(sessions, student, quest_id) == ["Do one", "Do two", "Do three"]
    assert await enrolments_of(sessions, student) == {quest_id: True}
    assert await completed_at(sessions, student) is None


# ---------------------------------------------------------------------------- retired


@pytest.mark.parametrize("row", ["P169"])
async def test_an_assignment_that_disappears_takes_no_work_with_it(
    spark: Spark, sessions: Sessions, row: str
) -> None:
    payload = course("one", "two")
    quest_id, student = await enrolled_in(spark, payload)
    message = hand_in(student, payload, "one", submission_text="Kept.")
    first = (await spark.submit(message)).json()
    await synced(spark, payload | {"assignments": items("two")})
    assert await titles_of(sessions, student, quest_id) == ["Do one", "Do two"]
    assert await kept(sessions, student.user_id) == ONCE
    [block] = await blocks_of(sessions, student.user_id)
    assert block.content == {"text": "Kept."}
    assert await total_xp(sessions, student.user_id) == 100
    later = (await spark.submit(hand_in(student, payload, "one"))).json()
    assert (later["completion_id"], later["revision"]) == (first["completion_id"], 2)


async def test_a_retired_assignment_keeps_no_quest_open(spark: Spark, sessions: Sessions) -> None:
    """Neither where nobody has worked nor where a draft was begun."""
    payload = course("untouched", "draft", "last")
    quest_id, student = await enrolled_in(spark, payload)
    await begin_draft(sessions, student, (await tasks_of(sessions, student, quest_id))[1].id)
    await synced(spark, payload | {"assignments": items("last")})
    found = await tasks_of(sessions, student, quest_id)
    assert {task.title: task.is_required for task in found} == {
        "Do untouched": False,
        "Do draft": False,
        "Do last": True,
    }
    await spark.submit(hand_in(student, payload, "last"))
    assert await completed_at(sessions, student) is not None


async def test_an_assignment_that_comes_back_must_be_done_again_once(
    spark: Spark, sessions: Sessions
) -> None:
    payload = course("one", "two")
    quest_id, student = await enrolled_in(spark, payload)
    late = await spark.sign_in()
    await synced(spark, payload | {"assignments": items("two")})
    await spark.sign_in(sub=late.spark_user_id, courses=[payload["spark_course_id"]])
    await synced(spark, payload)
    for each in (student, late):
        found = await tasks_of(sessions, each, quest_id)
        assert [(task.title, task.is_required) for task in found] == [
            ("Do one", True),
            ("Do two", True),
        ]


async def test_nothing_is_ever_deleted(spark: Spark, sessions: Sessions) -> None:
    payload = course("one", "two", "three")
    quest_id, student = await enrolled_in(spark, payload)
    for names in (("four",), ("five", "one"), ("six",)):
        await synced(spark, payload | {"assignments": items(*names)})
    assert len(await templates(sessions, quest_id)) == 6
    assert len(await tasks_of(sessions, student, quest_id)) == 6


@pytest.mark.parametrize("first", ["homework", "sync"])
async def test_templates_that_were_made_anew_are_those_of_their_titles(
    spark: Spark, sessions: Sessions, first: str
) -> None:
    """ADOPTION #20, in a database of our own."""
    payload = course("one", "two")
    quest_id, student = await enrolled_in(spark, payload)
    before = await spark.submit(hand_in(student, payload, "one"))
    async with sessions() as session, session.begin():
        await session.execute(
            text(
                "with gone as (delete from course_quest_tasks where quest_id = :quest_id"
                " returning *) insert into course_quest_tasks (quest_id, title, pillar)"
                " select quest_id, title, pillar from gone"
            ),
            {"quest_id": UUID(quest_id)},
        )
    if first == "sync":
        await synced(spark, payload)
    after = (await spark.submit(hand_in(student, payload, "one"))).json()
    assert (after["task_id"], after["xp_awarded"]) == (before.json()["task_id"], 0)
    await synced(spark, payload)
    assert len(await templates(sessions, quest_id)) == 2
    assert await titles_of(sessions, student, quest_id) == ["Do one", "Do two"]


async def test_a_large_course_reaches_everyone_in_several_steps(
    spark: Spark, sessions: Sessions
) -> None:
    """More copies than one statement takes (`ROWS_AT_ONCE`)."""
    payload = course(assignments=[])
    quest_id = await synced(spark, payload)
    async with sessions() as session, session.begin():
        await session.execute(
            text(
                "with made as (insert into users (id, email, role) select gen_random_uuid(),"
                " gen_random_uuid() || '@example.com', 'student' from generate_series(1, 110)"
                " returning id) insert into user_quests (user_id, quest_id)"
                " select id, cast(:quest_id as uuid) from made"
            ),
            {"quest_id": quest_id},
        )
    names = [f"a{number}" for number in range(200)]
    await synced(spark, payload | {"assignments": items(*names)})
    await synced(spark, payload | {"assignments": items(*names, title="Anew")})
    async with sessions() as session, session.begin():
        counted = await session.execute(
            select(func.count()).where(
                UserQuestTask.quest_id == UUID(quest_id), UserQuestTask.title == "Anew"
            )
        )
        assert counted.scalar_one() == 110 * 200
