"""Homework with everything that the console shows of it, as rows: whatever its texts are."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from app.clock import new_id
from app.database import Session
from app.models import (
    Download,
    Grade,
    GradeAttempt,
    InboxDelivery,
    Job,
    LmsIntegration,
    Quest,
    QuestTaskCompletion,
    SubmissionRevision,
    Table,
    Upload,
    User,
    UserQuest,
    UserQuestTask,
)


@dataclass(frozen=True)
class Homework:
    """The `number`th: its ids are known by that."""

    number: int
    student: str
    assignment: str
    title: str  # of quest and task
    text: str
    filename: str
    reason: str  # why its grade and its other file are not delivered
    answer: str  # of Spark


def path_of_delivery(number: int) -> str:
    return f"/console/deliveries/{_fixed(number, 1)}"


def path_of_job(number: int) -> str:
    return f"/console/outbound/{_fixed(number, 2)}"


def _fixed(number: int, kind: int) -> UUID:
    return UUID(int=(0x0193B5A27A5C7000 << 64) | (0x8 << 60) | (kind << 32) | number)


async def hand_in(session: Session, work: Homework) -> None:
    """Taken, with a picture that is here and a film that was given up; its grade, too."""
    user, quest, task, done, enrolled = (new_id() for _ in range(5))
    revision, grade, film = (new_id() for _ in range(3))
    now = datetime.now(tz=UTC) - timedelta(minutes=3 * work.number + 2)
    spark = {"spark_user_id": work.student[:255], "spark_assignment_id": work.assignment[:255]}
    whose = {"user_id": user, "quest_id": quest}
    message = json.dumps(spark | {"submission_text": work.text, "submitted_at": now.isoformat()})
    digest = hashlib.sha256(message.encode()).digest()
    rows: list[tuple[type[Table], dict[str, Any]]] = [
        (User, {"id": user, "email": f"{work.student[:100]}@example.com".lower()}),
        (
            LmsIntegration,
            {"user_id": user, "lms_platform": "spark", "lms_user_id": spark["spark_user_id"]},
        ),
        (
            Quest,
            {
                "id": quest,
                "title": work.title,
                "quest_type": "course",
                "lms_platform": "spark",
                "lms_assignment_id": spark["spark_assignment_id"],
            },
        ),
        (UserQuest, whose | {"id": enrolled}),
        (
            UserQuestTask,
            whose | {"id": task, "user_quest_id": enrolled, "title": work.title, "pillar": "stem"},
        ),
        (QuestTaskCompletion, whose | {"id": done, "task_id": task, "user_quest_task_id": task}),
        (
            SubmissionRevision,
            whose
            | {
                "id": revision,
                "completion_id": done,
                "revision": 1,
                "spark_assignment_id": spark["spark_assignment_id"],
                "submission_text": work.text,
                "fingerprint": b"",
                "submitted_at": now,
            },
        ),
        (
            Upload,
            {
                "id": new_id(),
                "user_id": user,
                "submission_id": revision,
                "object_key": f"{user}/{new_id()}.png",
                "state": "committed",
                "lease_until": now,
                "position": 0,
                "filename": work.filename,
                "content_type": "image/png",
                "size_bytes": 482_113,
                "sha256": digest,
                "stored_bytes": 479_830,
                "stored_sha256": digest,
                "location": "removed",
                "scan": "unscanned",
            },
        ),
        (
            Download,
            {
                "id": film,
                "submission_id": revision,
                "user_id": user,
                "position": 1,
                "place": 1,
                "host": work.reason,
                "filename": work.filename,
                "state": "dead",
                "code": work.reason,
            },
        ),
        (
            InboxDelivery,
            spark
            | {
                "id": _fixed(work.number, 1),
                "route": "/spark/webhook/submission",
                "media_type": "application/json",
                "received_at": now,
                "answered_at": now + timedelta(milliseconds=23),
                "status": 200,
                "digest": digest,
                "request_id": str(new_id()),
                "message": message.encode(),
                "body_bytes": len(message),
                "file_count": 0,
                "user_id": user,
                "submission_id": revision,
            },
        ),
        (
            Grade,
            whose
            | spark
            | {
                "id": grade,
                "task_id": task,
                "spark_course_id": "",
                "score": 87.5,
                "max_score": 100,
                "scored_at": now,
                "state": "dead",
                "code": work.reason,
            },
        ),
        (
            GradeAttempt,
            {
                "grade_id": grade,
                "version": 1,
                "milliseconds": 212,
                "status": 404,
                "code": work.reason,
                "answer": work.answer,
            },
        ),
        (Job, _dead(work, "grade", grade, user, now) | {"id": _fixed(work.number, 2)}),
        (Job, _dead(work, "download", film, user, now)),
    ]
    for table, row in rows:
        await session.execute(insert(table).values(**row))


def _dead(work: Homework, kind: str, key: UUID, user: UUID, at: datetime) -> dict[str, Any]:
    return {
        "kind": kind,
        "key": str(key),
        "user_id": user,
        "target": "spark",
        "state": "dead",
        "attempts": 8,
        "reason": work.reason,
        "created_at": at,
        "died_at": at + timedelta(minutes=1),
    }
