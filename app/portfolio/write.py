"""Writing what was edited: few statements, whatever the number of blocks."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, delete, update

from app.activity.audit import Action, record_audit
from app.activity.record_event import record_event
from app.database import Session, Statement
from app.evidence.document_version import read_version
from app.evidence.documents import (
    EVIDENCE_TEXT_SQL,
    INSERT_BLOCKS_SQL,
    NATIVE_SQL,
    NEXT_VERSION_SQL,
)
from app.evidence.links import object_keys
from app.files.uploads import release_files
from app.models import EvidenceBlock
from app.portfolio.merge import DocumentChange
from app.portfolio.open_evidence import OpenEvidence
from app.storage.bucket import Bucket

PAGE = "/internal/v1/evidence"


@dataclass(frozen=True)
class DocumentVersion:
    """The document as it is now. `released` are uploads that nothing names any more."""

    document_id: UUID
    updated_at: datetime
    version: str
    status: str
    released: Sequence[UUID]


# Of `hidden`: whatever evidence_text held, it must not tell what the student hides from now on
# (DEFECTS 62).
_WRITE = Statement(
    f"""
    with document as (
      insert into user_task_evidence_documents as d
        (user_id, quest_id, task_id, status, completed_at, updated_at)
      values (:user_id, :quest_id, :task_id, :status, :completed_at,
        greatest(:now::timestamptz, now()))
      on conflict (user_id, task_id) do update set
        status = excluded.status, completed_at = coalesce(d.completed_at, excluded.completed_at),
        updated_at = {NEXT_VERSION_SQL.format(now="excluded.updated_at", document="d")}
      returning id),
    block as ({INSERT_BLOCKS_SQL}
      on conflict (id) do update set
        block_type = excluded.block_type, content = excluded.content,
        order_index = excluded.order_index, is_private = excluded.is_private),
    by_spark as (
      update spark.submission_revisions set block_ids = :by_spark::uuid[]
      where id = :revision_id::uuid),
    hidden as (
      update quest_task_completions
      set evidence_text = {EVIDENCE_TEXT_SQL}, evidence_url = null, updated_at = :now
      from document where user_id = :user_id and task_id = :task_id),
    {NATIVE_SQL}
    select id from document
    """  # noqa: S608 - of our own pieces
)
_TOUCH = Statement(
    f"""
    update user_task_evidence_documents d
    set updated_at = {NEXT_VERSION_SQL.format(now=":now::timestamptz", document="d")}
    where user_id = :user_id and task_id = :task_id
    """  # noqa: S608 - of our own pieces
)
_DELETE = delete(EvidenceBlock).where(
    EvidenceBlock.id == any_(bindparam("gone", type_=ARRAY(Uuid)))
)
# Places are unique, which is checked row by row.
_STEP_ASIDE = (
    update(EvidenceBlock)
    .where(EvidenceBlock.id == any_(bindparam("moved", type_=ARRAY(Uuid))))
    .values(order_index=-1 - EvidenceBlock.order_index)
)


async def touch_document(session: Session, opened: OpenEvidence) -> None:
    """Whoever reads again has seen what the main app edited, and says so by `updated_at`."""
    editor, task_id = opened.editor, opened.task.task_id
    said = {"task_id": task_id, "user_id": editor.user_id, "now": editor.now}
    await _TOUCH.send(session, said)


async def write_change(
    session: Session, bucket: Bucket, opened: OpenEvidence, change: DocumentChange, action: Action
) -> DocumentVersion:
    """The caller holds the task's lock. A completed document stays completed."""
    task, editor = opened.task, opened.editor
    if change.gone:
        await session.execute(_DELETE, {"gone": list(change.gone)})
    if change.moved:
        await session.execute(_STEP_ASIDE, {"moved": list(change.moved)})
    status = "completed" if opened.is_completed or change.completes else "draft"
    [written] = await _WRITE.send(
        session,
        {
            "user_id": editor.user_id,
            "quest_id": task.quest_id,
            "task_id": task.task_id,
            "status": status,
            "now": editor.now,
            "completed_at": editor.now if status == "completed" else None,
            "blocks": json.dumps(change.rows),
            "revision_id": opened.before.revision_id,
            "by_spark": list(change.by_spark),
        },
    )
    document_id: UUID = written["id"]
    released = await release_files(session, document_id, named=object_keys(bucket, change.contents))
    await _tell(session, opened, document_id, status, action)
    updated_at, version = await read_version(session, document_id)
    return DocumentVersion(document_id, updated_at, version, status, released)


async def _tell(
    session: Session, opened: OpenEvidence, document_id: UUID, status: str, action: Action
) -> None:
    """The main app, and the audit log: by ids alone."""
    editor = opened.editor
    ids = {"document_id": str(document_id), "task_id": str(opened.task.task_id)}
    await record_event(
        session,
        "spark_evidence_updated",
        user_id=editor.user_id,
        session_id=editor.new_id(),
        data=ids | {"quest_id": str(opened.task.quest_id), "status": status},
        page_url=PAGE,
    )
    await record_audit(session, editor.caller, action, user_id=editor.user_id, **ids)
