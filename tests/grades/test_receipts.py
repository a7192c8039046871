"""Spark is told when homework has come to something else than it was answered (DESIGN R48)."""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.conftest import create_assignment
from tests.grades.conftest import Grading
from tests.support.commands import NOT_FOUND, run_on
from tests.support.elsewhere import run_elsewhere
from tests.support.fake_spark import DROPPED
from tests.support.problems import assert_problem
from tests.support.spark import SignedIn, encoded, submission


@dataclass(frozen=True)
class Early:
    """Homework that was refused because its assignment was not there."""

    student: SignedIn
    spark_assignment_id: str
    delivery: dict[str, Any]
    webhook_id: str

    @property
    def id(self) -> str:
        return str(self.delivery["id"])


async def too_early(grading: Grading) -> Early:
    """Its assignment is there now."""
    student, missing = await grading.student(), f"assignment_{uuid4().hex}"
    other = await create_assignment(grading.sessions)
    changes = {"spark_assignment_id": missing, "spark_course_id": ...}
    raw, webhook_id = encoded(submission(student, other, **changes)), f"msg_{uuid4().hex}"
    spark = grading.elsewhere.spark
    answer = await spark.post(raw, spark.sign_v1(raw, webhook_id=webhook_id))
    assert_problem(answer, 400, "assignment_not_found")
    await create_assignment(grading.sessions, spark_assignment_id=missing)
    found = await grading.ask("GET", "deliveries", params={"spark_user_id": student.spark_user_id})
    [delivery] = found.json()["items"]
    return Early(student, missing, delivery, webhook_id)


async def replayed(grading: Grading) -> tuple[Early, dict[str, Any]]:
    """With the answer of the replay."""
    early = await too_early(grading)
    answer = await grading.ask("POST", f"deliveries/{early.id}/replay")
    assert answer.status_code == 200, answer.text
    return early, answer.json()


async def test_homework_that_was_refused_and_is_recorded_gets_a_receipt(grading: Grading) -> None:
    early, answer = await replayed(grading)
    [job] = await grading.jobs()
    assert (job.kind, job.key, job.payload) == ("receipt", early.id, {})
    assert await grading.work_off() == 1
    [receipt] = await grading.fake.receipts()
    assert receipt == {
        "submission_id": answer["submission_id"],
        "webhook_id": early.webhook_id,
        "spark_user_id": early.student.spark_user_id,
        "spark_assignment_id": early.spark_assignment_id,
        "state": "recorded",
        "files": [],
        "kept_until": None,
    }
    assert await grading.jobs() == []


async def test_what_spark_was_answered_already_gets_none(grading: Grading) -> None:
    early, _ = await replayed(grading)
    await grading.work_off()
    again = await grading.ask("POST", f"deliveries/{early.id}/replay")
    assert again.json()["duplicate"] is True
    await grading.hand_in(early.student, await create_assignment(grading.sessions))
    assert await grading.work_off() == 0


async def test_receipts_are_off_by_default(grading: Grading) -> None:
    settings = grading.elsewhere.running.settings
    async with run_elsewhere(settings, spark_receipts=False) as elsewhere:
        await replayed(replace(grading, elsewhere=elsewhere))
    assert await grading.jobs() == []


@pytest.mark.parametrize("fault", [{"status": 503}, DROPPED, {"status": 401}], ids=str)
async def test_a_receipt_is_tried_again_and_is_once_in_effect(
    grading: Grading, fault: dict[str, Any]
) -> None:
    await grading.fake.script("/receipts", fault)
    await replayed(grading)
    await grading.work_off()
    await grading.come_due()
    await grading.work_off()
    first, second = await grading.fake.requests("/receipts")
    assert first["headers"]["idempotency-key"] == second["headers"]["idempotency-key"]
    assert len(await grading.fake.receipts()) == 1
    assert await grading.jobs() == []


async def test_a_spark_without_receipts_is_not_asked_again(grading: Grading) -> None:
    await grading.fake.script("/receipts", {"status": 404})
    await replayed(grading)
    await grading.work_off()
    [job] = await grading.jobs()
    assert (job.state, job.reason) == ("dead", "spark_404")


async def test_nothing_is_sent_of_a_student_who_is_erased(grading: Grading) -> None:
    """Between the order and its end, and after it."""
    early, _ = await replayed(grading)
    leaving, _ = await replayed(grading)
    async with grading.sessions() as session, session.begin():
        closing = text("update users set deletion_status = 'pending' where id = :id")
        await session.execute(closing, {"id": leaving.student.user_id})
    erased = await grading.ask("DELETE", f"students/{early.student.user_id}")
    assert erased.is_success, erased.text
    await grading.work_off()
    assert await grading.fake.requests("/receipts") == []
    assert await grading.jobs() == []


async def test_what_became_of_files_by_url_is_told(grading: Grading) -> None:
    fake, assignment = grading.fake, await create_assignment(grading.sessions)
    async with run_elsewhere(
        grading.elsewhere.running.settings,
        spark_storage_domains=(fake.files_url.removeprefix("https://"),),
        spark_storage_networks=(ip_network("127.0.0.0/8"),),
        spark_storage_ca_file=str(fake.ca_file),
    ) as elsewhere:
        fetching = replace(grading, elsewhere=elsewhere)
        there = await fake.serve_file(f"{uuid4().hex}.txt", b"It rained.")
        gone = f"{fake.files_url}/files/gone.txt"
        files = [{"url": there, "filename": "rain.txt"}, {"url": gone, "filename": "gone.txt"}]
        await fake.script("/files/gone.txt", {"status": 503})
        body = await fetching.hand_in(await grading.student(), assignment, submission_files=files)
        states = []
        while await fetching.work_off():
            states.append((await fake.receipts())[-1]["state"])
            await fetching.come_due()
    assert states == ["waiting", "partly"]
    receipt = (await fake.receipts())[-1]
    assert (receipt["submission_id"], receipt["kept_until"]) == (body["submission_id"], None)
    assert receipt["files"] == [
        {"name": "rain.txt", "state": "stored", "code": None},
        {"name": "gone.txt", "state": "dead", "code": "status_404"},
    ]


async def test_a_receipt_is_tried_from_a_shell(grading: Grading) -> None:
    """Also one of what still waits for its course, and where receipts are off."""
    early = await too_early(grading)
    settings = grading.elsewhere.running.settings
    run = run_on(settings.model_copy(update={"spark_receipts": False}))
    done = await run("receipts", "try", early.id)
    assert done.exit_code == 0, done.output
    [receipt] = await grading.fake.receipts()
    assert json.dumps(receipt, separators=(",", ":")) in done.stdout
    assert (receipt["state"], receipt["submission_id"]) == ("waiting", None)
    kept = datetime.fromisoformat(receipt["kept_until"])
    received_at = datetime.fromisoformat(early.delivery["received_at"])
    assert kept - received_at == timedelta(days=settings.inbox_retention_days)
    unknown = await run("receipts", "try", str(uuid4()))
    assert (unknown.exit_code, unknown.stderr) == (1, NOT_FOUND)
