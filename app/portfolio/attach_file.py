"""A file is added to a block, in place of the one it had.

Short read, then stream, then short write: no transaction is open while bytes arrive. Whatever goes
wrong, nothing of the file stays; what a crash leaves, the sweep finds.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import select

from app.database import Sessions, retried
from app.deliveries.pace import PacedBody
from app.errors import (
    EvidenceFileTooLargeError,
    FieldInvalidError,
    FieldMissingError,
    FileTooLargeError,
    FileTypeNotAllowedError,
    NotFoundError,
)
from app.evidence.documents import file_members
from app.files.form_headers import parse_boundary
from app.files.kept_alive import Renewal
from app.files.multipart import MultipartLimits, read_parts
from app.files.store_file import Destination, store_file
from app.files.uploads import (
    commit_uploads,
    discard_uploads,
    remove_released,
    renew_uploads,
)
from app.models import EvidenceBlock, EvidenceDocument
from app.portfolio.merge import replace_content
from app.portfolio.open_evidence import Editor, open_block
from app.portfolio.write import DocumentVersion, write_change
from app.settings import MEBIBYTE
from app.storage.kept_file import KeptFile

KINDS = {"image": "image/", "document": ""}  # of files that a block of this type takes
PART = "file"
MAX_PARTS = 10
FORM_BYTES = 64 * 1024  # around the file


@dataclass(frozen=True)
class FileForm:
    """A form with one file, on its way in; `length` is what its sender announced.

    `count_upload` raises RateLimitedError for one too many of this student's; in its `place` it may
    come, once it is there.
    """

    body: PacedBody
    content_type: str
    length: int | None
    max_bytes: int
    place: AbstractAsyncContextManager[None]
    count_upload: Callable[[], Awaitable[None]]


async def attach_file(
    destination: Destination, form: FileForm, block_id: UUID, editor: Editor
) -> tuple[dict[str, Any], DocumentVersion]:
    """What the block has of the file, and the document's version.

    Raises NotFoundError, FieldInvalidError for a block that takes no file, EvidenceChangedError,
    RateLimitedError, OverloadedError, and what is wrong with the form or the file; then nothing has
    changed.
    """
    sessions, bucket = destination.sessions, destination.bucket
    kind = await _find_kind(sessions, block_id, user_id=editor.user_id)
    await form.count_upload()
    upload_id = editor.new_id()
    try:
        async with form.place:
            file = await _store(destination, form, upload_id, kind=kind)
            version = await _record(destination, file, block_id, editor)
    except BaseException as failure:
        await asyncio.shield(discard_uploads(sessions, bucket, [upload_id], failure))
        raise
    await remove_released(sessions, bucket, version.released)
    return file_members(bucket, file), version


async def _find_kind(sessions: Sessions, block_id: UUID, *, user_id: UUID) -> str:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(EvidenceBlock.block_type)
            .join(EvidenceDocument, EvidenceDocument.id == EvidenceBlock.document_id)
            .where(EvidenceBlock.id == block_id, EvidenceDocument.user_id == user_id)
        )
        block_type = found.scalar_one_or_none()
    if block_type is None:
        raise NotFoundError
    return _kind_of(block_type)


def _kind_of(block_type: str) -> str:
    if block_type not in KINDS:
        hint = "Only image and document blocks take a file."
        raise FieldInvalidError(name="block_type", hint=hint)
    return KINDS[block_type]


async def _store(
    destination: Destination, form: FileForm, upload_id: UUID, *, kind: str
) -> KeptFile:
    """The one file of the form, which is read to its end."""
    most = form.max_bytes
    limits = MultipartLimits(
        max_parts=MAX_PARTS,
        max_files=1,
        max_body_bytes=most + FORM_BYTES,
        max_file_bytes=most,
        max_total_file_bytes=most,
        max_field_bytes=FORM_BYTES,
    )
    if form.length is not None and form.length > limits.max_body_bytes:
        raise _too_large(form.length, most)
    boundary = parse_boundary(form.content_type)
    renewal = _renewal(destination, upload_id)
    file: KeptFile | None = None
    try:
        async with aclosing(read_parts(form.body, boundary=boundary, limits=limits)) as parts:
            async for part in parts:
                if part.filename and part.name != PART:
                    raise FieldInvalidError(name=PART, hint=f"Send it in a part named `{PART}`.")
                if part.filename:
                    file = await store_file(
                        part, destination, upload_id=upload_id, watch=renewal.when_due, kind=kind
                    )
    except FileTooLargeError:
        raise _too_large(form.length or form.body.received_bytes, most) from None
    if file is None:
        raise FieldMissingError(name=PART, hint=f"Send a file in a part named `{PART}`.")
    return file


def _renewal(destination: Destination, upload_id: UUID) -> Renewal:
    sessions, lease = destination.sessions, destination.lease
    return Renewal(lease, partial(renew_uploads, sessions, [upload_id], lease=lease))


def _too_large(size: int, most: int) -> EvidenceFileTooLargeError:
    return EvidenceFileTooLargeError(
        megabytes=f"{most / MEBIBYTE:g}", file_size=size, max_size=most
    )


@retried
async def _record(
    destination: Destination, file: KeptFile, block_id: UUID, editor: Editor
) -> DocumentVersion:
    """The block may have changed or gone while the file came."""
    bucket = destination.bucket
    async with destination.sessions() as session, session.begin():
        opened, block = await open_block(session, block_id, editor)
        if not file.content_type.startswith(_kind_of(block.block_type)):
            raise FileTypeNotAllowedError(detected=file.content_type)
        await commit_uploads(session, [file], document_id=block.document_id)
        content = block.content | file_members(bucket, file)
        change = replace_content(opened.before, block, content)
        return await write_change(session, bucket, opened, change, "upload_complete")
