"""Opens roster files, whatever is in them: the flat CSV of CONTRACT 10, and OneRoster 1.2 CSV
(1EdTech, CSV Binding 1.2) in a folder or a zip.

Nothing is held but the row at hand, and no more is read than the limits allow, packed or unpacked.
All of it blocks.
"""

import asyncio
import io
import tempfile
import zipfile
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import IO

from typing_extensions import override

from app.courses.read_roster import MAX_LINE_CHARACTERS, Row, read_table, read_values
from app.errors import BodyTooLargeError, RosterFileInvalidError, ServiceError
from app.files.spool import on_disk

MAX_ROWS = 1_000_000
MAX_LIST_BYTES = 128 * 1024  # of a zip: 2,800 members at most
SOURCES = ("roles", "users", "enrollments")  # as they are read
MEMBERS = ("manifest.csv", *(f"{source}.csv" for source in SOURCES))
# The others unpack without a limit (bzip2, LZMA: 8 KiB may be 100 MiB) or are not in `zipfile`.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
IS_ENCRYPTED = 0x1  # flag bit of a member (APPNOTE 4.4.4)

Opener = Callable[[], IO[bytes]]


class Meter:
    """`read` is how many bytes were read so far, over all files."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.read = 0

    def add(self, size: int) -> None:
        """Raises BodyTooLargeError."""
        self.read += size
        if self.read > self._max_bytes:
            raise BodyTooLargeError


@dataclass(frozen=True)
class RosterFile:
    """CSV files, still to be read in this order, by what RosterRow calls them as a source.

    `is_whole` is false for a delta: it says what changed and not who takes part.
    """

    tables: Mapping[str, Opener]
    is_whole: bool
    size: int

    def rows(self, meter: Meter) -> Iterator[Row]:
        """Raises BodyTooLargeError or RosterFileInvalidError."""
        for number, row in enumerate(self._rows(meter)):
            if number == MAX_ROWS:
                raise BodyTooLargeError(
                    hint=f"A file may have {MAX_ROWS:,} rows at most: send it in parts."
                )
            yield row

    def _rows(self, meter: Meter) -> Iterator[Row]:
        has_roles = False
        for source, open_table in self.tables.items():
            with _opened(open_table) as file:
                metered = _MeteredFile(file, meter)
                for row in read_table(source, metered, needs_role="roles" not in self.tables):
                    has_roles = has_roles or source == "roles"
                    if source == "users" and has_roles:
                        row["is_student"] = False  # unless a row of roles.csv says so
                    yield row


@contextmanager
def open_roster(path: Path) -> Iterator[RosterFile]:
    """Raises RosterFileInvalidError, and OverloadedError where the disk cannot be read."""
    if path.is_dir():
        files = {file.name.lower(): file for file in path.iterdir() if file.is_file()}
        size = sum(file.stat().st_size for file in files.values())
        yield _bundle({name: _opener(file) for name, file in files.items()}, size)
        return
    with _OwnFile(path) as file:
        with _unpacking():
            archive = zipfile.ZipFile(file) if zipfile.is_zipfile(file) else None
        if archive is None:
            yield RosterFile({"users": _opener(path)}, is_whole=False, size=path.stat().st_size)
        else:
            members = _members(archive)
            yield _bundle(
                {name: _member_opener(archive, item) for name, item in members.items()},
                sum(item.file_size for item in members.values()),
            )


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Those that are read, wherever they lie: some packers part folders by backslashes."""
    named = ((PureWindowsPath(item.filename).name.lower(), item) for item in archive.infolist())
    found = {name: item for name, item in named if name in MEMBERS and not item.is_dir()}
    for name, item in found.items():
        if item.compress_type not in METHODS or item.flag_bits & IS_ENCRYPTED:
            raise RosterFileInvalidError(
                hint=f"{name} is encrypted or packed by another method than deflate."
            )
    return found


def _opener(path: Path) -> Opener:
    return lambda: _OwnFile(path)


def _member_opener(archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> Opener:
    return lambda: archive.open(item)


@contextmanager
def _opened(open_table: Opener) -> Iterator[IO[bytes]]:
    with _unpacking():
        file = open_table()
    with file:
        yield file


@asynccontextmanager
async def spool_roster(body: AsyncIterable[bytes], *, max_bytes: int) -> AsyncIterator[Path]:
    """Where a request's file is on the disk until the end: a zip has to be read from its end.

    Raises BodyTooLargeError or OverloadedError.
    """
    with on_disk():
        # Unbuffered: closing it writes nothing that the disk did not take.
        file = tempfile.NamedTemporaryFile(prefix="spark-roster-", buffering=0)  # noqa: SIM115
    with file:
        size = 0
        async for chunk in body:
            size += len(chunk)
            if size > max_bytes:
                raise BodyTooLargeError
            with on_disk():
                await asyncio.to_thread(_write, file, chunk)
        yield Path(file.name)


def _write(file: IO[bytes], chunk: bytes) -> None:
    """All of it: the file may take a part at a time."""
    while chunk:
        chunk = chunk[file.write(chunk) :]


@contextmanager
def _unpacking() -> Iterator[None]:
    """Round every act of `zipfile` and nothing else: whatever it raises, the zip is at fault.

    It parses what a stranger sent in pure Python, so it may raise anything. What is ours is a
    ServiceError already (`_OwnFile`).
    """
    try:
        yield
    except (ServiceError, MemoryError):
        raise
    except Exception as broken:
        raise RosterFileInvalidError(hint="The zip is damaged: pack it again.") from broken


def _bundle(files: Mapping[str, Opener], size: int) -> RosterFile:
    if "users.csv" not in files or "enrollments.csv" not in files:
        raise RosterFileInvalidError(
            hint="A bundle needs users.csv and enrollments.csv; a workbook has to be saved as CSV."
        )
    tables = {source: files[f"{source}.csv"] for source in SOURCES if f"{source}.csv" in files}
    return RosterFile(tables, _is_whole(files.get("manifest.csv")), size)


def _is_whole(manifest: Opener | None) -> bool:
    """A manifest says `file.enrollments` is `bulk` or `delta`; without one it is bulk."""
    if manifest is None:
        return True
    with _opened(manifest) as file, _unpacking():
        start = file.read(MAX_LINE_CHARACTERS)
    return read_values(io.BytesIO(start)).get("file.enrollments", "bulk") == "bulk"


class _OwnFile(io.FileIO):
    """A file on our disk: a failure to read it is ours, whatever is in it.

    `zipfile` reads the list of members at once, by the size that the zip's end gives for it, and
    builds all of it: 600,000 members took 9 s. Nothing else needs to read so much.
    """

    @override
    def read(self, size: int | None = -1, /) -> bytes:
        """Raises RosterFileInvalidError or OverloadedError."""
        if size is not None and size > MAX_LIST_BYTES:
            raise RosterFileInvalidError(
                hint=(
                    f"The zip's list of members is longer than {MAX_LIST_BYTES:,} bytes: pack only"
                    f" {', '.join(MEMBERS)}."
                )
            )
        with on_disk():
            return super().read(size)


class _MeteredFile(io.RawIOBase):
    """What is read through it counts."""

    def __init__(self, file: IO[bytes], meter: Meter) -> None:
        self._file = file
        self._meter = meter

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        with _unpacking():
            content = self._file.read(len(buffer))
        self._meter.add(len(content))
        buffer[: len(content)] = content
        return len(content)
