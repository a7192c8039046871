"""A student's evidence document for a task, and its blocks in the shapes of CONTRACT 12.

Blocks the student wrote are never touched: Spark's of the revision before are removed, and free
places are written into.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    Boolean,
    ColumnElement,
    Integer,
    Text,
    Uuid,
    bindparam,
    column,
    func,
    literal,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert

from app.models import EvidenceBlock, EvidenceDocument, QuestTaskCompletion
from app.storage.bucket import Bucket
from app.storage.kept_file import KeptFile

FILE_MEMBERS = ("url", "filename", "file_size", "content_type")


NewBlock = tuple[str, dict[str, Any]]  # its type and its content


def text_block(text: str) -> NewBlock:
    return "text", {"text": text}


def file_block(bucket: Bucket, file: KeptFile) -> NewBlock:
    members, name = file_members(bucket, file), file.filename
    match file.content_type.partition("/")[0]:
        case "image":
            return "image", members | {"alt": name, "caption": f"Submitted via Spark LMS: {name}"}
        case "video":
            return "video", members | {"title": name, "platform": "custom"}
        case _:
            return "document", members | {"title": name}


def file_members(bucket: Bucket, file: KeptFile) -> dict[str, Any]:
    """What the content of every block with a file has."""
    facts = (
        bucket.pointers.write(bucket.pointers.place(file.object_key)),
        file.filename,
        file.size_bytes,
        file.content_type,
    )
    return dict(zip(FILE_MEMBERS, facts, strict=True))


NAMES_DOCUMENT = "Multi-format evidence document (Document ID: "
EVIDENCE_TEXT_SQL = f"concat('{NAMES_DOCUMENT}', document.id, ')')"  # of a row `document`


def evidence_text(document_id: ColumnElement[UUID]) -> ColumnElement[str]:
    """What the main app's readers parse to find the blocks (CONTRACT 12)."""
    return func.concat(NAMES_DOCUMENT, document_id, ")")


def next_version(now: ColumnElement[datetime]) -> ColumnElement[datetime]:
    """Of a document that is written: its `updated_at` strictly grows, whatever the clock says, and
    also if cut to milliseconds (DESIGN R38). No block of it is newer, but those of the main app.
    """
    return func.greatest(now, EvidenceDocument.updated_at + timedelta(milliseconds=1))


# The rows of `:blocks`.
_BLOCK = (
    func.jsonb_to_recordset(bindparam("blocks", type_=JSONB))
    .table_valued(
        column("id", Uuid),
        column("block_type", Text),
        column("content", JSONB),
        column("order_index", Integer),
        column("is_private", Boolean),
        column("uploaded_by_user_id", Uuid),
        column("uploaded_by_role", EvidenceBlock.uploaded_by_role.type),
    )
    .render_derived("block", with_types=True)
)


def insert_blocks(document: CTE) -> Insert:
    """A piece of a statement: `:blocks` are written into the document."""
    return insert(EvidenceBlock).from_select(
        ["document_id", *_BLOCK.c.keys()],
        select(document.c.id, *_BLOCK.c).join_from(_BLOCK, document, true()),
    )


def keep_native(document: CTE, user_id: ColumnElement[UUID], task_id: ColumnElement[UUID]) -> CTE:
    """A piece of a statement that makes a document: what a native completion told without one, in
    columns that name the document from now on (CONTRACT 12), goes behind `:blocks`, as the
    student's own.
    """
    native = QuestTaskCompletion
    text, url = native.evidence_text, native.evidence_url
    had_document = (
        select(EvidenceDocument.id)
        .where(EvidenceDocument.user_id == user_id, EvidenceDocument.task_id == task_id)
        .exists()
    )
    told = (
        ("text", text.regexp_match(r"\S") & ~text.startswith(NAMES_DOCUMENT), ("text", text)),
        ("link", url.regexp_match("^https?://"), ("url", url, "title", url)),
    )
    place = func.jsonb_array_length(bindparam("blocks", type_=JSONB))
    blocks = (
        select(
            document.c.id,
            literal(kind),
            func.jsonb_build_object(*content),
            place + number,
            native.is_confidential,
            native.user_id,
            literal("student", EvidenceBlock.uploaded_by_role.type),
        )
        .join_from(document, native, true())
        .where(native.user_id == user_id, native.task_id == task_id, is_told, ~had_document)
        for number, (kind, is_told, content) in enumerate(told)
    )
    columns = [name for name in ("document_id", *_BLOCK.c.keys()) if name != "id"]
    return insert(EvidenceBlock).from_select(columns, union_all(*blocks)).cte("native")


def free_places(kept: Sequence[int]) -> Iterator[int]:
    """The places in a document that nobody holds, without end."""
    taken = set(kept)
    return (place for place in count() if place not in taken)


def place_blocks(
    blocks: Mapping[UUID, NewBlock], *, user_id: UUID, kept: Sequence[int], is_private: bool
) -> list[dict[str, Any]]:
    """The student's blocks as `:blocks`, each in the first place that nobody holds."""
    free = free_places(kept)
    return [
        {
            "id": str(block_id),
            "block_type": block_type,
            "content": content,
            "order_index": place,
            "is_private": is_private,
            "uploaded_by_user_id": str(user_id),
            "uploaded_by_role": "student",
        }
        for (block_id, (block_type, content)), place in zip(blocks.items(), free, strict=False)
    ]
