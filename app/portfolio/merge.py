"""What a save makes of the document that is there. Nothing is lost to somebody who did not see it.

With the version that was read, the draft is the document. Without it a draft may leave out no block
and no file, because another editor, an upload or Spark may have added them meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.errors import EvidenceChangedError
from app.evidence.documents import FILE_MEMBERS
from app.evidence.editor_document import (
    EvidenceBlockAnswer,
    EvidenceDocumentAnswer,
)
from app.evidence.links import named_files
from app.evidence.read_document import Evidence
from app.portfolio.draft import BlockDraft, EvidenceDraft, is_as_read
from app.portfolio.open_evidence import Editor, OpenEvidence
from app.storage.bucket import Bucket
from app.storage.pointers import Place

LEFT_OUT_HINT = (
    "There is a block, or a file of one, that the list does not name. Read the document again and"
    " send its `version` or `updated_at`: then what is left out is deleted."
)


@dataclass(frozen=True)
class DocumentChange:
    """In this order: `gone` are deleted, `moved` are parked, `rows` are upserted as `:blocks`.

    `contents` is all that the document shows then, `by_spark` the blocks that Spark's next revision
    may replace.
    """

    completes: bool = False
    rows: Sequence[dict[str, Any]] = ()
    gone: Sequence[UUID] = ()
    moved: Sequence[UUID] = ()
    contents: Sequence[dict[str, Any]] = ()
    by_spark: Sequence[UUID] = ()


def check_version(opened: OpenEvidence, draft: EvidenceDraft, bucket: Bucket) -> None:
    """Raises EvidenceChangedError."""
    before = opened.before
    known = {block.id for block in before.blocks}
    named = {block.id for block in draft.blocks if block.id}
    if not _fits(before.document, draft) or not named <= known:
        raise EvidenceChangedError
    if not _names_version(draft, opened.editor) and (
        known - named or _takes_a_file(before, draft, bucket)
    ):
        raise EvidenceChangedError(hint=LEFT_OUT_HINT)


def _fits(document: EvidenceDocumentAnswer | None, draft: EvidenceDraft) -> bool:
    """Clients in JavaScript cut moments to milliseconds; what we write differs then, too."""
    if document is None:
        return draft.version is None and draft.updated_at is None
    exact = document.updated_at
    cut = exact.replace(microsecond=exact.microsecond // 1000 * 1000)
    return draft.version in (None, document.version) and draft.updated_at in (None, exact, cut)


def _names_version(draft: EvidenceDraft, editor: Editor) -> bool:
    """Whether the editor has seen what is there."""
    return any((draft.version, draft.updated_at, set(editor.versions) - {"*"}))


def undoes_unseen(opened: OpenEvidence, draft: EvidenceDraft, bucket: Bucket) -> bool:
    """Whether an edit of the main app's would be lost to who names `updated_at` alone, which does
    not tell of it (DESIGN R38).
    """
    if draft.version or draft.updated_at is None or set(opened.editor.versions) - {"*"}:
        return False
    drafts = {block.id: block for block in draft.blocks}
    return any(
        not _is_left(block, drafts.get(block.id), bucket)
        for block in opened.before.blocks
        if block.id in opened.before.edited
    )


def _is_left(block: EvidenceBlockAnswer, draft: BlockDraft | None, bucket: Bucket) -> bool:
    return (
        draft is not None
        and draft.type == block.block_type
        and draft.is_private in (None, block.is_private)
        and is_as_read(draft.content, block.content, bucket)
    )


def _takes_a_file(before: Evidence, draft: EvidenceDraft, bucket: Bucket) -> bool:
    """Whether a block is to lose a file that it holds: in `url`, or as the main app keeps several,
    in `items`.
    """

    def held(content: dict[str, Any]) -> set[Place]:
        return named_files(bucket, [{name: content.get(name) for name in ("url", "items")}])

    stored = {block.id: block for block in before.blocks}
    return any(
        held(stored[block.id].content) - held(_with_its_file(stored[block.id], block.content))
        for block in draft.blocks
        if block.id
    )


def merge(before: Evidence, draft: EvidenceDraft, editor: Editor, bucket: Bucket) -> DocumentChange:
    """The version was checked."""
    known = {block.id: block for block in before.blocks}
    seen = _names_version(draft, editor)
    rows = [
        _kept_row(known[block.id], block, place, seen=seen)
        if block.id
        else _new_row(block, place, editor)
        for place, block in enumerate(draft.blocks)
    ]
    after = {row["id"]: row for row in rows}
    return DocumentChange(
        completes=draft.status == "completed",
        rows=rows,
        gone=[block_id for block_id in known if str(block_id) not in after],
        moved=[
            block.id
            for block in before.blocks
            if (row := after.get(str(block.id))) and row["order_index"] != block.order_index
        ],
        contents=[row["content"] for row in rows],
        by_spark=[
            block.id
            for block in before.blocks
            if (row := after.get(str(block.id)))
            and is_by_spark(block)
            and _is_same(block, row, bucket)
        ],
    )


def complete_as_it_is(before: Evidence) -> DocumentChange:
    return DocumentChange(
        completes=True,
        contents=[block.content for block in before.blocks],
        by_spark=[block.id for block in before.blocks if is_by_spark(block)],
    )


def replace_content(
    before: Evidence, block: EvidenceBlockAnswer, content: dict[str, Any]
) -> DocumentChange:
    """One block has other content, and is the student's from now on."""
    others = [other for other in before.blocks if other.id != block.id]
    return DocumentChange(
        rows=[
            _row(block, block.block_type, content, block.order_index, is_private=block.is_private)
        ],
        contents=[content, *(other.content for other in others)],
        by_spark=[other.id for other in others if is_by_spark(other)],
    )


def is_by_spark(block: EvidenceBlockAnswer) -> bool:
    return block.provenance.written_by == "spark"


def _is_same(block: EvidenceBlockAnswer, row: dict[str, Any], bucket: Bucket) -> bool:
    is_same = is_as_read(row["content"], block.content, bucket)
    return is_same and row["block_type"] == block.block_type


def _kept_row(
    block: EvidenceBlockAnswer, draft: BlockDraft, place: int, *, seen: bool
) -> dict[str, Any]:
    """Who has not `seen` the document's version may not know the block's file: it stays."""
    is_private = block.is_private if draft.is_private is None else draft.is_private
    content = draft.content if seen else _with_its_file(block, draft.content)
    return _row(block, draft.type, content, place, is_private=is_private)


def _with_its_file(block: EvidenceBlockAnswer, content: dict[str, Any]) -> dict[str, Any]:
    if "url" in content:
        return content
    return content | {name: block.content[name] for name in FILE_MEMBERS if name in block.content}


def _row(
    block: EvidenceBlockAnswer, kind: str, content: dict[str, Any], place: int, *, is_private: bool
) -> dict[str, Any]:
    """Whoever added the block stays named."""
    return {
        "id": str(block.id),
        "block_type": kind,
        "content": content,
        "order_index": place,
        "is_private": is_private,
        "uploaded_by_user_id": block.uploaded_by_user_id and str(block.uploaded_by_user_id),
        "uploaded_by_role": block.uploaded_by_role,
    }


def _new_row(draft: BlockDraft, place: int, editor: Editor) -> dict[str, Any]:
    uploader, role = draft.uploaded_by_user_id, draft.uploaded_by_role
    if not editor.is_service:
        uploader = role = None
    return {
        "id": str(editor.new_id()),
        "block_type": draft.type,
        "content": draft.content,
        "order_index": place,
        "is_private": bool(draft.is_private),
        "uploaded_by_user_id": str(uploader or editor.user_id),
        "uploaded_by_role": role or "student",
    }
