"""A task's evidence as its editor shows it (CONTRACT 11): the document, its blocks, and who wrote
each of them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, bindparam, func, literal_column, select

from app.activity.audit import record_audit
from app.adoption.people import filled
from app.database import Session, Sessions
from app.errors import NotFoundError
from app.evidence.document_version import BLOCK_DIGEST, version_of
from app.evidence.editor_document import (
    EvidenceBlockAnswer,
    EvidenceDocumentAnswer,
    Provenance,
)
from app.evidence.provenance import BLOCK_KEY, IS_BY_SPARK
from app.evidence.revision_files import IS_CURRENT
from app.models import (
    EvidenceBlock,
    EvidenceDocument,
    QuestTaskCompletion,
    SubmissionRevision,
    Upload,
    User,
    UserQuestTask,
)
from app.models.learning import of_task


@dataclass(frozen=True)
class Evidence:
    """Of one task. `completion_id` is None while it is not completed, `revision_id` is the current
    one that Spark handed in. `edited` are blocks that the main app wrote over later than
    `updated_at` tells.
    """

    document: EvidenceDocumentAnswer | None
    blocks: list[EvidenceBlockAnswer]
    completion_id: UUID | None
    revision_id: UUID | None
    edited: frozenset[UUID]


# One statement, so that document, blocks and revision are of one moment.
_EVIDENCE = (
    select(
        *(filled(each).label(f"document_{each.name}") for each in EvidenceDocument.__table__.c),
        *(filled(each).label(f"block_{each.name}") for each in EvidenceBlock.__table__.c),
        func.coalesce(
            User.display_name,
            func.nullif(func.concat_ws(" ", User.first_name, User.last_name), ""),
        ).label("name"),
        QuestTaskCompletion.id.label("completion_id"),
        SubmissionRevision.id.label("revision_id"),
        SubmissionRevision.revision,
        IS_BY_SPARK.label("is_by_spark"),
        Upload.sha256,
        BLOCK_DIGEST,
        # In transactions since the row was written: nothing else tells an edit of the main app's.
        literal_column("age(user_task_evidence_documents.xmin)").label("age_of_document"),
        literal_column("age(evidence_document_blocks.xmin)").label("age_of_block"),
    )
    .select_from(UserQuestTask)
    .outerjoin(EvidenceDocument, of_task(EvidenceDocument, UserQuestTask))
    .outerjoin(EvidenceBlock, EvidenceBlock.document_id == EvidenceDocument.id)
    .outerjoin(User, User.id == EvidenceBlock.uploaded_by_user_id)
    .outerjoin(QuestTaskCompletion, of_task(QuestTaskCompletion, UserQuestTask))
    .outerjoin(SubmissionRevision, IS_CURRENT)
    .outerjoin(Upload, IS_BY_SPARK & (Upload.object_key == BLOCK_KEY))
    .where(UserQuestTask.user_id == bindparam("user_id"))
    .order_by(EvidenceBlock.order_index)
)
_OF_TASK = _EVIDENCE.where(UserQuestTask.id == bindparam("task_id"))
_OF_DOCUMENT = _EVIDENCE.where(EvidenceDocument.id == bindparam("document_id"))


async def get_evidence(
    sessions: Sessions, task_id: UUID, *, user_id: UUID, caller: str
) -> Evidence:
    """Audited, unless the caller is the student. Raises NotFoundError, for another student's task
    as for an unknown one.
    """
    async with sessions() as session, session.begin():
        evidence = await read_evidence(session, task_id, user_id=user_id)
        await _audit(session, evidence, caller)
    return evidence


async def get_document(
    sessions: Sessions, document_id: UUID, *, user_id: UUID, caller: str
) -> Evidence:
    """As `get_evidence`."""
    ids = {"document_id": document_id, "user_id": user_id}
    async with sessions() as session, session.begin():
        found = await session.execute(_OF_DOCUMENT, ids)
        evidence = _evidence(found.mappings().all())
        await _audit(session, evidence, caller)
    return evidence


async def _audit(session: Session, evidence: Evidence, caller: str) -> None:
    document = evidence.document
    if document is not None and caller != f"user:{document.user_id}":
        ids = {"document_id": str(document.id), "task_id": str(document.task_id)}
        await record_audit(session, caller, "sensitive_read", user_id=document.user_id, **ids)


async def read_evidence(session: Session, task_id: UUID, *, user_id: UUID) -> Evidence:
    """As `get_evidence` does, for who is about to write: that is audited itself."""
    ids = {"task_id": task_id, "user_id": user_id}
    found = await session.execute(_OF_TASK, ids)
    return _evidence(found.mappings().all())


def _evidence(rows: Sequence[RowMapping]) -> Evidence:
    if not rows:
        raise NotFoundError
    first = rows[0]
    return Evidence(
        document=_document(rows) if first["document_id"] else None,
        blocks=[
            EvidenceBlockAnswer(
                **_part(row, "block_"), uploaded_by_name=row["name"], provenance=_provenance(row)
            )
            for row in rows
            if row["block_id"]
        ],
        completion_id=first["completion_id"],
        revision_id=first["revision_id"],
        edited=_edited([row for row in rows if row["block_id"]]),
    )


def _edited(rows: Sequence[RowMapping]) -> frozenset[UUID]:
    """Written later than the document and the newest block, of which `updated_at` tells. An edit of
    that block itself is not seen.
    """
    newest = max((row["block_created_at"] for row in rows), default=None)
    told = [
        row["age_of_document"] if newest <= row["document_updated_at"] else row["age_of_block"]
        for row in rows
        if row["block_created_at"] == newest
    ]
    if told:
        told = [min(max(told), rows[0]["age_of_document"])]
    return frozenset(row["block_id"] for row in rows if row["age_of_block"] < told[0])


def _document(rows: Sequence[RowMapping]) -> EvidenceDocumentAnswer:
    facts = _part(rows[0], "document_")
    blocks = [(row["block_created_at"], row["digest"]) for row in rows if row["block_id"]]
    facts["updated_at"], version = version_of(facts["updated_at"], blocks)
    return EvidenceDocumentAnswer(**facts, version=version)


def _provenance(row: RowMapping) -> Provenance:
    if not row["is_by_spark"]:
        return Provenance(written_by=row["block_uploaded_by_role"] or "student")
    sha256, content = row["sha256"], row["block_content"]
    if sha256 is None and "text" in content:
        sha256 = hashlib.sha256(content["text"].encode()).digest()
    return Provenance(
        written_by="spark",
        submission_id=row["revision_id"],
        revision=row["revision"],
        sha256=sha256.hex() if sha256 else None,
    )


def _part(row: RowMapping, prefix: str) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)
    }
