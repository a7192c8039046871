"""Grades reach Spark: the newest score, once in effect, whatever happens on the way."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, insert, select, text, update

from app.jobs.lease import claim, free_lapsed
from app.models import Job, LmsGradeSync
from tests.conftest import create_assignment
from tests.grades.conftest import Grading
from tests.support.elsewhere import run_elsewhere
from tests.support.fake_spark import DROPPED, DROPPED_UNSTORED, HALF, HUGE, TO_ITSELF
from tests.support.problems import assert_problem
from tests.support.spark import Assignment


@pytest.fixture
async def assignment(grading: Grading) -> Assignment:
    return await create_assignment(grading.sessions)


async def given(grading: Grading, assignment: Assignment, score: float = 87.5) -> dict[str, Any]:
    student = await grading.student()
    task_id = await grading.task_of(student, assignment)
    answer = await grading.give(student, task_id, score)
    assert answer.status_code == 202, answer.text
    return {**answer.json(), "student": student, "task_id": task_id}


async def scores(grading: Grading) -> list[float]:
    return [grade["score"] for grade in (await grading.fake.gradebook()).values()]


async def test_a_score_reaches_the_gradebook_with_everything_spark_needs(
    grading: Grading, assignment: Assignment
) -> None:
    made = await given(grading, assignment)
    assert (made["version"], made["state"]) == (1, "waiting")
    assert await grading.work_off() == 1
    [(place, grade)] = (await grading.fake.gradebook()).items()
    student = made["student"].spark_user_id
    assert place == (student, assignment.spark_course_id, assignment.spark_assignment_id)
    assert (grade["score"], grade["max_score"], grade["version"]) == (87.5, 100, 1)
    assert (grade["activity_progress"], grade["grading_progress"]) == ("Completed", "FullyGraded")
    assert grade["grade_id"] == made["id"]
    assert datetime.fromisoformat(grade["completed_at"]) < datetime.now(tz=UTC)
    [request] = await grading.fake.requests("/grades")
    assert request["headers"]["idempotency-key"] == [f"{made['id']}.1"]
    state = await grading.state(made["id"])
    assert (state["state"], state["code"]) == ("delivered", None)
    [attempt] = state["attempts"]
    assert (attempt["status"], attempt["code"], attempt["version"]) == (200, "delivered", 1)
    assert await grading.jobs() == []


async def mirrored(grading: Grading, grade_id: str) -> Any:
    async with grading.sessions() as session, session.begin():
        found = await session.execute(select(LmsGradeSync).where(LmsGradeSync.id == grade_id))
        return found.one()


async def test_the_main_apps_table_says_how_far_a_score_is(
    grading: Grading, assignment: Assignment
) -> None:
    await grading.fake.script("/grades", {"status": 503}, {"status": 404})
    made = await given(grading, assignment)
    row = await mirrored(grading, made["id"])
    assert (row.lms_platform, row.lms_assignment_id) == ("spark", assignment.spark_assignment_id)
    assert (float(row.score), float(row.max_score), row.sync_status) == (87.5, 100, "pending")
    await grading.work_off()
    row = await mirrored(grading, made["id"])
    assert (row.sync_status, row.sync_attempts, row.error_message) == ("pending", 1, "spark_503")
    await grading.come_due()
    await grading.work_off()
    row = await mirrored(grading, made["id"])
    assert (row.sync_status, row.sync_attempts, row.error_message) == ("failed", 2, "spark_404")
    assert (await grading.ask("POST", f"grades/{made['id']}/send")).status_code == 202
    await grading.work_off()
    row = await mirrored(grading, made["id"])
    assert (row.sync_status, row.error_message, bool(row.synced_at)) == ("completed", None, True)


async def test_another_platforms_score_of_the_same_work_is_left_alone(
    grading: Grading, assignment: Assignment
) -> None:
    await grading.fake.script("/grades", {"status": 404})
    made = await given(grading, assignment)
    ours = await mirrored(grading, made["id"])
    theirs = ours._asdict() | {"id": uuid4(), "lms_platform": "canvas", "sync_status": "pending"}
    async with grading.sessions() as session, session.begin():
        await session.execute(insert(LmsGradeSync).values(theirs))
    await grading.work_off()
    await grading.give(made["student"], made["task_id"], 60)
    await grading.work_off()
    await grading.ask("POST", f"grades/{made['id']}/send")
    await grading.work_off()
    assert float((await mirrored(grading, made["id"])).score) == 60
    assert (await mirrored(grading, str(theirs["id"])))._asdict() == theirs


async def test_the_same_score_again_is_sent_once(grading: Grading, assignment: Assignment) -> None:
    made = await given(grading, assignment)
    await grading.work_off()
    again = await grading.give(made["student"], made["task_id"], 87.5)
    assert again.json() == {"id": made["id"], "version": 1, "state": "delivered"}
    assert await grading.work_off() == 0


async def test_of_many_scores_at_once_the_newest_is_in_the_gradebook(
    grading: Grading, assignment: Assignment
) -> None:
    made = await given(grading, assignment, 1)
    giving = [grading.give(made["student"], made["task_id"], score) for score in range(2, 12)]
    working = [grading.work_off() for _ in range(3)]
    await asyncio.gather(*giving, *working)
    last = await grading.give(made["student"], made["task_id"], 99)
    assert last.json()["version"] == 12
    await grading.work_off()
    assert await scores(grading) == [99]
    assert (await grading.state(made["id"]))["state"] == "delivered"


async def test_a_score_that_is_older_than_the_one_kept_is_refused(
    grading: Grading, assignment: Assignment
) -> None:
    made = await given(grading, assignment, 50)
    at = datetime.now(tz=UTC) + timedelta(minutes=1)
    student, task_id = made["student"], made["task_id"]
    newer = await grading.give(student, task_id, 60, scored_at=at.isoformat())
    assert newer.json()["version"] == 2
    older = await grading.give(
        student, task_id, 70, scored_at=(at - timedelta(seconds=1)).isoformat()
    )
    assert_problem(older, 409, "grade_stale")
    await grading.work_off()
    assert await scores(grading) == [60]


@pytest.mark.parametrize(
    "change",
    [
        {"score": -1},
        {"score": 101},
        {"score": 1000, "max_score": 1000},
        {"max_score": 0, "score": 0},
        {"comment": "x" * 1001},
        {"scored_at": "2026-11-29T14:30:00"},
        {"task_id": "none"},
    ],
    ids=str,
)
async def test_a_grade_that_is_none_is_refused(
    grading: Grading, assignment: Assignment, change: dict[str, Any]
) -> None:
    student = await grading.student()
    task_id = await grading.task_of(student, assignment)
    grade = {"user_id": student.user_id, "task_id": task_id, "score": 1} | change
    assert_problem(await grading.ask("POST", "grades", json=grade), 400, "field_invalid")
    assert await grading.jobs() == []


async def test_a_score_above_its_maximum_is_told_of_the_maximum(
    grading: Grading, assignment: Assignment
) -> None:
    student = await grading.student()
    answer = await grading.give(student, await grading.task_of(student, assignment), 101)
    [error] = answer.json()["errors"]
    assert error["pointer"] == "#/max_score"


async def test_a_task_of_somebody_else_has_no_grade(
    grading: Grading, assignment: Assignment
) -> None:
    task_id = await grading.task_of(await grading.student(), assignment)
    answer = await grading.give(await grading.student(), task_id, 1)
    assert_problem(answer, 404, "not_found")


# ---------------------------------------------------------------------------- what Spark answers


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_success_is_one(grading: Grading, assignment: Assignment, status: int) -> None:
    await grading.fake.script("/grades", {"status": status, "stored": True})
    made = await given(grading, assignment)
    await grading.work_off()
    assert (await grading.state(made["id"]))["state"] == "delivered"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"status": 408}, "spark_408"),
        ({"status": 425}, "spark_425"),
        ({"status": 429, "headers": {"Retry-After": "1"}}, "spark_429"),
        ({"status": 500}, "spark_500"),
        ({"status": 503, "headers": {"Retry-After": "garbage"}}, "spark_503"),
        ({"status": 503, "headers": {"Retry-After": "-5"}}, "spark_503"),
        (DROPPED_UNSTORED, "spark_cut_short"),
        (DROPPED, "spark_cut_short"),
    ],
    ids=str,
)
async def test_what_may_pass_is_tried_again_and_is_once_in_effect(
    grading: Grading, assignment: Assignment, fault: dict[str, Any], code: str
) -> None:
    await grading.fake.script("/grades", fault)
    made = await given(grading, assignment)
    await grading.work_off()
    state = await grading.state(made["id"])
    assert (state["state"], state["code"]) == ("waiting", code)
    await grading.come_due()
    await grading.work_off()
    assert (await grading.state(made["id"]))["state"] == "delivered"
    assert len(await grading.fake.effects()) == 1


@pytest.mark.parametrize("fault", [HUGE, HALF], ids=["huge", "half"])
async def test_what_follows_a_right_status_does_not_matter(
    grading: Grading, assignment: Assignment, fault: dict[str, Any]
) -> None:
    await grading.fake.script("/grades", fault)
    made = await given(grading, assignment)
    await grading.work_off()
    await grading.come_due()
    await grading.work_off()
    assert (await grading.state(made["id"]))["state"] == "delivered"
    assert len(await grading.fake.effects()) == 1


@pytest.mark.parametrize("status", [400, 404, 410, 413, 422])
async def test_what_spark_will_never_take_is_dead_until_it_is_sent_again(
    grading: Grading, assignment: Assignment, status: int
) -> None:
    body = {"error": "no such student"}
    await grading.fake.script("/grades", {"status": status, "body": json.dumps(body)})
    made = await given(grading, assignment)
    await grading.work_off()
    state = await grading.state(made["id"])
    assert (state["state"], state["code"]) == ("dead", f"spark_{status}")
    assert "no such student" in state["attempts"][0]["answer"]
    [job] = await grading.jobs()
    assert (job.state, job.reason) == ("dead", f"spark_{status}")
    assert (await grading.ask("POST", f"jobs/{job.id}/retry")).status_code == 204
    await grading.work_off()
    assert (await grading.state(made["id"]))["state"] == "delivered"


async def test_spark_that_has_a_newer_score_has_it(
    grading: Grading, assignment: Assignment
) -> None:
    await grading.fake.script("/grades", {"status": 409, "body": '{"code": "newer_score"}'})
    made = await given(grading, assignment)
    await grading.work_off()
    assert (await grading.state(made["id"]))["state"] == "delivered"


@pytest.mark.parametrize(
    "fault", [{"status": 401}, {"status": 403}, TO_ITSELF, {"status": 304}], ids=str
)
async def test_who_does_not_know_us_stops_all_grades_and_loses_none(
    grading: Grading, assignment: Assignment, fault: dict[str, Any]
) -> None:
    made = await given(grading, assignment)
    for _ in range(9):
        await given(grading, assignment)
    await grading.fake.script("/grades", *[fault] * 20)
    assert await grading.work_off() <= 4
    targets = (await grading.ask("GET", "targets")).json()["items"]
    [target] = [each for each in targets if each["name"] == "spark"]
    assert (target["state"], target["waiting"]) == ("refused", 10)
    assert {job.attempts for job in await grading.jobs()} == {0}
    sent = await grading.fake.requests("/grades")
    assert {request["path"] for request in sent} == {"/grades"}
    await grading.fake.forget()
    await grading.come_due()
    assert await grading.work_off() == 10
    assert len(await grading.fake.effects()) == 10
    assert (await grading.state(made["id"]))["state"] == "delivered"


async def test_a_wrong_key_is_told_by_the_test_and_mended_by_the_right_one(
    grading: Grading,
) -> None:
    await grading.fake.change(api_key=secrets.token_hex(32))
    tested = (await grading.ask("POST", "targets/spark/test")).json()
    assert (tested["ok"], tested["code"]) == (False, "spark_401")
    assert "SPARK_API_KEY" in tested["hint"]
    await grading.fake.change(api_key=grading.key)
    tested = (await grading.ask("POST", "targets/spark/test")).json()
    assert (tested["ok"], tested["status"]) == (True, 200)


async def test_after_an_outage_grades_do_not_all_come_at_once(
    grading: Grading, assignment: Assignment
) -> None:
    for _ in range(12):
        await given(grading, assignment)
    await grading.fake.script("/grades", *[DROPPED_UNSTORED] * 60)
    for _ in range(3):
        await grading.come_due()
        await grading.work_off()
    assert len(await grading.fake.requests("/grades")) <= 4 + 4 + 2  # two pauses, one call each
    await grading.fake.forget()
    await grading.come_due()
    assert await grading.work_off() == 12
    assert len(await grading.fake.effects()) == 12


# ---------------------------------------------------------------------------- killed, erased


async def test_a_worker_that_was_killed_before_it_wrote_sends_again_to_one_effect(
    grading: Grading, assignment: Assignment
) -> None:
    await grading.fake.script("/grades", DROPPED)  # Spark took it, and nobody noticed
    made = await given(grading, assignment)
    await grading.work_off()
    await grading.come_due()
    assert len(await claim(grading.sessions, {"grade": 1}, owner=uuid4())) == 1
    async with grading.sessions() as session, session.begin():
        past = func.now() - text("interval '1 s'")
        await session.execute(update(Job).where(Job.state == "running").values(lease_until=past))
    await free_lapsed(grading.sessions)
    await grading.work_off()
    assert (await grading.state(made["id"]))["state"] == "delivered"
    assert len(await grading.fake.effects()) == 1


async def test_nothing_more_is_sent_of_a_student_who_was_erased(
    grading: Grading, assignment: Assignment
) -> None:
    made = await given(grading, assignment)
    erased = await grading.ask("DELETE", f"students/{made['student'].user_id}")
    assert erased.is_success, erased.text
    await grading.work_off()
    assert await grading.fake.requests("/grades") == []
    assert await grading.jobs() == []


# ---------------------------------------------------------------------------- what nobody scored


async def test_a_submission_changes_no_gradebook(grading: Grading, assignment: Assignment) -> None:
    await grading.task_of(await grading.student(), assignment)
    assert await grading.work_off() == 0
    assert await grading.fake.requests() == []


@pytest.fixture
async def telling(grading: Grading, request: pytest.FixtureRequest) -> AsyncIterator[Grading]:
    """Where the operator's word is `request.param`."""
    settings = grading.elsewhere.running.settings
    async with run_elsewhere(settings, **request.param) as elsewhere:
        yield replace(grading, elsewhere=elsewhere)


PROGRESS = pytest.mark.parametrize("telling", [{"spark_send_progress": True}], indirect=True)
COMPLETED = pytest.mark.parametrize(
    "telling", [{"grade_completed_score": Decimal(80)}], indirect=True
)


@PROGRESS
async def test_progress_is_told_without_a_score_and_changes_no_gradebook(
    telling: Grading, assignment: Assignment
) -> None:
    student = await telling.student()
    task_id = await telling.task_of(student, assignment)
    assert await telling.work_off() == 1
    [told] = await telling.fake.effects()
    assert not {"score", "max_score"} & told.keys()
    assert (told["activity_progress"], told["grading_progress"]) == ("Submitted", "PendingManual")
    assert await telling.fake.gradebook() == {}
    await telling.task_of(student, assignment)
    assert await telling.work_off() == 1
    async with telling.sessions() as session, session.begin():
        of_student = select(LmsGradeSync.id).where(LmsGradeSync.user_id == student.user_id)
        assert (await session.execute(of_student)).all() == []  # that table is of scores
    given = await telling.give(student, task_id, 70)
    await telling.work_off()
    assert float((await mirrored(telling, given.json()["id"])).score) == 70


@COMPLETED
async def test_a_completed_task_scores_what_the_operator_says(
    telling: Grading, assignment: Assignment
) -> None:
    student = await telling.student()
    task_id = await telling.task_of(student, assignment)
    await telling.work_off()
    assert await scores(telling) == [80]
    await telling.give(student, task_id, 95)
    await telling.work_off()
    await telling.task_of(student, assignment)
    assert await telling.work_off() == 0
    assert await scores(telling) == [95]


@COMPLETED
async def test_a_grade_that_came_with_the_message_is_not_overwritten(
    telling: Grading, assignment: Assignment
) -> None:
    await telling.hand_in(await telling.student(), assignment, grade=55)
    assert await telling.work_off() == 0


# ---------------------------------------------------------------------------- without an API


async def test_without_an_address_grades_are_kept_and_sent_once_there_is_one(
    grading: Grading, assignment: Assignment
) -> None:
    settings = grading.elsewhere.running.settings
    async with run_elsewhere(settings, spark_api_url=None) as elsewhere:
        off = replace(grading, elsewhere=elsewhere)
        made = await given(off, assignment)
        assert made["state"] == "off"
        [platform] = (await off.ask("GET", "lms/platforms")).json()
        assert platform["supports_grade_passback"] is False
        answer = await off.ask("POST", f"grades/{made['id']}/send")
        assert_problem(answer, 503, "target_not_configured")
    asked = {"state": "off", "user_id": made["student"].user_id}
    dry = await grading.ask("POST", "grades/send", json=asked | {"dry_run": True})
    assert (dry.json(), await grading.work_off()) == ({"queued": 1}, 0)
    for _ in range(2):
        sent = await grading.ask("POST", "grades/send", json=asked)
        assert sent.status_code == 202
    await grading.work_off()
    assert await scores(grading) == [87.5]
    [platform] = (await grading.ask("GET", "lms/platforms")).json()
    assert platform["supports_grade_passback"] is True


async def test_lists_narrow_by_what_is_asked(grading: Grading, assignment: Assignment) -> None:
    made = await given(grading, assignment)
    await given(grading, assignment)
    query = {"spark_assignment_id": assignment.spark_assignment_id}
    both = (await grading.ask("GET", "grades", params=query)).json()["items"]
    one = await grading.ask("GET", "grades", params=query | {"user_id": made["student"].user_id})
    assert (len(both), [each["id"] for each in one.json()["items"]]) == (2, [made["id"]])
    assert (await grading.ask("POST", "grades/send", json={})).status_code == 400


async def test_jobs_are_counted_alike_and_discarded_by_hand(
    grading: Grading, assignment: Assignment
) -> None:
    await grading.fake.script("/grades", {"status": 404}, {"status": 404})
    for _ in range(2):
        await given(grading, assignment)
    await grading.work_off()
    waiting = await given(grading, assignment)
    found = (await grading.ask("GET", "jobs", params={"kind": "grade"})).json()
    counts = {(each["state"], each["reason"]): each["jobs"] for each in found["counts"]}
    assert counts == {("dead", "spark_404"): 2, ("waiting", None): 1}
    [job] = [each for each in found["items"] if each["state"] == "waiting"]
    assert job["key"] == waiting["id"]
    assert_problem(await grading.ask("POST", f"jobs/{job['id']}/retry"), 409, "job_not_dead")
    assert (await grading.ask("DELETE", f"jobs/{job['id']}")).status_code == 204
    assert_problem(await grading.ask("DELETE", f"jobs/{job['id']}"), 404, "not_found")
    again = {"kind": "grade", "reason": "spark_404"}
    assert (await grading.ask("POST", "jobs/retry", json=again)).json() == {"queued": 2}
    assert await grading.work_off() == 2


async def test_a_target_is_paused_and_opened_by_hand(
    grading: Grading, assignment: Assignment
) -> None:
    assert (await grading.ask("POST", "targets/spark/pause")).status_code == 204
    await given(grading, assignment)
    await grading.come_due()
    assert await grading.work_off() == 0
    assert (await grading.ask("POST", "targets/spark/resume")).status_code == 204
    assert await grading.work_off() == 1
    assert_problem(await grading.ask("POST", "targets/nobody/pause"), 404, "not_found")


@pytest.mark.parametrize("name", ["kind", "reason"])
async def test_what_no_job_is_of_is_invalid(grading: Grading, name: str) -> None:
    asked = {"kind": "grade"} | {name: "a\0b"}
    for answer in (
        await grading.ask("GET", "jobs", params=asked),
        await grading.ask("POST", "jobs/retry", json=asked),
    ):
        assert_problem(answer, 400, "field_invalid")
