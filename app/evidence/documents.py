"""A student's evidence document for a task, and its blocks in the shapes of CONTRACT 12.

Blocks the student wrote are never touched: Spark's of the revision before are removed, and free
places are written into.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any
from uuid import UUID

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
        file.stored_bytes,
        file.content_type,
    )
    return dict(zip(FILE_MEMBERS, facts, strict=True))


NAMES_DOCUMENT = "Multi-format evidence document (Document ID: "
# Of a row `document`: what the main app's readers parse to find the blocks (CONTRACT 12).
EVIDENCE_TEXT_SQL = f"concat('{NAMES_DOCUMENT}', document.id, ')')"
# Of a document that is written: its `updated_at` strictly grows, whatever the clock says, and also
# if cut to milliseconds (DESIGN R38). No block of it is newer, but those of the main app.
NEXT_VERSION_SQL = "greatest({now}, {document}.updated_at + interval '1 millisecond')"
# A piece of a statement that has `document`: `:blocks` are written into it.
INSERT_BLOCKS_SQL = """
      insert into evidence_document_blocks (document_id, id, block_type, content, order_index,
        is_private, uploaded_by_user_id, uploaded_by_role)
      select document.id, block.* from document, jsonb_to_recordset(:blocks::jsonb) as block
        (id uuid, block_type text, content jsonb, order_index integer, is_private boolean,
         uploaded_by_user_id uuid, uploaded_by_role evidence_uploader_role)"""
# Of a statement that may make the document: what a native completion told without one, in columns
# that name it from now on (CONTRACT 12), goes behind `:blocks`, as the student's own.
NATIVE_SQL = f"""
    native as (
      insert into evidence_document_blocks (document_id, block_type, content, order_index,
        is_private, uploaded_by_user_id, uploaded_by_role)
      select document.id, told.block_type, told.content,
        jsonb_array_length(:blocks::jsonb) + told.number, c.is_confidential, c.user_id, 'student'
      from document, quest_task_completions c, lateral (values
        (0, 'text', jsonb_build_object('text', c.evidence_text),
          c.evidence_text ~ '\\S' and not starts_with(c.evidence_text, '{NAMES_DOCUMENT}')),
        (1, 'link', jsonb_build_object('url', c.evidence_url, 'title', c.evidence_url),
          c.evidence_url ~ '^https?://')) as told (number, block_type, content, is_told)
      where c.user_id = :user_id and c.task_id = :task_id and told.is_told
        and not exists (
          select from user_task_evidence_documents d
          where d.user_id = :user_id and d.task_id = :task_id))"""  # noqa: S608 - our own words


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
