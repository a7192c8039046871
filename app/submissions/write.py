"""Everything that a new revision adds, in one statement: document and blocks, the completion, the
revision and XP.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Text, Uuid, bindparam, case, func, null, select, true
from sqlalchemy.dialects.postgresql import insert

from app.database import Session
from app.evidence.documents import (
    BLOCKS,
    DOCUMENT,
    Block,
    EvidenceFile,
    evidence_text,
    file_block,
    keep_native,
    place_blocks,
    text_block,
)
from app.learning.completion import complete
from app.learning.enrolment import Task
from app.learning.experience import award, award_parameters
from app.models import SubmissionRevision
from app.submissions.revisions import Standing


@dataclass(frozen=True)
class Content:
    """What a revision says, in its columns. A text is never blank; `restored_from` is the revision
    that its files came with, None for its own.
    """

    spark_assignment_id: str
    spark_course_id: str | None
    submission_text: str | None
    grade: Decimal | None
    fingerprint: bytes
    submitted_at: datetime
    restored_from: UUID | None

    def blocks(
        self, files: Iterable[EvidenceFile], new_id: Callable[[], UUID]
    ) -> dict[UUID, Block]:
        """Text first; then the files in the order they came."""
        texts = [text_block(self.submission_text)] if self.submission_text else []
        return {new_id(): block for block in (*texts, *map(file_block, files))}


@dataclass(frozen=True)
class Draft:
    """A revision to be. Without `is_latest` it is kept and not shown, and `blocks` is empty; with
    `is_private` its blocks are hidden, and its text from evidence_text, too.

    `completion_id` and `award_id` are for a task that was not completed before. `raw_text` is what
    evidence_text holds instead of the document's id, or None.
    """

    id: UUID
    completion_id: UUID
    award_id: UUID
    user_id: UUID
    content: Content
    blocks: Mapping[UUID, Block]
    is_latest: bool
    is_private: bool
    raw_text: str | None


@dataclass(frozen=True)
class Written:
    """`xp_awarded` is the task's value where this completed it, else 0."""

    submission_id: UUID
    completion_id: UUID
    number: int
    xp_awarded: int

    def body(self, task: Task, files: Sequence[Mapping[str, object]]) -> dict[str, Any]:
        """The body of CONTRACT 7.5; the edge adds the request's id."""
        return {
            "status": "success",
            "completion_id": str(self.completion_id),
            "submission_id": str(self.submission_id),
            "revision": self.number,
            "duplicate": False,
            "quest_id": str(task.quest_id),
            "task_id": str(task.task_id),
            "xp_awarded": self.xp_awarded,
            "files": files,
        }

    def event(self, task: Task, content: Content, *, file_count: int) -> dict[str, Any]:
        """What its event says (CONTRACT 9.1)."""
        return {
            "submission_id": str(self.submission_id),
            "spark_assignment_id": content.spark_assignment_id,
            "spark_course_id": content.spark_course_id,
            "quest_id": str(task.quest_id),
            "task_id": str(task.task_id),
            "completion_id": str(self.completion_id),
            "file_count": file_count,
        }


_NOW = bindparam("now", type_=SubmissionRevision.replaced_at.type)
_COMPLETION = complete(
    func.coalesce(bindparam("raw_text", type_=Text), evidence_text(DOCUMENT.c.id)),
    completed_at=bindparam("submitted_at", type_=SubmissionRevision.submitted_at.type),
    is_shown=bindparam("is_latest", type_=Boolean),
)
# Numbered from 1. The enrolment is locked, so numbers do not collide.
_NUMBER = (
    select(func.coalesce(func.max(SubmissionRevision.revision), 0) + 1)
    .where(SubmissionRevision.completion_id == _COMPLETION.c.id)
    .scalar_subquery()
)
_SAID = {
    name: bindparam(name, type_=SubmissionRevision.__table__.c[name].type)
    for name in (*(field.name for field in fields(Content)), "written_ids", "block_ids")
}
_REVISION = (
    insert(SubmissionRevision)
    .from_select(
        ["id", "completion_id", "user_id", "quest_id", "replaced_at", "revision", *_SAID],
        select(
            bindparam("revision_id", type_=Uuid),
            _COMPLETION.c.id,
            bindparam("user_id", type_=Uuid),
            bindparam("quest_id", type_=Uuid),
            case((bindparam("is_latest", type_=Boolean), null()), else_=_NOW),
            _NUMBER,
            *_SAID.values(),
        ),
    )
    .returning(SubmissionRevision.revision)
    .cte("revision")
)
_NATIVE = keep_native(DOCUMENT, bindparam("user_id", type_=Uuid), bindparam("task_id", type_=Uuid))
_PAID, _BY_PILLAR, _BY_SUBJECT = award(_COMPLETION)
_WRITE = (
    select(
        _COMPLETION.c.id,
        _REVISION.c.revision,
        func.coalesce(select(_PAID.c.xp_amount).scalar_subquery(), 0),
    )
    .join_from(_COMPLETION, _REVISION, true())
    .add_cte(BLOCKS, _NATIVE, _BY_PILLAR, _BY_SUBJECT)
)


async def write_revision(
    session: Session,
    draft: Draft,
    standing: Standing,
    *,
    now: datetime,
) -> Written:
    """The caller holds the enrolment's lock."""
    task = standing.task
    written = await session.execute(
        _WRITE,
        {
            "user_id": draft.user_id,
            "quest_id": task.quest_id,
            "now": now,
            "completion_id": draft.completion_id,
            "raw_text": None if draft.is_private else draft.raw_text,
            "is_latest": draft.is_latest,
            "blocks": place_blocks(
                draft.blocks,
                user_id=draft.user_id,
                kept=standing.kept_places,
                is_private=draft.is_private,
            ),
            "revision_id": draft.id,
            "written_ids": list(draft.blocks),
            "block_ids": list(draft.blocks),
            **vars(draft.content),
            **award_parameters(task, draft.award_id),
        },
    )
    return Written(draft.id, *written.one())
