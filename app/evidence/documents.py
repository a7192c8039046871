"""A student's evidence document for a task, and its blocks in the shapes of CONTRACT 12.

Every function runs in the caller's transaction. Blocks the student wrote are never touched:
`replace_blocks` removes exactly the ids it is given and writes into free places.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from app.database import Session
from app.models import EvidenceBlock, EvidenceDocument


@dataclass(frozen=True)
class Block:
    block_type: str
    content: dict[str, Any]


@dataclass(frozen=True)
class EvidenceFile:
    """A stored file, as a block shows it; `pointer` is `<bucket>/<object key>`."""

    pointer: str
    filename: str
    content_type: str
    size_bytes: int


def text_block(text: str) -> Block:
    return Block("text", {"text": text})


def file_block(file: EvidenceFile) -> Block:
    facts = {
        "url": file.pointer,
        "filename": file.filename,
        "file_size": file.size_bytes,
        "content_type": file.content_type,
    }
    match file.content_type.partition("/")[0]:
        case "image":
            caption = f"Submitted via Spark LMS: {file.filename}"
            return Block("image", facts | {"alt": file.filename, "caption": caption})
        case "video":
            return Block("video", facts | {"title": file.filename, "platform": "custom"})
        case _:
            return Block("document", facts | {"title": file.filename})


def evidence_text(document_id: UUID) -> str:
    """What the main app's readers parse to find the blocks (CONTRACT 12)."""
    return f"Multi-format evidence document (Document ID: {document_id})"


async def complete_document(
    session: Session, *, user_id: UUID, quest_id: UUID, task_id: UUID, now: datetime
) -> UUID:
    """The one document of this student and task, completed; made if it was missing."""
    completed = await session.execute(
        insert(EvidenceDocument)
        .values(
            user_id=user_id,
            quest_id=quest_id,
            task_id=task_id,
            status="completed",
            completed_at=now,
        )
        .on_conflict_do_update(
            index_elements=[EvidenceDocument.user_id, EvidenceDocument.task_id],
            set_={"status": "completed", "completed_at": now, "updated_at": now},
        )
        .returning(EvidenceDocument.id)
    )
    return completed.scalar_one()


async def replace_blocks(
    session: Session,
    document_id: UUID,
    blocks: Sequence[Block],
    *,
    old_ids: Sequence[UUID],
    user_id: UUID,
) -> list[UUID]:
    """Write `blocks` in place of the blocks `old_ids`; their new ids, in order."""
    if old_ids:
        await session.execute(delete(EvidenceBlock).where(EvidenceBlock.id.in_(old_ids)))
    kept = await session.execute(
        select(EvidenceBlock.order_index).where(EvidenceBlock.document_id == document_id)
    )
    places = _free_places(set(kept.scalars()))
    rows = [
        {
            "document_id": document_id,
            "block_type": block.block_type,
            "content": block.content,
            "order_index": next(places),
            "uploaded_by_user_id": user_id,
        }
        for block in blocks
    ]
    written = await session.execute(
        insert(EvidenceBlock).values(rows).returning(EvidenceBlock.order_index, EvidenceBlock.id)
    )
    return [block_id for _, block_id in sorted(written.all())]


def _free_places(taken: set[int]) -> Iterator[int]:
    place = 0
    while True:
        if place not in taken:
            yield place
        place += 1
