"""Reads roster files row by row, whatever is in them: the flat CSV of CONTRACT 10, and OneRoster
1.2 CSV (1EdTech, CSV Binding 1.2) in a folder or a zip.

A row that cannot be read is a row with a code, and the next one is read. Nothing is held but the
row at hand, and no more bytes are read than the limit, packed or unpacked.
"""

import asyncio
import csv
import io
import tempfile
import zipfile
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from typing_extensions import override

from app.accounts.personal import usable_email, usable_name
from app.errors import BodyTooLargeError, OverloadedError, RosterFileInvalidError
from app.text import is_clean

MAX_LINE_CHARACTERS = 256 * 1024
MAX_ID_CHARACTERS = 255
GONE = ("tobedeleted", "inactive")
ID_COLUMNS = {"users": "sourcedid", "roles": "usersourcedid", "enrollments": "usersourcedid"}
NEEDED = {
    "users": {"sourcedid"},
    "roles": {"usersourcedid", "role"},
    "enrollments": {"usersourcedid", "classsourcedid", "role"},
}

Row = dict[str, object]  # the columns of RosterRow that a file fills


Opener = Callable[[], IO[bytes]]


@dataclass(frozen=True)
class RosterFile:
    """CSV files, still to be read in this order, by what RosterRow calls them as a source.

    `is_whole` is false for a delta: it says what changed and not who takes part.
    """

    tables: Mapping[str, Opener]
    is_whole: bool
    size: int

    def rows(self, *, max_bytes: int, tell: Callable[[int], None]) -> Iterator[Row]:
        """`tell` is given the bytes read so far.

        Raises BodyTooLargeError or RosterFileInvalidError.
        """
        meter = _Meter(max_bytes, tell)
        has_roles = False
        for source, open_table in self.tables.items():
            needed = NEEDED[source]
            if source == "users" and "roles" not in self.tables:
                needed = needed | {"role"}
            with _unpacking(), open_table() as file:
                for row in _read_table(source, _MeteredFile(file, meter), needed):
                    has_roles = has_roles or source == "roles"
                    if source == "users" and has_roles:
                        row["is_student"] = False  # unless a row of roles.csv says so
                    yield row


@contextmanager
def open_roster(path: Path) -> Iterator[RosterFile]:
    """Raises RosterFileInvalidError."""
    if path.is_dir():
        files = {file.name.lower(): file for file in path.iterdir() if file.is_file()}
        size = sum(file.stat().st_size for file in files.values())
        yield _bundle({name: _opener(file) for name, file in files.items()}, size)
    elif zipfile.is_zipfile(path):
        with _unpacking(), zipfile.ZipFile(path) as archive:
            members = {Path(item.filename).name.lower(): item for item in archive.infolist()}
            yield _bundle(
                {name: _member_opener(archive, item) for name, item in members.items()},
                sum(item.file_size for item in members.values()),
            )
    else:
        yield RosterFile({"users": _opener(path)}, is_whole=False, size=path.stat().st_size)


def _opener(path: Path) -> Opener:
    return lambda: path.open("rb")


def _member_opener(archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> Opener:
    return lambda: archive.open(item)


@asynccontextmanager
async def spool_roster(body: AsyncIterable[bytes], *, max_bytes: int) -> AsyncIterator[Path]:
    """Where a request's file is on the disk until the end: a zip has to be read from its end.

    Raises BodyTooLargeError or OverloadedError.
    """
    with tempfile.NamedTemporaryFile(prefix="spark-roster-") as file:
        size = 0
        async for chunk in body:
            size += len(chunk)
            if size > max_bytes:
                raise BodyTooLargeError
            try:
                await asyncio.to_thread(file.write, chunk)
            except OSError as full:
                raise OverloadedError from full
        file.flush()
        yield Path(file.name)


@contextmanager
def _unpacking() -> Iterator[None]:
    """What a broken, encrypted or strangely packed zip raises."""
    try:
        yield
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as broken:
        raise RosterFileInvalidError from broken


def _bundle(files: Mapping[str, Opener], size: int) -> RosterFile:
    if "users.csv" not in files or "enrollments.csv" not in files:
        raise RosterFileInvalidError(hint="A bundle needs users.csv and enrollments.csv.")
    tables = {
        source: files[f"{source}.csv"]
        for source in ("roles", "users", "enrollments")
        if f"{source}.csv" in files
    }
    return RosterFile(tables, _is_whole(files.get("manifest.csv")), size)


def _is_whole(manifest: Opener | None) -> bool:
    """A manifest says `file.enrollments` is `bulk` or `delta`; without one it is bulk."""
    if manifest is None:
        return True
    with _unpacking(), manifest() as file:
        text = file.read(MAX_LINE_CHARACTERS).decode("utf-8-sig", "replace")
    said = {line[0].strip().lower(): line[1] for line in csv.reader(text.splitlines()) if line[1:]}
    return said.get("file.enrollments", "bulk").strip().lower() == "bulk"


def _read_table(source: str, file: io.RawIOBase, needed: set[str]) -> Iterator[Row]:
    text = io.TextIOWrapper(
        io.BufferedReader(file), encoding="utf-8-sig", errors="surrogateescape", newline=""
    )
    records = _records(text)
    _, header = next(records, (0, None))
    columns = [name.strip().lower() for name in header or ()]
    if not needed <= set(columns):
        missing = ", ".join(sorted(needed - set(columns)))
        raise RosterFileInvalidError(hint=f"{source}: columns are missing: {missing}.")
    for line, record in records:
        code = _fault(record, len(columns))
        fields = dict(zip(columns, record or (), strict=False)) if code is None else {}
        yield _row(source, line, fields, code)


def _records(text: io.TextIOWrapper) -> Iterator[tuple[int, list[str] | None]]:
    """Each record with the line it ends on; None for one that is no CSV."""
    reader = csv.reader(_lines(text))
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error:  # as a quote that is never closed: the next line starts anew
            yield reader.line_num, None
        else:
            if record:
                yield reader.line_num, record


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(MAX_LINE_CHARACTERS):
        if len(line) == MAX_LINE_CHARACTERS:
            raise RosterFileInvalidError(hint="A line is too long to be a row.")
        yield line


def _fault(record: list[str] | None, columns: int) -> str | None:
    if record is None:
        return "quotes_invalid"
    if len(record) != columns:
        return "columns_invalid"
    whole = "".join(record)
    if "\0" in whole:
        return "nul_invalid"
    return None if is_clean(whole) else "encoding_invalid"


def _row(source: str, line: int, fields: Mapping[str, str], code: str | None) -> Row:
    user_id = fields.get(ID_COLUMNS[source], "")
    org_id, course_id = fields.get("schoolsourcedid", ""), fields.get("classsourcedid", "")
    ids = [user_id, course_id] if source == "enrollments" else [user_id]
    if code is None and not all(0 < len(name) <= MAX_ID_CHARACTERS for name in ids):
        code = "id_invalid"
    # Keep no name with a row that has no valid id: erasure could not find it.
    person = fields if code is None else {}
    email = person.get("email", "")
    return {
        "source": source,
        "line": line,
        "spark_user_id": None if code else user_id,
        "email": usable_email(email) if len(email) <= MAX_ID_CHARACTERS else None,
        "given_name": usable_name(person.get("givenname", "")),
        "family_name": usable_name(person.get("familyname", "")),
        "is_student": fields.get("role", "").strip().lower() == "student",
        "spark_org_id": org_id[:MAX_ID_CHARACTERS],
        "spark_course_id": course_id if not code else None,
        "leaves": fields.get("status", "").strip().lower() in GONE,
        "outcome": "error" if code else None,
        "code": code,
    }


class _Meter:
    def __init__(self, max_bytes: int, tell: Callable[[int], None]) -> None:
        self._max_bytes = max_bytes
        self._tell = tell
        self._read = 0

    def add(self, size: int) -> None:
        self._read += size
        if self._read > self._max_bytes:
            raise BodyTooLargeError
        self._tell(self._read)


class _MeteredFile(io.RawIOBase):
    """What is read through it counts."""

    def __init__(self, file: IO[bytes], meter: _Meter) -> None:
        self._file = file
        self._meter = meter

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        content = self._file.read(len(buffer))
        self._meter.add(len(content))
        buffer[: len(content)] = content
        return len(content)
