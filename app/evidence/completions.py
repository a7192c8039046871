"""A completion as the main app shows it: what was paid, the evidence blocks, the files."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from app.activity.audit import record_audit
from app.database import Session, Sessions
from app.errors import NotFoundError
from app.evidence.revision_files import FILES_OF, list_files
from app.models import (
    EvidenceBlock,
    EvidenceDocument,
    QuestTaskCompletion,
    SubmissionRevision,
    XpAward,
)
from app.storage.kept_file import KeptFile


@dataclass(frozen=True)
class StoredBlock:
    """A block in the columns of CONTRACT 11; a file's `content["url"]` is its pointer."""

    id: UUID
    document_id: UUID
    block_type: str
    content: dict[str, Any]
    order_index: int
    is_private: bool
    created_at: datetime
    uploaded_by_user_id: UUID | None
    uploaded_by_role: str


@dataclass(frozen=True)
class Completion:
    """`revision` is None for a completion that did not come from Spark."""

    id: UUID
    user_id: UUID
    quest_id: UUID
    task_id: UUID
    completed_at: datetime
    xp_awarded: int
    revision: int | None
    document_id: UUID | None
    document_status: str | None
    blocks: list[StoredBlock]
    files: list[KeptFile]


async def get_completion(sessions: Sessions, completion_id: UUID, *, caller: str) -> Completion:
    """With the files of its current revision. Audited. Raises NotFoundError."""
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(
                QuestTaskCompletion.id,
                QuestTaskCompletion.user_id,
                QuestTaskCompletion.quest_id,
                QuestTaskCompletion.task_id,
                QuestTaskCompletion.completed_at,
                func.coalesce(XpAward.xp_amount, 0).label("xp_awarded"),
                EvidenceDocument.id.label("document_id"),
                EvidenceDocument.status.label("document_status"),
            )
            .outerjoin(
                XpAward,
                (XpAward.task_id == QuestTaskCompletion.task_id)
                & (XpAward.user_id == QuestTaskCompletion.user_id),
            )
            .outerjoin(
                EvidenceDocument,
                (EvidenceDocument.task_id == QuestTaskCompletion.task_id)
                & (EvidenceDocument.user_id == QuestTaskCompletion.user_id),
            )
            .where(QuestTaskCompletion.id == completion_id)
        )
        facts = found.mappings().one_or_none()
        if facts is None:
            raise NotFoundError
        await record_audit(
            session,
            caller,
            "sensitive_read",
            user_id=facts["user_id"],
            completion_id=str(completion_id),
        )
        files_of, revision = await _current_revision(session, completion_id)
        return Completion(
            **facts,
            revision=revision,
            blocks=await _blocks(session, facts["document_id"]),
            files=(await list_files(session, [files_of]))[files_of] if files_of else [],
        )


async def _current_revision(
    session: Session, completion_id: UUID
) -> tuple[UUID | None, int | None]:
    """The revision that its files came with, and its number."""
    found = await session.execute(
        select(FILES_OF, SubmissionRevision.revision).where(
            SubmissionRevision.completion_id == completion_id,
            SubmissionRevision.replaced_at.is_(None),
        )
    )
    revision = found.one_or_none()
    return (revision[0], revision[1]) if revision else (None, None)


async def _blocks(session: Session, document_id: UUID | None) -> list[StoredBlock]:
    found = await session.execute(
        select(
            EvidenceBlock.id,
            EvidenceBlock.document_id,
            EvidenceBlock.block_type,
            EvidenceBlock.content,
            EvidenceBlock.order_index,
            EvidenceBlock.is_private,
            EvidenceBlock.created_at,
            EvidenceBlock.uploaded_by_user_id,
            EvidenceBlock.uploaded_by_role,
        )
        .where(EvidenceBlock.document_id == document_id)
        .order_by(EvidenceBlock.order_index)
    )
    return [StoredBlock(**row) for row in found.mappings()]
