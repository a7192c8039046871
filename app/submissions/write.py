"""Everything that a new revision adds, in one statement: document and blocks, the completion, the
revision and XP.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, Text, Uuid, bindparam, case, func, select, true
from sqlalchemy.dialects.postgresql import insert

from app.database import Session
from app.evidence.documents import BLOCKS, DOCUMENT, Block, evidence_text, place_blocks
from app.learning.experience import award, subject_xp
from app.models import QuestTaskCompletion, SubmissionRevision
from app.submissions.message import Message
from app.submissions.revisions import Standing


@dataclass(frozen=True)
class Draft:
    """A revision to be. Without `is_latest` it is kept and not shown, and `blocks` is empty.

    `completion_id` and `award_id` are for a task that was not completed before. `raw_text` is what
    evidence_text holds instead of the document's id, or None.
    """

    id: UUID
    completion_id: UUID
    award_id: UUID
    user_id: UUID
    message: Message
    fingerprint: bytes
    blocks: Mapping[UUID, Block]
    is_latest: bool
    raw_text: str | None


@dataclass(frozen=True)
class Written:
    """`xp_awarded` is the task's value at its first revision, 0 at every other."""

    completion_id: UUID
    number: int
    xp_awarded: int


_NEW = insert(QuestTaskCompletion).from_select(
    [
        "id",
        "user_id",
        "quest_id",
        "task_id",
        "user_quest_task_id",
        "evidence_text",
        "completed_at",
    ],
    select(
        bindparam("completion_id", type_=Uuid),
        bindparam("user_id", type_=Uuid),
        bindparam("quest_id", type_=Uuid),
        bindparam("task_id", type_=Uuid),
        bindparam("task_id", type_=Uuid),
        func.coalesce(bindparam("raw_text", type_=Text), evidence_text(DOCUMENT.c.id)),
        bindparam("submitted_at", type_=QuestTaskCompletion.completed_at.type),
    ),
)
# The one completion of a student and task; a later revision leaves its time as it was.
_COMPLETION = (
    _NEW.on_conflict_do_update(
        index_elements=[QuestTaskCompletion.user_id, QuestTaskCompletion.task_id],
        set_={
            "evidence_text": case(
                (bindparam("is_latest", type_=Boolean), _NEW.excluded.evidence_text),
                else_=QuestTaskCompletion.evidence_text,
            ),
            "updated_at": bindparam("now"),
        },
    )
    .returning(QuestTaskCompletion.id)
    .cte("completion")
)
# Numbered from 1. The enrolment is locked, so numbers do not collide.
_NUMBER = (
    select(func.coalesce(func.max(SubmissionRevision.revision), 0) + 1)
    .where(SubmissionRevision.completion_id == _COMPLETION.c.id)
    .scalar_subquery()
)
_SAID = {
    name: bindparam(name, type_=SubmissionRevision.__table__.c[name].type)
    for name in (
        "spark_assignment_id",
        "spark_course_id",
        "submission_text",
        "grade",
        "fingerprint",
        "submitted_at",
        "block_ids",
    )
}
_REVISION = (
    insert(SubmissionRevision)
    .from_select(
        ["id", "completion_id", "user_id", "revision", *_SAID],
        select(
            bindparam("revision_id", type_=Uuid),
            _COMPLETION.c.id,
            bindparam("user_id", type_=Uuid),
            _NUMBER,
            *_SAID.values(),
        ),
    )
    .returning(SubmissionRevision.revision)
    .cte("revision")
)
_PAID, _BY_PILLAR, _BY_SUBJECT = award(_COMPLETION)
_WRITE = (
    select(
        _COMPLETION.c.id,
        _REVISION.c.revision,
        func.coalesce(select(_PAID.c.xp_amount).scalar_subquery(), 0),
    )
    .join_from(_COMPLETION, _REVISION, true())
    .add_cte(BLOCKS, _BY_PILLAR, _BY_SUBJECT)
)


async def write_revision(
    session: Session,
    draft: Draft,
    standing: Standing,
    *,
    now: datetime,
) -> Written:
    """The caller holds the enrolment's lock."""
    task, payload = standing.task, draft.message.payload
    subjects = subject_xp(task.subject_xp_distribution)
    written = await session.execute(
        _WRITE,
        {
            "user_id": draft.user_id,
            "quest_id": task.quest_id,
            "task_id": task.task_id,
            "now": now,
            "completion_id": draft.completion_id,
            "raw_text": draft.raw_text,
            "is_latest": draft.is_latest,
            "blocks": place_blocks(draft.blocks, kept=standing.kept_places),
            "revision_id": draft.id,
            "block_ids": list(draft.blocks),
            "fingerprint": draft.fingerprint,
            "spark_assignment_id": payload.spark_assignment_id,
            "spark_course_id": payload.spark_course_id,
            "submission_text": payload.submission_text,
            "grade": payload.grade,
            "submitted_at": payload.submitted_at,
            "award_id": draft.award_id,
            "pillar": task.pillar,
            "xp_value": task.xp_value,
            "subjects": list(subjects),
            "subject_xp": list(subjects.values()),
        },
    )
    return Written(*written.one())
