"""The files of one form, stored as they arrive while the claim on their message is kept alive.

A file that the sender signed for (DEFECTS 54) must be one of those that come, and the other way.
"""

from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from uuid import UUID

from app.database import FAILURES
from app.deliveries.inbox import Tally
from app.errors import (
    FileDigestMismatchError,
    FileDigestRequiredError,
    FileExpandsTooLargeError,
    FileMissingError,
    FileNotDeclaredError,
    FileRejectedError,
    FileTypeNotAllowedError,
    MetadataDuplicateError,
    MetadataMissingError,
    ServiceError,
)
from app.files.kept_alive import Renewal
from app.files.multipart import FormPart
from app.files.spool import SpooledPart
from app.files.store_file import Destination, NamedPart, inspect_file, store_file
from app.files.uploads import discard_uploads, renew_uploads
from app.storage.kept_file import KeptFile
from app.submissions.idempotency import release_claim, renew_claim
from app.submissions.message import DeclaredFile
from app.submissions.work import Work

METADATA = "metadata"
# Faults of one file: the others are looked at all the same, so that all are named (DESIGN R3).
FILE_FAULTS = (
    FileTypeNotAllowedError,
    FileExpandsTooLargeError,
    FileRejectedError,
    FileDigestMismatchError,
    FileNotDeclaredError,
)


def is_metadata(part: FormPart) -> bool:
    return part.name == METADATA and part.filename is None


def take_named_metadata(early: list[SpooledPart]) -> SpooledPart:
    """The part of that name, of a form whose metadata came as a file: `curl -F metadata=@x.json`,
    or a Blob. It is taken out of the others.

    Raises MetadataMissingError, or MetadataDuplicateError if there are several.
    """
    named = [part for part in early if part.name == METADATA]
    if not named:
        raise MetadataMissingError
    if len(named) > 1:
        raise MetadataDuplicateError
    early.remove(named[0])
    return named[0]


async def form_files(
    early: Sequence[SpooledPart], parts: AsyncIterable[FormPart], tally: Tally
) -> AsyncIterator[NamedPart]:
    """The real files, in the order they came; empty file inputs and other text are passed over."""
    for spooled in early:
        tally.add_file()
        yield spooled
    async for part in parts:
        if is_metadata(part):
            raise MetadataDuplicateError
        if part.filename:
            tally.add_file()
            yield part


class DeclaredFiles:
    """What is declared and did not come yet. Without a declaration, `required` forbids any file.

    A file whose name is not declared at all may be one that is, in another spelling: on its way a
    name is escaped, encoded and normalised in many ways (DESIGN R33), content is not.
    """

    def __init__(self, files: Sequence[DeclaredFile] | None, *, required: bool) -> None:
        self._is_declared = files is not None
        self._required = required
        self._left = Counter((file.name, file.digest, file.size) for file in files or ())
        self._entries = frozenset(self._left)
        self._names = frozenset(name for name, _, _ in self._entries)
        self._unfit = Counter[str]()  # names that came, and fit nothing yet

    def expect(self, name: str) -> None:
        """A file begins. Raises FileDigestRequiredError."""
        if self._required and not self._is_declared:
            raise FileDigestRequiredError
        self._unfit[name] += 1

    def check(self, name: str, sha256: bytes, size_bytes: int) -> None:
        """It has come whole. Files of one name may come in any order.

        Raises FileDigestMismatchError or FileNotDeclaredError.
        """
        if not self._is_declared:
            return
        entry = (name, sha256, size_bytes)
        fitting = [entry]
        if entry in self._entries or name not in self._names:
            fitting += [other for other in self._left if other[1:] == entry[1:]]
        for one in fitting:
            if self._left[one] > 0:
                self._left[one] -= 1
                self._unfit[name] -= 1
                return
        is_named = self._names_left()[name] >= self._unfit[name]
        raise FileDigestMismatchError if is_named else FileNotDeclaredError

    def missing(self) -> list[str]:
        """Names of the files that were declared and did not come."""
        return list((self._names_left() - self._unfit).elements())

    def _names_left(self) -> Counter[str]:
        return Counter(name for name, _, _ in self._left.elements())


async def take_files(
    files: AsyncIterable[NamedPart],
    declared: DeclaredFiles,
    faults: list[ServiceError],
    take: Callable[[NamedPart], Awaitable[tuple[bytes, int]]],
) -> None:
    """Let `take` read each file, which gives its SHA-256 and size; what is wrong with one file, or
    did not come, is added to the faults.

    Raises FileDigestRequiredError, and what ends reading the form.
    """
    async for part in files:
        name = part.filename or ""
        try:
            declared.expect(name)
            declared.check(name, *await take(part))
        except FILE_FAULTS as fault:
            fault.file = name
            faults.append(fault)
    for name in declared.missing():
        faults.append(missing := FileMissingError())
        missing.file = name


class FileIntake:
    """What one delivery has stored so far: to be recorded, or to be given up."""

    def __init__(self, destination: Destination, work: Work, declared: DeclaredFiles) -> None:
        self._destination = destination
        self._work = work
        self._declared = declared
        self._faults: list[ServiceError] = []
        self._stored: list[KeptFile] = []
        self._upload_ids: list[UUID] = []
        self._renewal = Renewal(work.claim.lease, self._renew)

    async def store_all(self, files: AsyncIterable[NamedPart]) -> list[KeptFile]:
        """Store each file; once one is refused, only look at the rest.

        Raises the first of FILE_FAULTS or FileMissingError, with every file at fault in its
        `faults`, or FileDigestRequiredError at once.
        """
        await take_files(files, self._declared, self._faults, self._take)
        if self._faults:
            self._faults[0].faults = self._faults
            raise self._faults[0]
        return self._stored

    async def discard(self, failure: BaseException | None = None) -> None:
        """Remove what was stored, as `discard_uploads` does."""
        destination = self._destination
        await discard_uploads(destination.sessions, destination.bucket, self._upload_ids, failure)

    async def give_up(self, failure: BaseException) -> None:
        """Leave nothing behind, and let the next delivery of the message begin at once."""
        await self.discard(failure)
        with suppress(*FAILURES):
            await release_claim(self._destination.sessions, self._work.claim)

    async def _take(self, part: NamedPart) -> tuple[bytes, int]:
        destination = self._destination
        if self._faults:
            families, scanner = destination.families, destination.scanner
            return await inspect_file(part, families, scanner, self._watch)
        upload_id = self._work.new_id()
        self._upload_ids.append(upload_id)
        file = await store_file(part, destination, upload_id=upload_id, watch=self._watch)
        self._stored.append(file)
        return file.sha256, file.size_bytes

    async def _watch(self, chunk: bytes) -> None:
        await self._work.entry.tally.add_bytes(chunk)
        await self._renewal.when_due()

    async def _renew(self) -> None:
        sessions, lease = self._destination.sessions, self._destination.lease
        await renew_claim(sessions, self._work.claim)
        await renew_uploads(sessions, self._upload_ids, lease=lease)
