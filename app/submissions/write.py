"""Everything that a new revision adds, in one statement: document and blocks, the completion, the
revision and XP.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Boolean, Text, Uuid, bindparam, case, func, null, select, true
from sqlalchemy.dialects.postgresql import insert

from app.adoption.shape import LiveShape
from app.database import Session
from app.evidence.documents import (
    BLOCKS,
    DOCUMENT,
    NewBlock,
    evidence_text,
    file_block,
    keep_native,
    place_blocks,
    text_block,
)
from app.learning.completion import complete
from app.learning.experience import award, award_parameters
from app.models import SubmissionRevision
from app.storage.bucket import Bucket
from app.storage.kept_file import KeptFile
from app.submissions.revisions import Revision, Standing


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
        self, bucket: Bucket, files: Iterable[KeptFile], new_id: Callable[[], UUID]
    ) -> dict[UUID, NewBlock]:
        """Text first; then the files in the order they came."""
        texts = [text_block(self.submission_text)] if self.submission_text else []
        return {new_id(): block for block in (*texts, *(file_block(bucket, it) for it in files))}


@dataclass(frozen=True)
class Draft:
    """A revision to be. Without `is_latest` it is kept and not shown, and `blocks` is empty; with
    `is_private` its blocks are hidden, and its text from evidence_text, too.

    `completion_id` and `award_id` are for a task that was not completed before. With `is_raw`
    evidence_text holds the text instead of the document's id.
    """

    id: UUID
    completion_id: UUID
    award_id: UUID
    content: Content
    blocks: Mapping[UUID, NewBlock]
    is_latest: bool
    is_private: bool
    is_raw: bool


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
_PAID, _IN_ALL, _BY_SUBJECT = award(_COMPLETION)
WRITE = (
    select(
        _COMPLETION.c.id,
        _REVISION.c.revision,
        func.coalesce(select(_PAID.c.xp_amount).scalar_subquery(), 0),
    )
    .join_from(_COMPLETION, _REVISION, true())
    .add_cte(BLOCKS, _NATIVE, _IN_ALL, _BY_SUBJECT)
)


async def write_revision(
    session: Session, draft: Draft, standing: Standing, shape: LiveShape, *, now: datetime
) -> tuple[Revision, int]:
    """The revision, and the XP that was paid: the task's value where this completed it, else 0.

    The caller holds the enrolment's lock. One statement, WRITE: what is sent stands in
    tests/submissions/write_revision.sql.
    """
    task, content = standing.task, draft.content
    defers_credit = (await shape.read(session)).defers_credit
    written = await session.execute(
        WRITE,
        {
            "user_id": standing.user_id,
            "quest_id": task.quest_id,
            "now": now,
            "completion_id": draft.completion_id,
            "raw_text": content.submission_text if draft.is_raw and not draft.is_private else None,
            "is_latest": draft.is_latest,
            "blocks": place_blocks(
                draft.blocks,
                user_id=standing.user_id,
                kept=standing.kept_places,
                is_private=draft.is_private,
            ),
            "revision_id": draft.id,
            "written_ids": list(draft.blocks),
            "block_ids": list(draft.blocks),
            **vars(content),
            **award_parameters(task, draft.award_id, defers_credit=defers_credit),
        },
    )
    completion_id, number, xp_awarded = written.one()
    revision = Revision(
        id=draft.id,
        completion_id=completion_id,
        number=number,
        fingerprint=content.fingerprint,
        submitted_at=content.submitted_at,
        files_of=content.restored_from or draft.id,
    )
    return revision, xp_awarded
