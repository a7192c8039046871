"""Saving a student's evidence, and completing its task: each is one transaction, under the lock
that submissions take, so that editors and Spark come one after the other entirely.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from app.database import Session, Sessions, retried
from app.errors import EvidenceChangedError, EvidenceEmptyError, FieldInvalidError
from app.evidence.documents import file_members
from app.evidence.editor_document import SavedAnswer
from app.evidence.links import json_objects, named_files, object_keys
from app.files.uploads import find_files, remove_released
from app.models import User
from app.portfolio.complete_task import complete_task
from app.portfolio.draft import URL_HINT, BlockDraft, EvidenceDraft
from app.portfolio.merge import (
    DocumentChange,
    check_version,
    complete_as_it_is,
    merge,
    undoes_unseen,
)
from app.portfolio.open_evidence import Editor, OpenEvidence, open_task
from app.portfolio.write import touch_document, write_change
from app.storage.bucket import Bucket
from app.storage.kept_file import KeptFile


@retried
async def save_evidence(
    sessions: Sessions, bucket: Bucket, task_id: UUID, draft: EvidenceDraft, editor: Editor
) -> SavedAnswer:
    """Raises NotFoundError, EvidenceChangedError, EvidenceEmptyError or FieldInvalidError."""
    async with sessions() as session, session.begin():
        opened = await open_task(session, task_id, editor)
        draft = _settle(bucket, opened, draft)
        await _name_jpegs(session, bucket, opened, draft)
        check_version(opened, draft, bucket)
        if not (is_refused := undoes_unseen(opened, draft, bucket)):
            saved, released = await _save(session, bucket, opened, draft)
        else:
            await touch_document(session, opened)
    if is_refused:
        raise EvidenceChangedError
    await remove_released(sessions, bucket, released)
    return saved


async def _save(
    session: Session, bucket: Bucket, opened: OpenEvidence, draft: EvidenceDraft
) -> tuple[SavedAnswer, Sequence[UUID]]:
    """As `_write`."""
    await _settle_files(session, bucket, opened, draft)
    await _check_uploaders(session, opened, draft.blocks)
    change = merge(opened.before, draft, opened.editor, bucket)
    return await _write(session, bucket, opened, change, change.rows)


@retried
async def complete_evidence(
    sessions: Sessions, bucket: Bucket, task_id: UUID, editor: Editor
) -> SavedAnswer:
    """Raises NotFoundError, EvidenceChangedError or EvidenceEmptyError."""
    async with sessions() as session, session.begin():
        opened = await open_task(session, task_id, editor)
        change = complete_as_it_is(opened.before)
        blocks = [vars(block) for block in opened.before.blocks]
        saved, _ = await _write(session, bucket, opened, change, blocks)
    return saved.model_copy(update={"message": "Task completed"})


async def _write(
    session: Session,
    bucket: Bucket,
    opened: OpenEvidence,
    change: DocumentChange,
    blocks: Sequence[dict[str, Any]],
) -> tuple[SavedAnswer, Sequence[UUID]]:
    """With the uploads that nothing names any more."""
    if change.completes and not change.contents:
        raise EvidenceEmptyError
    version = await write_change(session, bucket, opened, change, "sensitive_update")
    xp_awarded, quest_is_completed = 0, opened.quest_is_completed
    if change.completes and opened.before.completion_id is None:
        xp_awarded, quest_is_completed = await complete_task(session, opened, version.document_id)
    told = {
        "success": True,
        "message": "Evidence saved",
        "xp_awarded": xp_awarded,
        "has_collaboration_bonus": False,
        "quest_completed": quest_is_completed,
        "blocks": blocks,
    }
    saved = SavedAnswer.model_validate(vars(version) | told)
    return saved, version.released


def _settle(bucket: Bucket, opened: OpenEvidence, draft: EvidenceDraft) -> EvidenceDraft:
    """A copy, in which every block may be kept: it may be tried again on another document.

    Raises FieldInvalidError.
    """
    stored = {block.id: block for block in opened.before.blocks}
    blocks = [block.model_copy() for block in draft.blocks]
    for block in blocks:
        block.settle(stored.get(block.id) if block.id else None, bucket)
    return draft.model_copy(update={"blocks": blocks})


async def _name_jpegs(
    session: Session, bucket: Bucket, opened: OpenEvidence, draft: EvidenceDraft
) -> None:
    """Who opened it before a picture became JPEG still names that, and is to lose no file by it."""
    stored = (block.content for block in opened.before.blocks)
    named = object_keys(bucket, (block.content for block in draft.blocks))
    if not (unseen := named - object_keys(bucket, stored)):
        return
    known = await _find_files(session, opened, unseen)
    for block in draft.blocks:
        for part in json_objects(block.content):
            object_key = bucket.pointers.object_key(part.get("url"))
            if object_key in known and known[object_key].object_key != object_key:
                part.update(file_members(bucket, known[object_key]))


async def _find_files(
    session: Session, opened: OpenEvidence, object_keys: Collection[str]
) -> dict[str, KeptFile]:
    document = opened.before.document
    return await find_files(
        session,
        object_keys,
        user_id=opened.editor.user_id,
        document_id=document.id if document else None,
    )


async def _settle_files(
    session: Session, bucket: Bucket, opened: OpenEvidence, draft: EvidenceDraft
) -> None:
    """A file's name, size and type are those that were found when it came.

    Raises FieldInvalidError for a file that is not this student's, or not this document's, unless
    a link to it is stored.
    """
    pointers = bucket.pointers
    contents = [block.content for block in draft.blocks]
    if not named_files(bucket, contents):
        return
    before = opened.before
    known = await _find_files(session, opened, object_keys(bucket, contents))
    stored = {block.id: block for block in before.blocks}
    allowed = named_files(bucket, (block.content for block in before.blocks))
    allowed |= {pointers.place(object_key) for object_key in known}
    for number, block in enumerate(draft.blocks):
        if not block.is_stored and (named_files(bucket, [block.content]) - allowed):
            fault = FieldInvalidError(name=f"blocks.{number}.content.url", hint=URL_HINT)
            block.settle(stored.get(block.id) if block.id else None, bucket, fault)
        for part in () if block.is_stored else json_objects(block.content):
            object_key = pointers.object_key(part.get("url"))
            if object_key in known:
                part.update(file_members(bucket, known[object_key]))


async def _check_uploaders(
    session: Session, opened: OpenEvidence, blocks: Sequence[BlockDraft]
) -> None:
    """Raises FieldInvalidError for who is no user."""
    named = {block.uploaded_by_user_id for block in blocks if block.uploaded_by_user_id}
    if not named or not opened.editor.is_service:
        return
    found = await session.execute(select(User.id).where(User.id.in_(named)))
    users = set(found.scalars())
    for place, block in enumerate(blocks):
        if block.uploaded_by_user_id and block.uploaded_by_user_id not in users:
            raise FieldInvalidError(name=f"blocks.{place}.uploaded_by_user_id")
