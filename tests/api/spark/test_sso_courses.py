"""The `courses` claim: enrolled at every sign-in in exactly the courses it names (CONTRACT 8.4)."""

import secrets
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Row, select, text, update

from app.database import Sessions
from app.models import ActivityEvent, UserQuest
from app.settings import Settings
from tests.api.spark.conftest import spark_at
from tests.support.courses import (
    Course,
    course,
    enrolments_of,
    hand_in,
    items,
    synced,
    tasks_of,
    titles_of,
)
from tests.support.patience import patient
from tests.support.spark import SignedIn, Spark


def ids(*courses: Course) -> list[str]:
    return [one["spark_course_id"] for one in courses]


async def set_enrolments(sessions: Sessions, student: SignedIn, **values: object) -> None:
    async with sessions() as session, session.begin():
        await session.execute(
            update(UserQuest).where(UserQuest.user_id == UUID(student.user_id)).values(**values)
        )


# ---------------------------------------------------------------------------- named


async def test_a_student_is_enrolled_in_exactly_the_courses_named(
    spark: Spark, sessions: Sessions
) -> None:
    courses = [course("one"), course("one"), course("one")]
    quests = [await synced(spark, one) for one in courses]
    student = await spark.sign_in(courses=[*ids(*courses[:2]), "no_such_course"])
    assert await enrolments_of(sessions, student) == dict.fromkeys(quests[:2], True)
    for quest_id in quests[:2]:
        assert await titles_of(sessions, student, quest_id) == ["Do one"]


async def test_every_sign_in_enrols(spark: Spark, sessions: Sessions) -> None:
    """DEFECTS 17: the predecessor enrolled only at the first one."""
    student = await spark.sign_in()
    first, second = course("one"), course("one")
    quests = [await synced(spark, one) for one in (first, second)]
    for named in ([first], [first, second], [second]):
        await spark.sign_in(sub=student.spark_user_id, courses=ids(*named))
    assert await enrolments_of(sessions, student) == dict.fromkeys(quests, True)
    for quest_id in quests:
        assert await titles_of(sessions, student, quest_id) == ["Do one"]


async def test_integers_name_courses(spark: Spark, sessions: Sessions) -> None:
    number = secrets.randbelow(10**12)
    quest_id = await synced(spark, course("one", spark_course_id=number))
    student = await spark.sign_in(courses=[number, str(number)])
    assert await enrolments_of(sessions, student) == {quest_id: True}


async def test_an_enrolment_that_was_set_down_is_taken_up_with_what_came_meanwhile(
    spark: Spark, sessions: Sessions
) -> None:
    payload = course("one")
    quest_id = await synced(spark, payload)
    student = await spark.sign_in(courses=ids(payload))
    await set_enrolments(sessions, student, is_active=False)
    await synced(spark, payload | {"assignments": items("one", "two")})
    assert await titles_of(sessions, student, quest_id) == ["Do one"]
    await spark.sign_in(sub=student.spark_user_id, courses=ids(payload))
    assert await enrolments_of(sessions, student) == {quest_id: True}
    assert await titles_of(sessions, student, quest_id) == ["Do one", "Do two"]


async def test_a_due_date_and_the_main_apps_values_are_copied(
    spark: Spark, sessions: Sessions
) -> None:
    payload = course(assignments=items("one", due_date="2026-12-01T10:00:00+02:00"))
    quest_id = await synced(spark, payload)
    async with sessions() as session, session.begin():
        await session.execute(
            text(
                "update course_quest_tasks set xp_value = 70, pillar = 'art' where quest_id = :id"
            ),
            {"id": UUID(quest_id)},
        )
    student = await spark.sign_in(courses=ids(payload))
    [task] = await tasks_of(sessions, student, quest_id)
    assert task.due_date.isoformat() == "2026-12-01T08:00:00+00:00"
    assert (task.xp_value, task.pillar, task.is_required) == (70, "art", True)
    assert (await spark.submit(hand_in(student, payload, "one"))).json()["xp_awarded"] == 70


async def test_a_retired_assignment_is_not_copied(spark: Spark, sessions: Sessions) -> None:
    payload = course("one", "two")
    quest_id = await synced(spark, payload)
    await synced(spark, payload | {"assignments": items("two")})
    student = await spark.sign_in(courses=ids(payload))
    assert await titles_of(sessions, student, quest_id) == ["Do two"]


async def test_a_course_of_another_organisation_enrols_too_if_it_is_named(
    spark: Spark, sessions: Sessions
) -> None:
    """Who moves to another school is not kept out by the first one."""
    before, after = course("one"), course("one")
    quests = [await synced(spark, one) for one in (before, after)]
    student = await spark.sign_in(courses=ids(before))
    await spark.sign_in(sub=student.spark_user_id, courses=ids(after))
    assert await enrolments_of(sessions, student) == dict.fromkeys(quests, True)


async def test_of_one_course_id_in_two_organisations_the_students_own_is_meant(
    spark: Spark, sessions: Sessions
) -> None:
    mine, theirs = course("one"), course("one")
    shared = course("one", spark_org_id=mine["spark_org_id"])
    twin = shared | {"spark_org_id": theirs["spark_org_id"]}
    quests = [await synced(spark, one) for one in (mine, theirs, shared, twin)]
    student = await spark.sign_in(courses=ids(mine))
    await spark.sign_in(sub=student.spark_user_id, courses=ids(shared))
    assert set(await enrolments_of(sessions, student)) == {quests[0], quests[2]}


# ---------------------------------------------------------------------------- not named


@pytest.mark.parametrize("enrols_all", [True, False])
async def test_an_empty_list_means_none(
    settings: Settings, spark: Spark, sessions: Sessions, *, enrols_all: bool
) -> None:
    """DEFECTS 18: to the predecessor it meant all."""
    await synced(spark, course("one"))
    async with spark_at(settings, sso_enrol_all=enrols_all) as lms:
        student = await lms.sign_in(courses=[])
    assert await enrolments_of(sessions, student) == {}


async def test_without_a_claim_nobody_is_enrolled(spark: Spark, sessions: Sessions) -> None:
    await synced(spark, course("one"))
    assert await enrolments_of(sessions, await spark.sign_in()) == {}


async def test_an_empty_list_ends_no_enrolment(spark: Spark, sessions: Sessions) -> None:
    payload = course("one")
    quest_id = await synced(spark, payload)
    student = await spark.sign_in(courses=ids(payload))
    await spark.sign_in(sub=student.spark_user_id, courses=[])
    assert await enrolments_of(sessions, student) == {quest_id: True}


async def test_without_a_claim_a_setting_enrols_in_the_students_own_organisation(
    settings: Settings, spark: Spark, sessions: Sessions
) -> None:
    mine, theirs = course("one"), course("one")
    more = course("one", spark_org_id=mine["spark_org_id"])
    quests = [await synced(spark, one) for one in (mine, theirs, more)]
    student = await spark.sign_in(courses=ids(mine))
    async with spark_at(settings, sso_enrol_all=True) as lms:
        await lms.sign_in(sub=student.spark_user_id)
    enrolled = await enrolments_of(sessions, student)
    assert {quests[0], quests[2]} <= enrolled.keys()
    assert quests[1] not in enrolled


# ---------------------------------------------------------------------------- trouble


async def events_of(sessions: Sessions, student: SignedIn) -> list[Row[Any]]:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(ActivityEvent.event_type, ActivityEvent.event_data)
            .where(ActivityEvent.user_id == UUID(student.user_id))
            .order_by(ActivityEvent.created_at)
        )
        return list(found.all())


async def test_trouble_with_the_enrolment_is_an_event_and_no_end_of_the_sign_in(
    settings: Settings, spark: Spark, sessions: Sessions
) -> None:
    """Somebody holds the course for longer than a statement may take."""
    payload = course("one")
    quest_id = await synced(spark, payload)
    async with (
        spark_at(settings, statement_timeout_seconds=patient(0.5)) as lms,
        sessions() as holder,
    ):
        async with holder.begin():
            held = text("select 1 from quests where id = :id for update")
            await holder.execute(held, {"id": UUID(quest_id)})
            student = await lms.sign_in(courses=ids(payload))
        assert await enrolments_of(sessions, student) == {}
        failed = [
            event.event_data
            for event in await events_of(sessions, student)
            if event.event_type == "spark_enrolment_failed"
        ]
        assert failed == [{"error_type": "enrolment_error", "error_message": "TimeoutError"}]
        await lms.sign_in(sub=student.spark_user_id, courses=ids(payload))
    assert await enrolments_of(sessions, student) == {quest_id: True}
