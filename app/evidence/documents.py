"""A student's evidence document for a task, and its blocks in the shapes of CONTRACT 12.

Every function runs in the caller's transaction. Blocks the student wrote are never touched:
`replace_blocks` removes exactly the ids it is given and writes into free places.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, select
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


# Built once: building a statement costs more than running it.
_NEW = insert(EvidenceDocument)
_COMPLETE = _NEW.on_conflict_do_update(
    index_elements=[EvidenceDocument.user_id, EvidenceDocument.task_id],
    set_={
        "status": _NEW.excluded.status,
        "completed_at": _NEW.excluded.completed_at,
        "updated_at": _NEW.excluded.completed_at,
    },
).returning(EvidenceDocument.id)
_PLACES = select(EvidenceBlock.order_index).where(
    EvidenceBlock.document_id == bindparam("document_id")
)
_WRITE = insert(EvidenceBlock)


async def complete_document(
    session: Session, *, user_id: UUID, quest_id: UUID, task_id: UUID, now: datetime
) -> UUID:
    """The one document of this student and task, completed; made if it was missing."""
    completed = await session.execute(
        _COMPLETE,
        {
            "user_id": user_id,
            "quest_id": quest_id,
            "task_id": task_id,
            "status": "completed",
            "completed_at": now,
        },
    )
    document_id: UUID = completed.scalar_one()
    return document_id


async def replace_blocks(
    session: Session,
    document_id: UUID,
    blocks: Mapping[UUID, Block],
    *,
    old_ids: Sequence[UUID],
    user_id: UUID,
) -> None:
    """Write `blocks`, under their ids, in place of the blocks `old_ids`."""
    if old_ids:
        await session.execute(delete(EvidenceBlock).where(EvidenceBlock.id.in_(old_ids)))
    kept = await session.execute(_PLACES, {"document_id": document_id})
    places = _free_places(set(kept.scalars()))
    await session.execute(
        _WRITE,
        [
            {
                "id": block_id,
                "document_id": document_id,
                "block_type": block.block_type,
                "content": block.content,
                "order_index": next(places),
                "uploaded_by_user_id": user_id,
            }
            for block_id, block in blocks.items()
        ],
    )


def _free_places(taken: set[int]) -> Iterator[int]:
    place = 0
    while True:
        if place not in taken:
            yield place
        place += 1
