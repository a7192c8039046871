"""Read this first: a student enters Optio, hands in homework, and the main app shows it."""

import hashlib
from uuid import UUID

import httpx
import jwt
from sqlalchemy import select

from app.database import Sessions
from app.models import ActivityEvent
from app.settings import Settings
from tests.support.bodies import Part
from tests.support.samples import pdf, png
from tests.support.spark import Assignment, Spark, submission


async def test_homework_becomes_evidence_that_the_main_app_reads(
    spark: Spark,
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    assignment: Assignment,
    settings: Settings,
) -> None:
    student = await spark.sign_in()
    assert settings.jwt_secret_key
    claims = jwt.decode(
        student.access_token, settings.jwt_secret_key.get_secret_value(), algorithms=["HS256"]
    )
    assert claims["sub"] == claims["user_id"] == student.user_id

    first = (await spark.submit(submission(student, assignment))).json()
    assert first["status"] == "success"
    assert (first["revision"], first["xp_awarded"], first["duplicate"]) == (1, 100, False)

    picture, report, notes = png(), pdf(), b"calm\n"
    answer = await spark.submit_form(
        submission(student, assignment, submission_text="With files."),
        Part("file1", picture, filename="gauge.png", content_type="image/png"),
        Part("file2", report, filename="report.pdf"),
        Part("file3", notes, filename="notes.txt", content_type="text/plain"),
    )
    assert answer.status_code == 200, answer.text
    second = answer.json()
    assert second["completion_id"] == first["completion_id"]
    assert (second["revision"], second["xp_awarded"]) == (2, 0)

    answer = await browser.get(
        f"/internal/v1/completions/{first['completion_id']}", headers=main_app
    )
    completion = answer.json()
    assert completion["user_id"] == student.user_id
    assert completion["xp_awarded"] == 100
    blocks = [(block["block_type"], block["content"]) for block in completion["blocks"]]
    assert blocks[0] == ("text", {"text": "With files."})
    assert [kind for kind, _ in blocks] == ["text", "image", "document", "document"]
    for file, content in zip(completion["files"], (picture, report, notes), strict=True):
        download = await browser.get(file["url"])
        assert download.content == content
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert download.headers["content-disposition"].startswith("attachment;")


async def test_the_event_of_a_submission_says_how_long_it_took(
    spark: Spark, assignment: Assignment, sessions: Sessions
) -> None:
    """CONTRACT 9.1, key by key, and what was added since."""
    student = await spark.sign_in()
    answered = (await spark.submit(submission(student, assignment))).json()
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(ActivityEvent.event_data).where(
                ActivityEvent.user_id == UUID(student.user_id),
                ActivityEvent.event_type == "spark_webhook_success",
            )
        )
        event = found.scalar_one() or {}
    assert 0 <= event.pop("processing_time_ms") < 60_000
    assert event == {
        "completion_id": answered["completion_id"],
        "submission_id": answered["submission_id"],
        "spark_assignment_id": assignment.spark_assignment_id,
        "spark_course_id": assignment.spark_course_id,
        "quest_id": str(assignment.quest_id),
        "task_id": answered["task_id"],
        "file_count": 0,
        "document_id": event["document_id"],
        "xp_awarded": answered["xp_awarded"],
        "pillar": "stem",
        "revision": 1,
        "is_first": True,
    }
