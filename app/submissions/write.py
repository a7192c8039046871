"""Everything that a new revision adds, in one statement: document and blocks, the completion, XP,
the revision, the event, and what the sender is answered.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from app.activity.record_event import EVENT_SQL
from app.adoption.shape import LiveShape
from app.database import Session, Statement
from app.deliveries.inbox import COLUMNS, DELIVERY_SQL
from app.evidence.documents import (
    EVIDENCE_TEXT_SQL,
    INSERT_BLOCKS_SQL,
    NATIVE_SQL,
    NEXT_VERSION_SQL,
    NewBlock,
    file_block,
    place_blocks,
    text_block,
)
from app.learning.completion import COMPLETION_SQL
from app.learning.enrolment import SETTLED_SQL, Task
from app.learning.experience import AWARDED_SQL, award_parameters
from app.storage.bucket import Bucket
from app.storage.kept_file import KeptFile
from app.submissions.idempotency import ANSWERED_SQL
from app.submissions.revisions import Revision, Standing

# Of a revision that no message asked for.
NOBODY_WAITS: dict[str, Any] = {
    **dict.fromkeys(f"delivery_{name}" for name in COLUMNS),
    "completes_quests": False,
    "keys": [],
    "owner": None,
    "answer": None,
}
# Of a message: what is known once the revision is written.
_RESPONSE = """(
        select :answer::jsonb || jsonb_build_object('completion_id', completion_id,
          'revision', revision, 'xp_awarded', xp_awarded)
        from made)"""


class Content(NamedTuple):
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

    def event(self, task: Task) -> dict[str, Any]:
        """What its event says (CONTRACT 9.1), beside what is counted and what WRITE adds."""
        return {
            "submission_id": str(self.id),
            "spark_assignment_id": self.content.spark_assignment_id,
            "spark_course_id": self.content.spark_course_id,
            "quest_id": str(task.quest_id),
            "task_id": str(task.task_id),
        }


# Numbered from 1: the enrolment is locked, so numbers do not collide.
WRITE = Statement(
    f"""
    with document as (
      insert into user_task_evidence_documents as d
        (user_id, quest_id, task_id, status, completed_at)
      values (:user_id, :quest_id, :task_id, 'completed', :now)
      on conflict (user_id, task_id) do update set
        status = excluded.status, completed_at = excluded.completed_at,
        updated_at = {NEXT_VERSION_SQL.format(now="excluded.updated_at", document="d")}
      returning id),
    block as ({INSERT_BLOCKS_SQL}),
    {NATIVE_SQL},
    {COMPLETION_SQL.format(evidence_text=EVIDENCE_TEXT_SQL)},
    {AWARDED_SQL},
    revision as (
      insert into spark.submission_revisions (id, completion_id, user_id, quest_id, replaced_at,
        revision, spark_assignment_id, spark_course_id, submission_text, grade, fingerprint,
        submitted_at, restored_from, written_ids, block_ids)
      select :revision_id::uuid, completion.id, :user_id, :quest_id,
        case when not :is_latest then :now end, coalesce((
          select max(r.revision) from spark.submission_revisions r
          where r.completion_id = completion.id), 0) + 1,
        :spark_assignment_id::text, :spark_course_id::text, :submission_text::text,
        :grade::numeric, :fingerprint::bytea, :completed_at, :restored_from::uuid,
        :block_ids::uuid[], :block_ids
      from completion
      returning completion_id, revision),
    made as (
      select completion_id, revision, coalesce((select xp_amount from paid), 0) as xp_awarded
      from revision),
    event_data as (
      select :event_event_data::jsonb || jsonb_build_object('completion_id', completion_id,
        'revision', revision, 'is_first', revision = 1, 'xp_awarded', xp_awarded,
        'pillar', :pillar, 'document_id', (select id from document)) as said
      from made),
    {EVENT_SQL},
    {SETTLED_SQL},
    {ANSWERED_SQL.format(response=_RESPONSE)},
    {DELIVERY_SQL}
    select * from made
    """  # noqa: S608 - of our own pieces
)


async def write_revision(
    session: Session,
    draft: Draft,
    standing: Standing,
    shape: LiveShape,
    told: Mapping[str, Any],
    *,
    now: datetime,
) -> tuple[Revision, int]:
    """The revision, and the XP that was paid: the task's value where this completed it, else 0.

    `told` is what follows from it: the values of EVENT_SQL, and those of SETTLED_SQL, ANSWERED_SQL
    and DELIVERY_SQL, or NOBODY_WAITS. The caller holds the enrolment's lock.
    """
    task, content = standing.task, draft.content
    defers_credit = (await shape.read(session)).defers_credit
    blocks = place_blocks(
        draft.blocks,
        user_id=standing.user_id,
        kept=standing.kept_places,
        is_private=draft.is_private,
    )
    [made] = await WRITE.send(
        session,
        {
            "user_id": standing.user_id,
            "user_quest_id": standing.user_quest_id,
            "quest_id": task.quest_id,
            "now": now,
            "completion_id": draft.completion_id,
            "raw_text": content.submission_text if draft.is_raw and not draft.is_private else None,
            "is_latest": draft.is_latest,
            "blocks": json.dumps(blocks),
            "revision_id": draft.id,
            "block_ids": list(draft.blocks),
            "completed_at": content.submitted_at,
            **content._asdict(),
            **award_parameters(task, draft.award_id, defers_credit=defers_credit),
            **told,
        },
    )
    revision = Revision(
        id=draft.id,
        completion_id=made["completion_id"],
        number=made["revision"],
        fingerprint=content.fingerprint,
        submitted_at=content.submitted_at,
        files_of=content.restored_from or draft.id,
    )
    return revision, made["xp_awarded"]
