"""One file: its bytes pass through here once, on their way to the store.

On the way they are counted, hashed and checked: the content decides the type, and the object key
has the extension of that type and nothing of the sender's name. What is stored of a picture or film
is without its place (DESIGN R29), and counted and hashed again.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID, uuid4

from app.database import Sessions
from app.errors import FileTypeNotAllowedError
from app.fields import Location
from app.files.content_type import HEAD_BYTES, begin_check, detect_type
from app.files.file_name import display_name
from app.files.file_types import HEIC, HEIF
from app.files.scan_file import Scan, Scanner, scanning
from app.files.scrub import Scrub, begin_scrub
from app.files.uploads import register_upload
from app.settings import FileFamily
from app.storage.bucket import Bucket
from app.storage.kept_file import KeptFile
from app.storage.store_stream import store_stream


class NamedPart(Protocol):
    """A file that is read once: of a form, streaming or spooled, or from its address."""

    @property
    def filename(self) -> str | None: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


@dataclass(frozen=True)
class StreamedPart:
    """One that is no part of a form."""

    filename: str
    chunks: AsyncIterator[bytes]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.chunks


MAX_BEHIND_BYTES = 64 * 1024

Watch = Callable[[bytes], Awaitable[None]]  # is told of each chunk before it is used


async def pass_by(_: bytes) -> None:
    """The Watch of who needs none."""


@dataclass(frozen=True)
class Destination:
    """Where files go, whose they are, what they may be, whether they keep their place, and who
    scans them.
    """

    sessions: Sessions
    bucket: Bucket
    user_id: UUID
    lease: timedelta
    families: Collection[FileFamily]
    strip_location: bool
    scanner: Scanner | None


class _Passage:
    """The bytes of one file, passing: size, SHA-256 and type are known as they are seen, of what
    was sent and of what is `stored`. As long as that is the same, it is hashed once.
    """

    def __init__(
        self, part: NamedPart, watch: Watch, families: Collection[FileFamily], scan: Scan | None
    ) -> None:
        self._families = families
        self._scan = scan
        self._scrub: Scrub | None = None
        self.name = part.filename or ""
        self.size_bytes = self.stored_bytes = 0
        self._chunks = aiter(part)
        self._watch = watch
        self._digest = self._stored_digest = hashlib.sha256()
        self._behind = b""  # sent, the same so far, and not yet let through
        self._head = bytearray()

    @property
    def sha256(self) -> bytes:
        return self._digest.digest()

    @property
    def stored_sha256(self) -> bytes:
        return self._stored_digest.digest()

    @property
    def location(self) -> Location | None:
        return self._scrub.location if self._scrub else None

    async def open(self, *, kind: str = "") -> None:
        """Read the head. Raises FileTypeNotAllowedError, also for a type not of this kind."""
        async for chunk in self._chunks:
            await self._take(chunk)
            self._head += chunk
            if len(self._head) >= HEAD_BYTES:
                break
        head = bytes(self._head)
        self.file_type = detect_type(head[:HEAD_BYTES], filename=self.name, families=self._families)
        if not self.file_type.media_type.startswith(kind):
            raise FileTypeNotAllowedError(
                detected=self.file_type.media_type, hint=f"Only {kind}… is taken here."
            )
        self._check = begin_check(self.file_type, head, families=self._families)

    async def stored(self, *, strip_location: bool) -> AsyncIterator[bytes]:
        """What is left of it. Raises at the end if the whole is no such file."""
        self._scrub = begin_scrub(self.file_type.media_type) if strip_location else None
        async for chunk in self._checked():
            yield self._hash(self._scrub.feed(chunk) if self._scrub else chunk, chunk)
        if self._scrub:
            yield self._hash(self._scrub.end(), b"")
        if self._behind:
            self._part(self._behind)

    async def _checked(self) -> AsyncIterator[bytes]:
        """Every byte, the head included."""
        await self._check_in_steps()
        yield bytes(self._head)
        async for chunk in self._chunks:
            await self._take(chunk)
            self._check.feed(chunk)
            await self._check_in_steps()
            yield chunk
        self._check.finish()
        if self._scan:
            await self._scan.end()

    def _hash(self, kept: bytes, sent: bytes) -> bytes:
        if self._digest is self._stored_digest:
            sent = self._behind + sent
            if sent.startswith(kept) and len(sent) - len(kept) <= MAX_BEHIND_BYTES:
                self._behind = sent[len(kept) :]
            else:
                self._part(sent)
        else:
            self._digest.update(sent)
        self._stored_digest.update(kept)
        self.stored_bytes += len(kept)
        return kept

    def _part(self, sent: bytes) -> None:
        """From here on what is stored is another than what was sent."""
        self._stored_digest = self._digest.copy()
        self._digest.update(sent)
        self._behind = b""

    async def _check_in_steps(self) -> None:
        """A few bytes may unpack to a lot: others have their turn in between."""
        while self._check.go_on():  # noqa: ASYNC110 - it is this that goes on
            await asyncio.sleep(0)

    async def _take(self, chunk: bytes) -> None:
        await self._watch(chunk)
        self.size_bytes += len(chunk)
        if self._scan:
            await self._scan.feed(chunk)


async def store_file(
    part: NamedPart, destination: Destination, *, upload_id: UUID, watch: Watch, kind: str = ""
) -> KeptFile:
    """Only of this `kind`, as `image/`. Raises FileTypeNotAllowedError, FileExpandsTooLargeError,
    FileRejectedError, ScannerUnavailableError or StorageUnavailableError.

    Whatever happens, the upload is on record as pending and somebody's to discard.
    """
    destination.bucket.circuit.enter()
    async with scanning(destination.scanner) as scan:
        passage = _Passage(part, watch, destination.families, scan)
        await passage.open(kind=kind)
        object_key = await _store(passage, destination, upload_id)
    return KeptFile(
        id=upload_id,
        object_key=object_key,
        filename=display_name(passage.name, passage.file_type),
        content_type=passage.file_type.media_type,
        size_bytes=passage.size_bytes,
        sha256=passage.sha256,
        stored_bytes=passage.stored_bytes,
        stored_sha256=passage.stored_sha256,
        location=passage.location,
        scan=scan.result if scan else None,
        picture="waiting" if passage.file_type in (HEIC, HEIF) else None,
    )


async def _store(passage: _Passage, destination: Destination, upload_id: UUID) -> str:
    """Its object key."""
    file_type = passage.file_type
    object_key = f"{destination.user_id}/{uuid4()}.{file_type.extension}"
    await register_upload(
        destination.sessions,
        upload_id,
        user_id=destination.user_id,
        object_key=object_key,
        lease=destination.lease,
    )
    stored = passage.stored(strip_location=destination.strip_location)
    await store_stream(destination.bucket, object_key, stored, content_type=file_type.media_type)
    return object_key


async def inspect_file(
    part: NamedPart,
    families: Collection[FileFamily],
    scanner: Scanner | None,
    watch: Watch = pass_by,
) -> tuple[bytes, int]:
    """Check a file without keeping it: its SHA-256 and size. Raises what `store_file` raises of the
    content, and ScannerUnavailableError.
    """
    async with scanning(scanner) as scan:
        passage = _Passage(part, watch, families, scan)
        await passage.open()
        async for _ in passage.stored(strip_location=False):
            pass
    return passage.sha256, passage.size_bytes


async def digest_file(part: NamedPart, watch: Watch) -> bytes:
    """The SHA-256 of a file that was judged when it came first."""
    digest = hashlib.sha256()
    async for chunk in part:
        await watch(chunk)
        digest.update(chunk)
    return digest.digest()
