"""The handings-in of one completion. The current one has the latest `submitted_at`.

A message with the current content is a duplicate; other content is a new revision. Earlier ones
keep their text and files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Uuid,
    any_,
    bindparam,
    delete,
    func,
    select,
    true,
    update,
)

from app.database import Session
from app.evidence.documents import kept_places
from app.files.uploads import file_facts
from app.learning.enrolment import THE_TASK, Task
from app.models import EvidenceBlock, QuestTaskCompletion, SubmissionRevision, Upload


class Revision(NamedTuple):
    """`block_ids` are the evidence blocks that show it: the next one replaces exactly these."""

    id: UUID
    completion_id: UUID
    number: int
    fingerprint: bytes
    submitted_at: datetime
    block_ids: Sequence[UUID]


@dataclass(frozen=True)
class Standing:
    """Where a student stands with a task: the current revision, and the places in the evidence
    document that other blocks hold.
    """

    task: Task
    current: Revision | None
    kept_places: Sequence[int]


# Built once: building a statement costs more than running it.
_TASK = THE_TASK.cte("task")
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
        QuestTaskCompletion.task_id == _TASK.c.task_id,
        SubmissionRevision.replaced_at.is_(None),
    )
    .lateral("current")
)
_STANDING = select(
    kept_places(bindparam("user_id"), _TASK.c.task_id, _CURRENT.c.block_ids), _TASK, _CURRENT
).select_from(_TASK.outerjoin(_CURRENT, true()))

_REPLACED = (
    update(SubmissionRevision)
    .where(SubmissionRevision.id == bindparam("of_revision"))
    .values(replaced_at=bindparam("at"))
    .cte("replaced")
)
_REMOVED = (
    delete(EvidenceBlock)
    .where(EvidenceBlock.id == any_(bindparam("shown", type_=ARRAY(Uuid))))
    .returning(EvidenceBlock.is_private)
    .cte("removed")
)
_RETIRE = select(func.bool_or(_REMOVED.c.is_private)).add_cte(_REPLACED)


async def find_standing(
    session: Session, user_quest_id: UUID, *, user_id: UUID, template_id: UUID | None
) -> Standing | None:
    """With the copy of a template task, or with the enrolment's first task if none is named."""
    found = await session.execute(
        _STANDING,
        {"user_quest_id": user_quest_id, "user_id": user_id, "template_id": template_id},
    )
    row = found.one_or_none()
    if row is None:
        return None
    places, split = row[0], 1 + len(Task._fields)
    current = Revision(*row[split:]) if row[split] else None
    return Standing(Task(*row[1:split]), current, places or ())


async def retire(session: Session, revision: Revision, *, now: datetime) -> bool:
    """Another is shown from now on. Whether the student had hidden a block of it."""
    retired = await session.execute(
        _RETIRE,
        {"of_revision": revision.id, "at": now, "shown": list(revision.block_ids)},
    )
    return bool(retired.scalar_one())


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
