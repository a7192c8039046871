"""The handings-in of one completion. The current one has the latest `submitted_at`.

A message with the current content is a duplicate; other content is a new revision. Earlier ones
keep their text and files.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, desc, func, select
from sqlalchemy.dialects.postgresql import insert

from app.database import Session
from app.models import QuestTaskCompletion, SubmissionRevision, Upload
from app.submissions.message import Message
from app.submissions.uploads import file_facts


@dataclass(frozen=True)
class Revision:
    """`block_ids` are the evidence blocks that show it: the next one replaces exactly these."""

    id: UUID
    completion_id: UUID
    number: int
    fingerprint: bytes
    submitted_at: datetime
    block_ids: Sequence[UUID]


# Built once: building a statement costs more than running it.
_CURRENT = (
    select(
        SubmissionRevision.id,
        SubmissionRevision.completion_id,
        SubmissionRevision.revision,
        SubmissionRevision.fingerprint,
        SubmissionRevision.submitted_at,
        SubmissionRevision.block_ids,
    )
    .join(QuestTaskCompletion, QuestTaskCompletion.id == SubmissionRevision.completion_id)
    .where(
        QuestTaskCompletion.user_id == bindparam("user_id"),
        QuestTaskCompletion.task_id == bindparam("task_id"),
    )
    .order_by(desc(SubmissionRevision.submitted_at), desc(SubmissionRevision.revision))
    .limit(1)
)
_LAST = (
    select(func.coalesce(func.max(SubmissionRevision.revision), 0))
    .where(SubmissionRevision.completion_id == bindparam("completion_id"))
    .scalar_subquery()
)
_ADD = (
    insert(SubmissionRevision)
    .values(
        {
            name: bindparam(name)
            for name in (
                "id",
                "completion_id",
                "user_id",
                "spark_assignment_id",
                "spark_course_id",
                "submission_text",
                "grade",
                "fingerprint",
                "submitted_at",
                "block_ids",
            )
        }
        | {"revision": _LAST + 1}
    )
    .returning(SubmissionRevision.revision)
)


async def find_current(session: Session, *, user_id: UUID, task_id: UUID) -> Revision | None:
    found = await session.execute(_CURRENT, {"user_id": user_id, "task_id": task_id})
    current = found.one_or_none()
    return Revision(*current) if current else None


async def add_revision(
    session: Session, message: Message, draft: Revision, *, user_id: UUID
) -> Revision:
    """The draft with its number, from 1 on. The caller holds the enrolment's lock, so numbers do
    not collide.
    """
    payload = message.payload
    added = await session.execute(
        _ADD,
        {
            "id": draft.id,
            "completion_id": draft.completion_id,
            "user_id": user_id,
            "spark_assignment_id": payload.spark_assignment_id,
            "spark_course_id": payload.spark_course_id,
            "submission_text": payload.submission_text,
            "grade": payload.grade,
            "fingerprint": draft.fingerprint,
            "submitted_at": draft.submitted_at,
            "block_ids": list(draft.block_ids),
        },
    )
    return replace(draft, number=added.scalar_one())


async def list_files(session: Session, revision_id: UUID) -> list[dict[str, object]]:
    """The files of a revision, as the answer of a submission names them."""
    found = await session.execute(
        select(Upload.filename, Upload.size_bytes, Upload.content_type, Upload.sha256)
        .where(Upload.submission_id == revision_id)
        .order_by(Upload.position)
    )
    return [
        file_facts(file.filename, file.size_bytes, file.content_type, file.sha256) for file in found
    ]
