"""Writing what was edited: few statements, whatever the number of blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Uuid,
    any_,
    bindparam,
    delete,
    func,
    null,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from app.activity.audit import Action, record_audit
from app.activity.record_event import record_event
from app.database import Session
from app.evidence.document_version import read_version
from app.evidence.documents import evidence_text, insert_blocks, keep_native, next_version
from app.evidence.links import object_keys
from app.files.uploads import release_files
from app.models import EvidenceBlock, EvidenceDocument, QuestTaskCompletion, SubmissionRevision
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


# A parameter that is named like a column of an updated table would be written into it.
_NOW = bindparam("at", type_=EvidenceDocument.updated_at.type)
_NEW = insert(EvidenceDocument).values(
    user_id=bindparam("of_user"),
    quest_id=bindparam("of_quest"),
    task_id=bindparam("of_task"),
    status=bindparam("new_status"),
    completed_at=bindparam("finished_at"),
    updated_at=func.greatest(_NOW, func.now()),
)
_DOCUMENT = (
    _NEW.on_conflict_do_update(
        index_elements=[EvidenceDocument.user_id, EvidenceDocument.task_id],
        set_={
            "status": _NEW.excluded.status,
            "completed_at": func.coalesce(
                EvidenceDocument.completed_at, _NEW.excluded.completed_at
            ),
            "updated_at": next_version(_NEW.excluded.updated_at),
        },
    )
    .returning(EvidenceDocument.id)
    .cte("document")
)
_NEW_BLOCKS = insert_blocks(_DOCUMENT)
_BLOCKS = _NEW_BLOCKS.on_conflict_do_update(
    index_elements=[EvidenceBlock.id],
    set_={
        name: _NEW_BLOCKS.excluded[name]
        for name in ("block_type", "content", "order_index", "is_private")
    },
).cte("blocks")
_BY_SPARK = (
    update(SubmissionRevision)
    .where(SubmissionRevision.id == bindparam("revision_id", type_=Uuid))
    .values(block_ids=bindparam("by_spark", type_=ARRAY(Uuid)))
    .cte("by_spark")
)
# Whatever evidence_text held: it must not tell what the student hides from now on (DEFECTS 62).
_HIDDEN = (
    update(QuestTaskCompletion)
    .where(
        QuestTaskCompletion.user_id == bindparam("of_user"),
        QuestTaskCompletion.task_id == bindparam("of_task"),
    )
    .values(
        evidence_text=evidence_text(select(_DOCUMENT.c.id).scalar_subquery()),
        evidence_url=null(),
        updated_at=_NOW,
    )
    .cte("hidden")
)
_NATIVE = keep_native(_DOCUMENT, bindparam("of_user", type_=Uuid), bindparam("of_task", type_=Uuid))
_WRITE = select(_DOCUMENT.c.id).add_cte(_BLOCKS, _BY_SPARK, _HIDDEN, _NATIVE)

_DELETE = delete(EvidenceBlock).where(
    EvidenceBlock.id == any_(bindparam("gone", type_=ARRAY(Uuid)))
)
# Places are unique, which is checked row by row.
_STEP_ASIDE = (
    update(EvidenceBlock)
    .where(EvidenceBlock.id == any_(bindparam("moved", type_=ARRAY(Uuid))))
    .values(order_index=-1 - EvidenceBlock.order_index)
)


_TOUCH = (
    update(EvidenceDocument)
    .where(EvidenceDocument.task_id == bindparam("of_task"))
    .where(EvidenceDocument.user_id == bindparam("of_user"))
    .values(updated_at=next_version(_NOW))
)


async def touch_document(session: Session, opened: OpenEvidence) -> None:
    """Whoever reads again has seen what the main app edited, and says so by `updated_at`."""
    editor, task_id = opened.editor, opened.task.task_id
    said = {"of_task": task_id, "of_user": editor.user_id, "at": editor.now}
    await session.execute(_TOUCH, said)


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
    written = await session.execute(
        _WRITE,
        {
            "of_user": editor.user_id,
            "of_quest": task.quest_id,
            "of_task": task.task_id,
            "new_status": status,
            "at": editor.now,
            "finished_at": editor.now if status == "completed" else None,
            "blocks": change.rows,
            "revision_id": opened.before.revision_id,
            "by_spark": list(change.by_spark),
        },
    )
    document_id: UUID = written.scalar_one()
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
