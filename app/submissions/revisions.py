"""The handings-in of one completion. The current one has the latest `submitted_at`.

A message with the current content is a duplicate; other content is a new revision. Earlier ones
keep their text and files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import desc, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.database import Session
from app.models import QuestTaskCompletion, SubmissionRevision, Upload
from app.submissions.message import Message


@dataclass(frozen=True)
class Revision:
    id: UUID
    completion_id: UUID
    user_id: UUID
    number: int
    fingerprint: bytes
    submitted_at: datetime
    block_ids: Sequence[UUID]


async def find_current(session: Session, *, user_id: UUID, task_id: UUID) -> Revision | None:
    found = await session.execute(
        select(
            SubmissionRevision.id,
            SubmissionRevision.completion_id,
            SubmissionRevision.user_id,
            SubmissionRevision.revision,
            SubmissionRevision.fingerprint,
            SubmissionRevision.submitted_at,
            SubmissionRevision.block_ids,
        )
        .join(QuestTaskCompletion, QuestTaskCompletion.id == SubmissionRevision.completion_id)
        .where(QuestTaskCompletion.user_id == user_id, QuestTaskCompletion.task_id == task_id)
        .order_by(desc(SubmissionRevision.submitted_at), desc(SubmissionRevision.revision))
        .limit(1)
    )
    current = found.one_or_none()
    return Revision(*current) if current else None


async def add_revision(
    session: Session,
    message: Message,
    *,
    revision_id: UUID,
    completion_id: UUID,
    user_id: UUID,
    fingerprint: bytes,
) -> Revision:
    """Numbered from 1. The caller holds the enrolment's lock, so numbers do not collide."""
    payload = message.payload
    last = (
        select(func.coalesce(func.max(SubmissionRevision.revision), 0))
        .where(SubmissionRevision.completion_id == completion_id)
        .scalar_subquery()
    )
    added = await session.execute(
        insert(SubmissionRevision)
        .values(
            id=revision_id,
            completion_id=completion_id,
            user_id=user_id,
            revision=last + 1,
            spark_assignment_id=payload.spark_assignment_id,
            spark_course_id=payload.spark_course_id,
            submission_text=payload.submission_text,
            grade=payload.grade,
            fingerprint=fingerprint,
            submitted_at=payload.submitted_at,
        )
        .returning(SubmissionRevision.revision)
    )
    return Revision(
        id=revision_id,
        completion_id=completion_id,
        user_id=user_id,
        number=added.scalar_one(),
        fingerprint=fingerprint,
        submitted_at=payload.submitted_at,
        block_ids=(),
    )


async def remember_blocks(session: Session, revision_id: UUID, block_ids: Sequence[UUID]) -> None:
    """Which evidence blocks show this revision: the next one replaces exactly these."""
    await session.execute(
        update(SubmissionRevision)
        .where(SubmissionRevision.id == revision_id)
        .values(block_ids=list(block_ids))
    )


async def list_files(session: Session, revision_id: UUID) -> list[dict[str, object]]:
    """The files of a revision, as the answer of a submission names them."""
    found = await session.execute(
        select(Upload.filename, Upload.size_bytes, Upload.content_type, Upload.sha256)
        .where(Upload.submission_id == revision_id)
        .order_by(Upload.position)
    )
    return [
        {
            "name": file.filename,
            "size": file.size_bytes,
            "content_type": file.content_type,
            "sha256": (file.sha256 or b"").hex(),
        }
        for file in found
    ]
