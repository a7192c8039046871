"""Rosters from Spark (CONTRACT 8.6): students enrolled before they sign in, and dropped."""

import asyncio
import json
import secrets
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import func, insert, select, update

from app.accounts.students import unroutable_email
from app.database import Sessions
from app.models import ActivityEvent, LmsIntegration, LmsSession, User, UserQuest
from tests.support.canaries import CANARIES
from tests.support.kinds import ADMIN
from tests.support.problems import assert_problem
from tests.support.roster import (
    COUNTS,
    Course,
    counts,
    entry,
    new_student,
    roster,
    send,
    sync_course,
)
from tests.support.spark import Spark, submission
from tests.support.stored import audited, deliveries_of


@pytest.fixture
async def course(spark: Spark) -> Course:
    return await sync_course(spark)


async def user_of(sessions: Sessions, student: str) -> Any:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(User, LmsIntegration.sync_status)
            .join(LmsIntegration, LmsIntegration.user_id == User.id)
            .where(LmsIntegration.lms_user_id == student)
        )
        return found.one_or_none()


async def enrolments(sessions: Sessions, course: Course) -> dict[str, bool]:
    """Whether each student who ever was is active."""
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(LmsIntegration.lms_user_id, UserQuest.is_active)
            .join(UserQuest, UserQuest.user_id == LmsIntegration.user_id)
            .where(UserQuest.quest_id == course.quest_id)
        )
        return {row.lms_user_id: row.is_active for row in found}


async def set_user(sessions: Sessions, student: str, **values: object) -> None:
    async with sessions() as session, session.begin():
        mine = select(LmsIntegration.user_id).where(LmsIntegration.lms_user_id == student)
        await session.execute(update(User).where(User.id.in_(mine)).values(**values))


async def pause(sessions: Sessions, student: str) -> None:
    async with sessions() as session, session.begin():
        await session.execute(
            update(LmsIntegration)
            .where(LmsIntegration.lms_user_id == student)
            .values(sync_status="paused")
        )


async def add_user(sessions: Sessions, email: str, role: str) -> UUID:
    user_id = uuid4()
    async with sessions() as session, session.begin():
        await session.execute(insert(User).values(id=user_id, email=email, role=role))
    return user_id


# ---------------------------------------------------------------------------- enrolling


async def test_homework_may_come_before_the_first_sign_in(
    spark: Spark, course: Course, sessions: Sessions
) -> None:
    student = new_student()
    email = f"{student}@example.com"
    answer = await send(spark, roster(course, entry(student, email=email, given_name="Ada")))
    assert counts(answer) == COUNTS | {"enrolled": 1, "users_created": 1}

    handed_in = await spark.submit(
        submission(course.signed_in(student), course.assignment)  # nobody signed in so far
    )
    assert handed_in.status_code == 200, handed_in.text
    made = await user_of(sessions, student)
    assert (made.email, made.first_name, made.role) == (email, "Ada", "student")

    entered = await spark.sign_in(sub=student, email=email)
    assert entered.user_id == str(made.id)
    assert handed_in.json()["quest_id"] == str(course.quest_id)


async def test_one_student_needs_no_list(spark: Spark, course: Course, sessions: Sessions) -> None:
    student = new_student()
    flat = roster(course) | entry(student)
    del flat["entries"]
    assert counts(await send(spark, flat)) == COUNTS | {"enrolled": 1, "users_created": 1}
    assert await enrolments(sessions, course) == {student: True}
    refused = assert_problem(await send(spark, flat | {"action": ...}), 400, "field_missing")
    assert refused["error"] == "Missing required field: action"


async def test_the_same_again_changes_nothing(
    spark: Spark, course: Course, sessions: Sessions
) -> None:
    message = roster(course, *(entry(new_student()) for _ in range(3)))
    await send(spark, message)
    assert counts(await send(spark, message)) == COUNTS | {"unchanged": 3}
    assert list((await enrolments(sessions, course)).values()) == [True] * 3


async def test_ten_rosters_and_sign_ins_at_once_make_one_account_each(
    lms: Spark, course: Course, sessions: Sessions
) -> None:
    students = [new_student() for _ in range(10)]
    entries = [entry(student, email=f"{student}@example.com") for student in students]
    answers = await asyncio.gather(
        *(send(lms, roster(course, *entries[turn:], *entries[:turn])) for turn in range(10)),
        *(lms.launch_code(sub=student, email=f"{student}@example.com") for student in students),
    )
    enrolled = [answer for answer in answers if isinstance(answer, httpx.Response)]
    assert {answer.status_code for answer in enrolled} == {200}
    assert sum(answer.json()["enrolled"] for answer in enrolled) == 10
    assert await enrolments(sessions, course) == dict.fromkeys(students, True)
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(func.count())
            .select_from(User)
            .where(User.email.in_([f"{student}@example.com" for student in students]))
        )
        assert found.scalar_one() == 10


async def test_siblings_share_an_address(spark: Spark, course: Course, sessions: Sessions) -> None:
    one, two = new_student(), new_student()
    email = f"{one}@example.com"
    answer = await send(spark, roster(course, entry(one, email=email), entry(two, email=email)))
    assert counts(answer) == COUNTS | {"enrolled": 2, "users_created": 2}
    addresses = {(await user_of(sessions, student)).email for student in (one, two)}
    assert email in addresses
    assert addresses & {unroutable_email(one), unroutable_email(two)}


async def test_a_plain_account_is_linked_by_its_address(
    spark: Spark, course: Course, sessions: Sessions
) -> None:
    student = new_student()
    user_id = await add_user(sessions, f"{student}@example.com", "student")
    answer = await send(spark, roster(course, entry(student, email=f"{student}@EXAMPLE.com")))
    assert counts(answer) == COUNTS | {"enrolled": 1}
    assert (await user_of(sessions, student)).id == user_id


async def test_a_synthesised_address_gives_way_to_a_free_real_one(
    spark: Spark, course: Course, sessions: Sessions
) -> None:
    student, other = new_student(), new_student()
    await send(spark, roster(course, entry(student)))
    await add_user(sessions, f"{other}@example.com", "student")
    for email, kept in (
        (f"{other}@example.com", unroutable_email(student)),  # it is somebody's
        (f"{student}@example.com", f"{student}@example.com"),
        (f"later.{student}@example.com", f"{student}@example.com"),  # a real one stays
    ):
        await send(spark, roster(course, entry(student, email=email)))
        assert (await user_of(sessions, student)).email == kept


@pytest.mark.parametrize("role", [ADMIN, "advisor", "parent", "observer"])
async def test_staff_is_neither_linked_nor_changed(
    spark: Spark, course: Course, sessions: Sessions, role: str
) -> None:
    student, fine = new_student(), new_student()
    staff = await add_user(sessions, f"{student}@example.com", role)
    answer = await send(
        spark, roster(course, entry(student, email=f"{student}@example.com"), entry(fine))
    )
    assert counts(answer) == COUNTS | {"enrolled": 1, "users_created": 1, "errors": 1}
    [fault] = answer.json()["errors"]
    assert (fault["index"], fault["spark_user_id"]) == (0, student)
    assert fault["code"] == "account_link_forbidden"
    assert await user_of(sessions, student) is None
    async with sessions() as session, session.begin():
        found = await session.execute(select(User.role, User.email).where(User.id == staff))
        assert tuple(found.one()) == (role, f"{student}@example.com")


@pytest.mark.parametrize("action", ["enroll", "drop"])
@pytest.mark.parametrize("row", ["P093"])
async def test_paused_links_and_accounts_under_deletion_are_not_touched(
    spark: Spark, course: Course, sessions: Sessions, action: str, row: str
) -> None:
    paused, leaving, fine = new_student(), new_student(), new_student()
    if action == "drop":
        await send(spark, roster(course, *map(entry, (paused, leaving, fine))))
    else:
        await asyncio.gather(*(spark.sign_in(sub=name) for name in (paused, leaving, fine)))
    await pause(sessions, paused)
    await set_user(sessions, leaving, deletion_status="pending")
    before = await enrolments(sessions, course)
    answer = await send(
        spark, roster(course, *(entry(name, action) for name in (paused, leaving, fine)))
    )
    done = {"enrolled": 1} if action == "enroll" else {"dropped": 1}
    assert counts(answer) == COUNTS | done | {"errors": 2}
    assert [fault["code"] for fault in answer.json()["errors"]] == ["account_inactive"] * 2
    assert await enrolments(sessions, course) == before | {fine: action == "enroll"}


# ---------------------------------------------------------------------------- dropping


async def test_who_is_dropped_keeps_everything_and_is_signed_out_with_the_last_course(
    spark: Spark, course: Course, sessions: Sessions
) -> None:
    other = await sync_course(spark)
    student = await spark.sign_in()
    name = student.spark_user_id
    for each in (course, other):
        await send(spark, roster(each, entry(name)))
    await spark.submit(submission(student, course.assignment))

    async def alive() -> bool:
        async with sessions() as session, session.begin():
            found = await session.execute(
                select(LmsSession.revoked_at).where(LmsSession.user_id == student.user_id)
            )
            return found.scalar_one() is None

    assert counts(await send(spark, roster(course, entry(name, "drop"))))["dropped"] == 1
    assert await enrolments(sessions, course) == {name: False}
    assert await alive()
    assert await audited(sessions, student.user_id) == []
    await send(spark, roster(other, entry(name, "drop")))
    assert not await alive()
    ended = ("/spark/webhook/roster", "authn_token_revoked", {"sessions": 1})
    assert await audited(sessions, student.user_id) == [ended]

    assert counts(await send(spark, roster(course, entry(name, "drop"))))["unchanged"] == 1
    assert counts(await send(spark, roster(course, entry(name))))["enrolled"] == 1
    assert await enrolments(sessions, course) == {name: True}


async def test_who_never_was_here_need_not_be_dropped(
    spark: Spark, course: Course, sessions: Sessions
) -> None:
    student = new_student()
    answer = await send(spark, roster(course, entry(student, "drop")))
    assert counts(answer) == COUNTS | {"unchanged": 1}
    assert await user_of(sessions, student) is None


# ---------------------------------------------------------------------------- refused


async def test_an_unknown_course_is_refused_and_changes_nothing(
    spark: Spark, course: Course, sessions: Sessions
) -> None:
    student = new_student()
    for changes in ({"spark_course_id": "no_such_course"}, {"spark_org_id": "another"}):
        assert_problem(
            await send(spark, roster(course, entry(student)) | changes), 400, "course_not_found"
        )
    assert await user_of(sessions, student) is None


async def test_a_course_of_two_organisations_needs_the_organisation(
    spark: Spark, course: Course, sessions: Sessions
) -> None:
    twin = await sync_course(spark, course_id=course.spark_course_id, org_id="25")
    message = roster(course, entry(new_student()))
    refused = assert_problem(
        await send(spark, message | {"spark_org_id": ...}), 400, "course_not_found"
    )
    assert "spark_org_id" in str(refused["hint"])
    assert counts(await send(spark, message | {"spark_org_id": "25"}))["enrolled"] == 1
    assert len(await enrolments(sessions, twin)) == 1
    assert await enrolments(sessions, course) == {}


FAULTY: Mapping[str, dict[str, Any]] = {
    "unknown action": {"action": "delete"},
    "no id": {"spark_user_id": ...},
    "a blank id": {"spark_user_id": " "},
}


@pytest.mark.parametrize("changes", [pytest.param(FAULTY[name], id=name) for name in FAULTY])
async def test_a_faulty_entry_refuses_the_whole_message_and_is_named(
    spark: Spark, course: Course, sessions: Sessions, changes: dict[str, Any]
) -> None:
    good, faulty = entry(new_student()), entry(new_student()) | changes
    answer = await send(spark, roster(course, good, faulty))
    refused = assert_problem(answer, 400, "field_invalid")
    assert str(refused["error"]).startswith("Invalid field: entries.1.")
    assert await enrolments(sessions, course) == {}


async def test_a_student_who_is_named_twice_refuses_the_message(
    spark: Spark, course: Course
) -> None:
    student = new_student()
    answer = await send(spark, roster(course, entry(student), entry(student, "drop")))
    refused = assert_problem(answer, 400, "field_invalid")
    assert refused["hint"] == "entry 1 repeats a spark_user_id"


async def test_five_thousand_entries_are_the_most(
    spark: Spark, course: Course, sessions: Sessions
) -> None:
    most = [entry(f"{new_student()}_{number}") for number in range(5000)]
    too_many = roster(course, *most, entry(new_student()))
    assert_problem(await send(spark, too_many), 400, "field_invalid")
    answer = await send(spark, roster(course, *most))
    assert counts(answer) == COUNTS | {"enrolled": 5000, "users_created": 5000}
    assert counts(await send(spark, roster(course, *most))) == COUNTS | {"unchanged": 5000}


async def test_a_roster_without_a_right_signature_changes_nothing(
    lms: Spark, course: Course, sessions: Sessions
) -> None:
    raw = json.dumps(roster(course, entry(new_student()))).encode()
    answer = await send(lms, raw, signature="0" * 64)
    assert_problem(answer, 401, "signature_invalid")
    assert await enrolments(sessions, course) == {}


# ---------------------------------------------------------------------------- what is left behind


async def test_a_rehearsal_lists_problems_and_keeps_nothing(
    spark: Spark, course: Course, sessions: Sessions
) -> None:
    student, staff = new_student(), new_student()
    await add_user(sessions, f"{staff}@example.com", ADMIN)
    message = roster(course, entry(student), entry(staff, email=f"{staff}@example.com"))
    body = (await send(spark, message, dry_run="true")).json()
    assert (body["status"], body["would"]) == ("dry_run", "revise")
    [problem] = body["problems"]
    assert problem["code"] == "account_link_forbidden"
    assert problem["hint"].startswith("entries.1: ")
    assert await user_of(sessions, student) is None
    assert await deliveries_of(sessions, json.dumps(message).encode()) == []

    for changes, code in (
        ({"spark_course_id": "no_such_course"}, "course_not_found"),
        ({"entries": ...}, "field_missing"),
    ):
        body = (await send(spark, message | changes, dry_run="true")).json()
        assert body["would"] == "refuse"
        assert [problem["code"] for problem in body["problems"]] == [code]


async def test_event_and_inbox_name_nobody(
    spark: Spark, course: Course, sessions: Sessions
) -> None:
    student = new_student()
    email = f"{student}@example.com"
    CANARIES.release(email)
    raw = json.dumps(roster(course, entry(student, email=email))).encode()
    await send(spark, raw)
    [delivery] = await deliveries_of(sessions, raw)
    assert (delivery.status, delivery.spark_course_id) == (200, course.spark_course_id)
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(ActivityEvent.event_type, ActivityEvent.event_data).where(
                ActivityEvent.session_id == delivery.id
            )
        )
        [event] = found.all()
    assert event.event_type == "spark_roster_success"
    assert event.event_data == {"spark_course_id": course.spark_course_id} | COUNTS | {
        "enrolled": 1,
        "users_created": 1,
    }


async def test_it_may_be_signed_by_standard_webhooks(spark: Spark, course: Course) -> None:
    raw = json.dumps(roster(course, entry(f"student_{secrets.token_hex(6)}"))).encode()
    answer = await spark.browser.post(
        "/spark/webhook/roster",
        content=raw,
        headers={"Content-Type": "application/json"} | spark.sign_v1(raw),
    )
    assert counts(answer)["enrolled"] == 1
