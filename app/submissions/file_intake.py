"""The files of one form, stored as they arrive while the claim on their message is kept alive."""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import suppress
from uuid import UUID

from app.database import FAILURES
from app.errors import (
    FileDigestMismatchError,
    FileExpandsTooLargeError,
    FileMissingError,
    FileNotDeclaredError,
    FileTypeNotAllowedError,
    MetadataDuplicateError,
    ServiceError,
)
from app.files.kept_alive import Renewal, WatchedPart
from app.files.multipart import FormPart
from app.files.store_file import Destination, NamedPart, inspect_file, store_file
from app.files.uploads import StoredFile, discard_uploads, renew_uploads
from app.submissions.declared import DeclaredFiles
from app.submissions.idempotency import release_claim, renew_claim
from app.submissions.record import Work
from app.submissions.spool import SpooledPart

METADATA = "metadata"


def is_metadata(part: FormPart) -> bool:
    return part.name == METADATA and part.filename is None


async def form_files(
    early: Sequence[SpooledPart], parts: AsyncIterable[FormPart]
) -> AsyncIterator[NamedPart]:
    """The real files, in the order they came; empty file inputs and other text are passed over."""
    for spooled in early:
        yield spooled
    async for part in parts:
        if is_metadata(part):
            raise MetadataDuplicateError
        if part.filename:
            yield part


# Faults of one file: the others are looked at all the same, so that all are named (DESIGN R3).
FILE_FAULTS = (
    FileTypeNotAllowedError,
    FileExpandsTooLargeError,
    FileDigestMismatchError,
    FileNotDeclaredError,
)


class FileFaults:
    """What is wrong with the files of one form; the first fault is raised for all of them."""

    def __init__(self) -> None:
        self._faults: list[ServiceError] = []

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(self, file: str, fault: ServiceError) -> None:
        fault.file = file
        self._faults.append(fault)

    def check(self) -> None:
        """Raises the first fault, with every file at fault in its `files`."""
        if self._faults:
            self._faults[0].files = self._faults
            raise self._faults[0]


class FileIntake:
    """What one delivery has stored so far: to be recorded, or to be given up."""

    def __init__(
        self,
        destination: Destination,
        work: Work,
        declared: DeclaredFiles,
    ) -> None:
        self._destination = destination
        self._work = work
        self._declared = declared
        self._upload_ids: list[UUID] = []
        self._renewal = Renewal(work.claim.lease, self._renew)

    async def store_all(self, files: AsyncIterable[NamedPart]) -> list[StoredFile]:
        """Store each file; once one is refused, only look at the rest.

        Raises the first of FILE_FAULTS, FileMissingError, or FileDigestRequiredError at once.
        """
        stored: list[StoredFile] = []
        faults = FileFaults()
        async for part in files:
            name = part.filename or ""
            try:
                self._work.entry.file_count += 1
                self._declared.expect(name)
                if faults:
                    seen = await inspect_file(self._watched(part))
                    self._declared.check(name, seen.sha256, seen.size_bytes)
                else:
                    file = await self._store(part)
                    self._declared.check(name, file.sha256, file.size_bytes)
                    stored.append(file)
            except FILE_FAULTS as fault:
                faults.add(name, fault)
        for name in self._declared.missing():
            faults.add(name, FileMissingError())
        faults.check()
        return stored

    async def discard(self, failure: BaseException | None = None) -> None:
        """Remove what was stored, as `discard_uploads` does."""
        destination = self._destination
        await discard_uploads(destination.sessions, destination.bucket, self._upload_ids, failure)

    async def give_up(self, failure: BaseException) -> None:
        """Leave nothing behind, and let the next delivery of the message begin at once."""
        await self.discard(failure)
        with suppress(*FAILURES):
            await release_claim(self._destination.sessions, self._work.claim)

    async def _store(self, part: NamedPart) -> StoredFile:
        upload_id = self._work.new_id()
        self._upload_ids.append(upload_id)
        return await store_file(self._watched(part), self._destination, upload_id=upload_id)

    def _watched(self, part: NamedPart) -> WatchedPart:
        return WatchedPart(part, self._note)

    async def _note(self, chunk: bytes) -> None:
        self._work.entry.body_bytes += len(chunk)
        await self._renewal.when_due()

    async def _renew(self) -> None:
        sessions, lease = self._destination.sessions, self._destination.lease
        await renew_claim(sessions, self._work.claim)
        await renew_uploads(sessions, self._upload_ids, lease=lease)
