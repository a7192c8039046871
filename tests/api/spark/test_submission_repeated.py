"""Submissions that come again: at once, late, with other content (FAULTS I, DESIGN R1-R5)."""

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import insert, select, text

from app.database import Sessions
from app.models import (
    ActivityEvent,
    EvidenceBlock,
    IdempotencyKey,
    SubmissionRevision,
    UserQuest,
    UserQuestTask,
)
from app.settings import Settings
from tests.conftest import create_assignment
from tests.support.bodies import Part, form
from tests.support.elsewhere import run_elsewhere
from tests.support.problems import assert_problem
from tests.support.running import Running
from tests.support.samples import png
from tests.support.spark import Assignment, SignedIn, Spark, minutes_ago, submission
from tests.support.stored import (
    ONCE,
    blocks_of,
    count,
    eventually,
    expire_leases,
    kept,
    total_xp,
)
from tests.support.wire import connect

PICTURE = Part("file1", png(), filename="gauge.png")


async def shown_texts(sessions: Sessions, student: SignedIn) -> list[str]:
    return [block.content["text"] for block in await blocks_of(sessions, student.user_id)]


async def kept_texts(sessions: Sessions, student: SignedIn) -> list[str | None]:
    """The text of every revision, in the order of their numbers."""
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(SubmissionRevision.submission_text)
            .where(SubmissionRevision.user_id == student.user_id)
            .order_by(SubmissionRevision.revision)
        )
        return list(found.scalars())


# ---------------------------------------------------------------------------- the same again


async def test_p158_the_same_request_twice_is_answered_from_the_stored_result(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = json.dumps(submission(student, assignment)).encode()
    first, second = await spark.submit(raw), await spark.submit(raw)
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    changed = {"duplicate": True, "xp_awarded": 0, "request_id": second.headers["x-request-id"]}
    assert second.json() == first.json() | changed
    assert second.json()["request_id"] != first.json()["request_id"]
    assert await kept(sessions, student.user_id) == ONCE


async def test_p159_twenty_identical_requests_at_once_do_everything_once(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = json.dumps(submission(student, assignment)).encode()
    answers = await asyncio.gather(*(spark.submit(raw) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["completion_id"] for answer in answers}) == 1
    assert sorted(answer.json()["xp_awarded"] for answer in answers) == [0] * 19 + [100]
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert await kept(sessions, student.user_id) == ONCE
    assert await total_xp(sessions, student.user_id) == 100


async def test_p159_twenty_identical_requests_at_once_leave_one_event(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = json.dumps(submission(student, assignment)).encode()
    await asyncio.gather(*(spark.submit(raw) for _ in range(20)))
    async with sessions() as session, session.begin():
        events = await session.execute(
            select(ActivityEvent.event_category, ActivityEvent.event_data).where(
                ActivityEvent.user_id == student.user_id,
                ActivityEvent.event_type == "spark_webhook_success",
            )
        )
        category, data = events.one()
    assert category == "lms"
    assert data["spark_assignment_id"] == assignment.spark_assignment_id


async def test_p159_two_instances_share_one_result(
    spark: Spark,
    settings: Settings,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
) -> None:
    raw = json.dumps(submission(student, assignment)).encode()
    async with run_elsewhere(settings) as elsewhere:
        sent = [one.submit(raw) for one in (spark, elsewhere.spark) for _ in range(5)]
        answers = await asyncio.gather(*sent)
    assert {answer.status_code for answer in answers} == {200}
    assert await kept(sessions, student.user_id) == ONCE


async def test_p159_a_message_that_was_answered_is_not_taken_over_when_its_lease_has_ended(
    settings: Settings, student: SignedIn, assignment: Assignment
) -> None:
    raw = json.dumps(submission(student, assignment)).encode()
    async with run_elsewhere(settings, delivery_lease_seconds=0) as elsewhere:
        answers = await asyncio.gather(*(elsewhere.spark.submit(raw) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1


async def test_p162_the_same_content_at_another_time_is_a_duplicate(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    first = await spark.submit(
        submission(student, assignment, submission_text="Rain.", submitted_at=minutes_ago(2))
    )
    again = await spark.submit(submission(student, assignment, submission_text="Rain."))
    assert "idempotent-replayed" not in again.headers
    changed = {"duplicate": True, "xp_awarded": 0, "request_id": again.headers["x-request-id"]}
    assert again.json() == first.json() | changed
    assert await kept(sessions, student.user_id) == ONCE


@pytest.mark.parametrize(
    "change", [{"submission_text": "Other."}, {"grade": 50}, {"spark_course_id": ...}]
)
async def test_other_content_is_a_new_revision(
    spark: Spark, student: SignedIn, assignment: Assignment, change: dict[str, object]
) -> None:
    first = (await spark.submit(submission(student, assignment, submission_text="Rain."))).json()
    second = (
        await spark.submit(submission(student, assignment, **{"submission_text": "Rain."} | change))
    ).json()
    assert second["completion_id"] == first["completion_id"]
    assert second["submission_id"] != first["submission_id"]
    assert (second["revision"], second["duplicate"]) == (2, False)


async def test_p162_every_revision_stays_readable_and_the_last_is_shown(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    for words in ("One.", "Two.", "Three."):
        await spark.submit(submission(student, assignment, submission_text=words))
    assert await kept_texts(sessions, student) == ["One.", "Two.", "Three."]
    assert await shown_texts(sessions, student) == ["Three."]


async def test_p162_xp_is_given_once(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    paid = [
        (await spark.submit(submission(student, assignment, submission_text=words))).json()
        for words in ("One.", "Two.", "Three.")
    ]
    assert [answer["xp_awarded"] for answer in paid] == [100, 0, 0]
    assert await total_xp(sessions, student.user_id) == 100


async def test_p162_blocks_of_the_student_stay_where_they_are(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    await spark.submit(submission(student, assignment, submission_text="One."))
    [block] = await blocks_of(sessions, student.user_id)
    own_id = uuid4()
    async with sessions() as session, session.begin():
        await session.execute(
            insert(EvidenceBlock).values(
                id=own_id,
                document_id=block.document_id,
                block_type="text",
                content={"text": "Mine."},
                order_index=1,
                is_private=True,
            )
        )
    await spark.submit_form(submission(student, assignment, submission_text="Two."), PICTURE)
    first, own, last = await blocks_of(sessions, student.user_id)
    assert (own.id, own.order_index, own.is_private) == (own_id, 1, True)
    assert (first.content, last.block_type) == ({"text": "Two."}, "image")


async def test_content_that_was_replaced_may_come_back(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    for words in ("One.", "Two.", "One."):
        answer = await spark.submit(submission(student, assignment, submission_text=words))
    assert answer.json()["revision"] == 3
    assert await shown_texts(sessions, student) == ["One."]


# ---------------------------------------------------------------------------- late


async def test_an_older_message_that_comes_late_is_kept_and_not_shown(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    await spark.submit(submission(student, assignment, submission_text="New."))
    late = submission(student, assignment, submission_text="Old.", submitted_at=minutes_ago(3))
    answer = (await spark.submit(late)).json()
    assert (answer["revision"], answer["duplicate"]) == (2, False)
    assert await kept_texts(sessions, student) == ["New.", "Old."]
    assert await shown_texts(sessions, student) == ["New."]


async def test_after_a_late_message_the_next_one_replaces_what_is_shown(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    await spark.submit(
        submission(student, assignment, submission_text="1", submitted_at=minutes_ago(2))
    )
    await spark.submit(
        submission(student, assignment, submission_text="0", submitted_at=minutes_ago(3))
    )
    await spark.submit(submission(student, assignment, submission_text="2"))
    assert await shown_texts(sessions, student) == ["2"]


async def test_a_late_message_does_not_replace_raw_evidence_text(
    settings: Settings, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    async with run_elsewhere(settings, evidence_text_mode="raw") as elsewhere:
        for words, at in (("New.", minutes_ago(0)), ("Old.", minutes_ago(3))):
            await elsewhere.spark.submit(
                submission(student, assignment, submission_text=words, submitted_at=at)
            )
    async with sessions() as session, session.begin():
        found = await session.execute(
            text("select evidence_text from quest_task_completions where user_id = :user_id"),
            {"user_id": student.user_id},
        )
        assert found.scalar_one() == "New."


async def test_a_task_was_completed_when_it_was_first_handed_in(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    handed_in_at = datetime.now(tz=UTC) - timedelta(minutes=2)
    await spark.submit(submission(student, assignment, submitted_at=handed_in_at.isoformat()))
    await spark.submit(submission(student, assignment, submission_text="Again."))
    async with sessions() as session, session.begin():
        found = await session.execute(
            text("select completed_at from quest_task_completions where user_id = :user_id"),
            {"user_id": student.user_id},
        )
        assert found.scalar_one() == handed_in_at


# ---------------------------------------------------------------------------- at once


async def test_ten_revisions_at_once_are_numbered_without_gaps(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    payloads = [submission(student, assignment, submission_text=f"Text {n}.") for n in range(10)]
    answers = await asyncio.gather(*(spark.submit(payload) for payload in payloads))
    assert sorted(answer.json()["revision"] for answer in answers) == list(range(1, 11))
    assert await kept(sessions, student.user_id) == ONCE | {"submission_revisions": 10}
    assert await total_xp(sessions, student.user_id) == 100
    assert len(await shown_texts(sessions, student)) == 1


async def test_p163_two_students_hand_in_the_same_assignment_at_once(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    classmate = await spark.sign_in()
    answers = await asyncio.gather(
        spark.submit(submission(student, assignment)),
        spark.submit(submission(classmate, assignment)),
    )
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len({answer.json()["completion_id"] for answer in answers}) == 2
    assert [answer.json()["xp_awarded"] for answer in answers] == [100, 100]


async def test_p167_two_assignments_of_a_student_at_once_enrol_once_each(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    other = await create_assignment(sessions)
    answers = await asyncio.gather(
        *(
            spark.submit(submission(student, work, submission_text=words))
            for work in (assignment, other)
            for words in ("One.", "Two.")
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    assert await count(sessions, UserQuest, student.user_id) == 2
    assert await count(sessions, UserQuestTask, student.user_id) == 6
    assert await total_xp(sessions, student.user_id) == 200


# ---------------------------------------------------------------------------- interrupted


async def claim_for_another(
    sessions: Sessions, student: SignedIn, raw: bytes, *, lease: timedelta
) -> None:
    """As a handler leaves its claim behind that was killed while it worked."""
    async with sessions() as session, session.begin():
        await session.execute(
            insert(IdempotencyKey).values(
                key=hashlib.sha256(raw).digest(),
                user_id=student.user_id,
                owner=uuid4(),
                lease_until=datetime.now(tz=UTC) + lease,
            )
        )


@pytest.mark.soak
async def test_p165_a_retry_before_the_lease_ends_is_told_to_come_again(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = json.dumps(submission(student, assignment)).encode()
    await claim_for_another(sessions, student, raw, lease=timedelta(minutes=1))
    answer = await spark.submit(raw)
    assert_problem(answer, 503, "request_in_progress")
    assert int(answer.headers["retry-after"]) > 0


async def test_p165_a_retry_after_the_lease_takes_over(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = json.dumps(submission(student, assignment)).encode()
    await claim_for_another(sessions, student, raw, lease=timedelta(seconds=-1))
    assert (await spark.submit(raw)).status_code == 200
    assert await kept(sessions, student.user_id) == ONCE


async def test_p165_a_form_waits_for_its_twin_and_takes_over_when_that_died(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = json.dumps(submission(student, assignment)).encode()
    await claim_for_another(sessions, student, raw, lease=timedelta(minutes=1))
    body = form(Part("metadata", raw), PICTURE)
    retry = asyncio.create_task(spark.send_form(body, signature=spark.sign(raw)))
    done, _ = await asyncio.wait([retry], timeout=0.5)
    assert not done
    await expire_leases(sessions, student.user_id)
    assert (await retry).status_code == 200
    assert await kept(sessions, student.user_id) == ONCE


async def test_p166_a_client_that_left_before_the_answer_gets_it_at_its_retry(
    spark: Spark, server: Running, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    raw = json.dumps(submission(student, assignment)).encode()
    async with connect(server) as wire:
        await wire.send_head(
            "Content-Type: application/json",
            f"Content-Length: {len(raw)}",
            f"X-Spark-Signature: {spark.sign(raw)}",
        )
        await wire.send(raw)

    async def is_recorded() -> bool:
        return await kept(sessions, student.user_id) == ONCE

    await eventually(is_recorded)
    retry = await spark.submit(raw)
    assert (retry.status_code, retry.headers["idempotent-replayed"]) == (200, "true")
