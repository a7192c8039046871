"""One file: its bytes pass through here once, on their way to the store.

On the way they are counted, hashed and checked: the content decides the type, and the object key
has the extension of that type and nothing of the sender's name.
"""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID, uuid4

from app.database import Sessions
from app.errors import FileTypeNotAllowedError
from app.files.content_type import HEAD_BYTES, ContentCheck, detect_type
from app.files.file_name import display_name
from app.files.uploads import StoredFile, register_upload
from app.storage.bucket import Bucket
from app.storage.store_stream import store_stream


class NamedPart(Protocol):
    """A file of the form, streaming or spooled."""

    @property
    def filename(self) -> str | None: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


@dataclass(frozen=True)
class Destination:
    """Where files go, and whose they are."""

    sessions: Sessions
    bucket: Bucket
    user_id: UUID
    lease: timedelta


class _Passage:
    """The bytes of one file, passing: size, SHA-256 and type are known as they are seen."""

    def __init__(self, part: NamedPart) -> None:
        self.name = part.filename or ""
        self.size_bytes = 0
        self._chunks = aiter(part)
        self._digest = hashlib.sha256()
        self._head = bytearray()

    @property
    def sha256(self) -> bytes:
        return self._digest.digest()

    async def open(self, *, kind: str = "") -> None:
        """Read the head. Raises FileTypeNotAllowedError, also for a type not of this kind."""
        async for chunk in self._chunks:
            self._count(chunk)
            self._head += chunk
            if len(self._head) >= HEAD_BYTES:
                break
        head = bytes(self._head)
        self.file_type = detect_type(head[:HEAD_BYTES], filename=self.name)
        if not self.file_type.media_type.startswith(kind):
            raise FileTypeNotAllowedError(
                detected=self.file_type.media_type, hint=f"Only {kind}… is taken here."
            )
        self._check = ContentCheck(self.file_type, head)

    async def checked(self) -> AsyncIterator[bytes]:
        """Every byte, the head included. Raises at the end if the whole is no such file."""
        yield bytes(self._head)
        async for chunk in self._chunks:
            self._count(chunk)
            self._check.feed(chunk)
            yield chunk
        self._check.finish()

    def _count(self, chunk: bytes) -> None:
        self.size_bytes += len(chunk)
        self._digest.update(chunk)


async def store_file(
    part: NamedPart, destination: Destination, *, upload_id: UUID, kind: str = ""
) -> StoredFile:
    """Only of this `kind`, as `image/`. Raises FileTypeNotAllowedError, FileExpandsTooLargeError
    or StorageUnavailableError.

    Whatever happens, the upload is on record as pending and somebody's to discard.
    """
    passage = _Passage(part)
    await passage.open(kind=kind)
    file_type = passage.file_type
    object_key = f"{destination.user_id}/{uuid4()}.{file_type.extension}"
    await register_upload(
        destination.sessions,
        upload_id,
        user_id=destination.user_id,
        object_key=object_key,
        lease=destination.lease,
    )
    await store_stream(
        destination.bucket, object_key, passage.checked(), content_type=file_type.media_type
    )
    return StoredFile(
        upload_id=upload_id,
        pointer=destination.bucket.pointer(object_key),
        filename=display_name(passage.name, file_type),
        content_type=file_type.media_type,
        size_bytes=passage.size_bytes,
        sha256=passage.sha256,
    )


@dataclass(frozen=True)
class Inspected:
    """A file that was looked at and not kept."""

    sha256: bytes
    size_bytes: int


async def inspect_file(part: NamedPart) -> Inspected:
    """Check a file without keeping it. Raises what `store_file` raises of the type."""
    passage = _Passage(part)
    await passage.open()
    async for _ in passage.checked():
        pass
    return Inspected(passage.sha256, passage.size_bytes)
