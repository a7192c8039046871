"""A completion as the main app shows it: what was paid, the evidence blocks, the files."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import RowMapping, bindparam, func, select

from app.activity.audit import record_audit
from app.adoption.people import filled
from app.database import Session, Sessions
from app.errors import NotFoundError
from app.evidence.editor_document import EditorBlock
from app.evidence.link_file import HandedInFile, link_file
from app.evidence.links import Links
from app.evidence.revision_files import FILES_OF, IS_CURRENT, list_files
from app.fields import DocumentId, Id, Moment, QuestId, UserId
from app.models import (
    EvidenceBlock,
    EvidenceDocument,
    QuestTaskCompletion,
    SubmissionRevision,
    XpAward,
)
from app.models.learning import of_task
from app.storage.bucket import Bucket
from app.storage.kept_file import KeptFile


class CompletionDocument(BaseModel):
    """The student's evidence document for the task."""

    id: DocumentId
    status: Literal["draft", "completed"] = Field(
        description="A completed document never falls back to draft.", examples=["completed"]
    )


class CompletionFacts(BaseModel):
    """A completed task."""

    id: Id = Field(description="The completion.")
    user_id: UserId
    quest_id: QuestId
    task_id: Id = Field(description="The student's copy of the task.")
    completed_at: Moment = Field(description="When it was first handed in.")
    xp_awarded: int = Field(description="Paid for the task, once.", examples=[100])
    revision: int | None = Field(
        description="The current revision; null if none came from Spark, or is kept.",
        examples=[1],
    )
    document: CompletionDocument | None = Field(
        description="Null when there is no evidence document."
    )


class CompletionAnswer(CompletionFacts):
    """A completed task with its evidence."""

    blocks: list[EditorBlock] = Field(description="In order.")
    files: list[HandedInFile] = Field(
        description=(
            "As handed in with the current revision, in the order received, also what the student"
            " has hidden or removed since: show others `blocks` that are not private."
        )
    )


COMPLETIONS = (
    select(
        QuestTaskCompletion.id,
        QuestTaskCompletion.user_id,
        QuestTaskCompletion.quest_id,
        QuestTaskCompletion.task_id,
        filled(QuestTaskCompletion.__table__.c.completed_at).label("completed_at"),
        func.coalesce(XpAward.xp_amount, 0).label("xp_awarded"),
        EvidenceDocument.id.label("document_id"),
        EvidenceDocument.status.label("document_status"),
        FILES_OF.label("files_of"),
        SubmissionRevision.revision,
    )
    .outerjoin(XpAward, of_task(XpAward, QuestTaskCompletion))
    .outerjoin(EvidenceDocument, of_task(EvidenceDocument, QuestTaskCompletion))
    .outerjoin(SubmissionRevision, IS_CURRENT)
)
_COMPLETION = COMPLETIONS.where(QuestTaskCompletion.id == bindparam("completion_id"))
_BLOCKS = (
    select(
        *(filled(EvidenceBlock.__table__.c[name]).label(name) for name in EditorBlock.model_fields)
    )
    .where(EvidenceBlock.document_id == bindparam("document_id"))
    .order_by(EvidenceBlock.order_index)
)


async def get_completion(
    sessions: Sessions, bucket: Bucket, completion_id: UUID, *, caller: str, now: datetime
) -> CompletionAnswer:
    """With the files of its current revision, and signed links. Audited. Raises NotFoundError."""
    async with sessions() as session, session.begin():
        found = await session.execute(_COMPLETION, {"completion_id": completion_id})
        facts = found.mappings().one_or_none()
        if facts is None:
            raise NotFoundError
        ids = {"user_id": facts["user_id"], "completion_id": str(completion_id)}
        await record_audit(session, caller, "sensitive_read", **ids)
        blocks = await session.execute(_BLOCKS, {"document_id": facts["document_id"]})
        files = await _files(session, facts)
    links = Links(bucket, facts["user_id"], now)
    return CompletionAnswer(
        **completion_facts(facts),
        blocks=[
            EditorBlock.model_validate(
                {
                    **block,
                    "content": await links.show(block["content"], block["uploaded_by_user_id"]),
                }
            )
            for block in blocks.mappings()
        ],
        files=[link_file(bucket, file, now) for file in files],
    )


async def _files(session: Session, facts: RowMapping) -> list[KeptFile]:
    files_of = facts["files_of"]
    return (await list_files(session, [files_of]))[files_of] if files_of else []


def completion_facts(facts: RowMapping) -> dict[str, Any]:
    """A row of COMPLETIONS with its document."""
    return {**facts, "document": _document(facts)}


def _document(facts: RowMapping) -> CompletionDocument | None:
    if facts["document_id"] is None:
        return None
    return CompletionDocument.model_validate(
        {"id": facts["document_id"], "status": facts["document_status"]}
    )
