"""A file is added to a block, in place of the one it had.

Short read, then stream, then short write: no transaction is open while bytes arrive. Whatever goes
wrong, nothing of the file stays; what a crash leaves, the sweep finds.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import select

from app.database import Sessions, retried
from app.errors import (
    EvidenceFileTooLargeError,
    FieldInvalidError,
    FieldMissingError,
    FileTooLargeError,
    FileTypeNotAllowedError,
    NotFoundError,
)
from app.evidence.documents import EvidenceFile
from app.files.kept_alive import Renewal, WatchedPart
from app.files.multipart import MultipartLimits, parse_boundary, read_parts
from app.files.store_file import Destination, NamedPart, store_file
from app.files.upload_slot import upload_slot
from app.files.uploads import (
    StoredFile,
    commit_uploads,
    discard_uploads,
    remove_released,
    renew_uploads,
)
from app.models import EvidenceBlock, EvidenceDocument
from app.portfolio.editor import Editor
from app.portfolio.merge import replace_content
from app.portfolio.open_evidence import open_block
from app.portfolio.write import write_change
from app.settings import MEBIBYTE

KINDS = {"image": "image/", "document": ""}  # of files that a block of this type takes
PART = "file"
MAX_PARTS = 10
FORM_BYTES = 64 * 1024  # around the file


@dataclass(frozen=True)
class Entrance:
    """How files come in. `count_upload` raises RateLimitedError for one too many of this student's;
    `slots` are those of this process for all uploads, and the few of them that editors may hold.
    """

    destination: Destination
    max_bytes: int
    slots: Sequence[asyncio.Semaphore]
    count_upload: Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Form:
    """A form on its way in; `length` is what its sender announced."""

    body: AsyncIterable[bytes]
    content_type: str
    length: int | None


@dataclass(frozen=True)
class Attached:
    """`content` is what the block has of the file; `released` are uploads that were there."""

    content: dict[str, Any]
    updated_at: datetime
    released: Sequence[UUID]


async def attach_file(entrance: Entrance, form: Form, block_id: UUID, editor: Editor) -> Attached:
    """Raises NotFoundError, FieldInvalidError for a block that takes no file, RateLimitedError,
    OverloadedError, and what is wrong with the form or the file; then nothing has changed.
    """
    destination = entrance.destination
    kind = await _find_kind(destination.sessions, block_id, user_id=editor.user_id)
    await entrance.count_upload()
    upload_id = editor.new_id()
    try:
        async with upload_slot(*entrance.slots):
            file = await _store(entrance, form, upload_id, kind=kind)
            attached = await _record(destination, file, block_id, editor)
    except BaseException as failure:
        await asyncio.shield(
            discard_uploads(destination.sessions, destination.bucket, [upload_id], failure)
        )
        raise
    await remove_released(destination.sessions, destination.bucket, attached.released)
    return attached


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


async def _store(entrance: Entrance, form: Form, upload_id: UUID, *, kind: str) -> StoredFile:
    """The one file of the form, which is read to its end."""
    most = entrance.max_bytes
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
    body = _Counted(form.body)
    file: StoredFile | None = None
    try:
        async with aclosing(read_parts(body.pieces(), boundary=boundary, limits=limits)) as parts:
            async for part in parts:
                if part.filename and part.name != PART:
                    raise FieldInvalidError(name=PART, hint=f"Send it in a part named `{PART}`.")
                if part.filename:
                    watched = _kept_alive(part, entrance.destination, upload_id)
                    file = await store_file(
                        watched, entrance.destination, upload_id=upload_id, kind=kind
                    )
    except FileTooLargeError:
        raise _too_large(form.length or body.seen, most) from None
    if file is None:
        raise FieldMissingError(name=PART, hint=f"Send a file in a part named `{PART}`.")
    return file


def _kept_alive(part: NamedPart, destination: Destination, upload_id: UUID) -> WatchedPart:
    sessions, lease = destination.sessions, destination.lease
    renewal = Renewal(lease, partial(renew_uploads, sessions, [upload_id], lease=lease))
    return WatchedPart(part, lambda _: renewal.when_due())


class _Counted:
    """A body, and how much of it was seen."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._chunks = chunks
        self.seen = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self.seen += len(chunk)
            yield chunk


def _too_large(size: int, most: int) -> EvidenceFileTooLargeError:
    return EvidenceFileTooLargeError(
        megabytes=f"{most / MEBIBYTE:g}", file_size=size, max_size=most
    )


@retried
async def _record(
    destination: Destination, file: StoredFile, block_id: UUID, editor: Editor
) -> Attached:
    """The block may have changed or gone while the file came."""
    bucket = destination.bucket
    async with destination.sessions() as session, session.begin():
        opened, block = await open_block(session, bucket, block_id, editor)
        if not file.content_type.startswith(_kind_of(block.block_type)):
            raise FileTypeNotAllowedError(detected=file.content_type)
        await commit_uploads(session, [file], document_id=block.document_id)
        shown = EvidenceFile(file.pointer, file.filename, file.content_type, file.size_bytes)
        change = replace_content(opened.before, block, block.content | shown.members)
        written = await write_change(session, bucket, opened, change, "upload_complete")
    return Attached(shown.members, written.updated_at, written.released)
