"""Reads the CSV of rosters row by row, as spreadsheets write it (DESIGN R35): separated by comma,
semicolon or tab, or by what a first line `sep=;` names, in UTF-8, or UTF-16 with a mark.

A row that cannot be read is a row with a code, and the next one is read.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from typing_extensions import override

from app.accounts.personal import ASCII_SPACE, usable_email, usable_name
from app.errors import RosterFileInvalidError
from app.text import identifier_text, is_clean, trimmed_id

MAX_LINE_CHARACTERS = 256 * 1024  # and of a record over several lines
MAX_COLUMNS = 1000
MAX_BAD_ROWS = 1000  # one after another
MAX_ID_CHARACTERS = 255
GONE = ("tobedeleted", "inactive")
ID_COLUMNS = {"users": "sourcedid", "roles": "usersourcedid", "enrollments": "usersourcedid"}
NEEDED = {
    "users": {"sourcedid"},
    "roles": {"usersourcedid", "role"},
    "enrollments": {"usersourcedid", "classsourcedid", "role"},
}
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
# Excel writes and reads it; a spreadsheet that took it for a cell may have quoted or widened it.
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[,;\t]*[\r\n]*', re.IGNORECASE)
# By these the separator of a header is found.
COLUMNS = frozenset().union(
    *NEEDED.values(), {"email", "givenname", "familyname", "role", "propertyname", "value"}
)

Row = dict[str, object]  # the columns of RosterRow that a file fills


def read_table(source: str, file: io.RawIOBase, *, needs_role: bool) -> Iterator[Row]:
    """Raises RosterFileInvalidError, and what reading the file raises."""
    lines = _Lines(file)
    header, records = _records(lines)
    columns = [_plain(name).lower() for name in header]
    needed = NEEDED[source] | ({"role"} if needs_role else set())
    if not needed <= set(columns):
        missing = ", ".join(sorted(needed - set(columns)))
        raise RosterFileInvalidError(
            hint=f"{source}: columns are missing: {missing}. {lines.dialect}"
        )
    if len(columns) > MAX_COLUMNS:
        raise RosterFileInvalidError(hint=f"{source}: there are more than {MAX_COLUMNS:,} columns.")
    bad = 0
    for line, record in records:
        code = _fault(record, len(columns))
        fields = (
            dict(zip(columns, map(_cell, columns, record or ()), strict=False)) if not code else {}
        )
        row = _row(source, line, fields, code)
        yield row
        bad = bad + 1 if row["code"] else 0
        if bad == MAX_BAD_ROWS:
            raise RosterFileInvalidError(
                hint=(
                    f"{source}: {bad:,} rows one after another cannot be read, up to line {line}"
                    f" ({row['code']}). {lines.dialect}"
                )
            )


def read_values(file: io.RawIOBase | io.BytesIO) -> dict[str, str]:
    """Of a manifest: what stands in the second column, in lower case, by the first."""
    header, records = _records(_Lines(file))
    return {
        _plain(record[0]).lower(): _plain(record[1]).lower()
        for record in chain([header], (record for _, record in records))
        if record and record[1:]
    }


class _Lines(Iterator[str]):
    """The lines of a file, with the number of the last, and what is known of its dialect.

    As `csv` gathers a record over any number of lines, they are counted for it here.
    """

    def __init__(self, file: io.RawIOBase | io.BytesIO) -> None:
        buffered = io.BufferedReader(file)
        is_wide = buffered.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        self._text = io.TextIOWrapper(
            buffered,
            encoding="utf-16" if is_wide else "utf-8-sig",
            errors="surrogatepass" if is_wide else "surrogateescape",
            newline="",
        )
        self._room = MAX_LINE_CHARACTERS
        self.number = 0
        self.have_ended = False
        self.separator = ","

    @property
    def dialect(self) -> str:
        """How it was read, and what else could be."""
        encoding = "UTF-16" if self._text.encoding == "utf-16" else "UTF-8"
        return (
            f"It was read as {encoding}, separated by {SEPARATORS[self.separator]}. Save it as CSV"
            " in UTF-8, or UTF-16 with a byte order mark (Windows-1252 and others are not read),"
            f" separated by {', '.join(SEPARATORS.values())}."
        )

    def begin_record(self) -> None:
        self._room = MAX_LINE_CHARACTERS

    @override
    def __next__(self) -> str:
        """Raises RosterFileInvalidError, or csv.Error for a record that is too long."""
        try:
            line = self._text.readline(MAX_LINE_CHARACTERS)
        except UnicodeError as broken:  # only in UTF-16: the other handler takes everything
            raise RosterFileInvalidError(hint=f"A character is cut off. {self.dialect}") from broken
        if not line:
            self.have_ended = True
            raise StopIteration
        if len(line) == MAX_LINE_CHARACTERS:
            raise RosterFileInvalidError(
                hint=f"A line of {MAX_LINE_CHARACTERS:,} characters is too long. {self.dialect}"
            )
        self.number += 1
        self._room -= len(line)
        if self._room < 0:
            raise csv.Error
        return line


def _records(lines: _Lines) -> tuple[list[str], Iterator[tuple[int, list[str] | None]]]:
    """The header and what follows: each record with the line it ends on; None if it is no CSV."""
    first = _next_line(lines)
    told = SEPARATOR_LINE.fullmatch(first)
    if told:
        if told[1] not in SEPARATORS:
            raise RosterFileInvalidError(hint=f"Its separator is not read. {lines.dialect}")
        lines.separator, first = told[1], _next_line(lines)
    else:
        lines.separator = max(SEPARATORS, key=lambda each: _columns_found(first, each))
    records = _parse(chain([first], lines), lines)
    _, header = next(records, (0, None))
    return header or [], records


def _next_line(lines: _Lines) -> str:
    """The next one that is not blank, or nothing."""
    return next((line for line in lines if line.strip()), "")


def _columns_found(header: str, separator: str) -> tuple[int, int]:
    """How many columns that we know are in a header, and how many there are."""
    try:
        names = next(csv.reader([header], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        names = []
    return len(COLUMNS.intersection(_plain(name).lower() for name in names)), len(names)


def _parse(text: Iterable[str], lines: _Lines) -> Iterator[tuple[int, list[str] | None]]:
    reader = csv.reader(text, delimiter=lines.separator, skipinitialspace=True)
    while True:
        lines.begin_record()
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error:  # a record that is too long: the next line starts anew
            yield lines.number, None
        else:
            if lines.have_ended:  # inside quotes: only there more lines are asked for
                yield lines.number, None
            elif any(record):  # rows that were emptied in a spreadsheet are only separators
                yield lines.number, record


def _cell(column: str, value: str) -> str:
    """An address is taken as it was sent: what surrounds it may make it somebody else's (R42)."""
    return _from_text(value.strip(ASCII_SPACE)) if column == "email" else _plain(value)


def _plain(value: str) -> str:
    """A cell without what cannot be seen round it."""
    return trimmed_id(_from_text(trimmed_id(value)))


def _from_text(value: str) -> str:
    """Out of the `="001"` that keeps a cell text in a spreadsheet."""
    is_text = value[:2] == '="' and value[-1] == '"' and value.count('"') == 2  # noqa: PLR2004
    return value[2:-1] if is_text else value


def _fault(record: Sequence[str] | None, columns: int) -> str | None:
    if record is None:
        return "quotes_invalid"
    if len(record) != columns:
        return "columns_invalid"
    whole = "".join(record)
    if "\0" in whole:
        return "nul_invalid"
    return None if is_clean(whole) else "encoding_invalid"


def _identifier(fields: Mapping[str, str], column: str) -> str | None:
    """None for what no identifier can be (DESIGN R46)."""
    try:
        return str(identifier_text(fields.get(column, "")))
    except ValueError:
        return None


def _row(source: str, line: int, fields: Mapping[str, str], code: str | None) -> Row:
    user_id = _identifier(fields, ID_COLUMNS[source])
    org_id = _identifier(fields, "schoolsourcedid")
    course_id = _identifier(fields, "classsourcedid")
    ids = [user_id, course_id] if source == "enrollments" else [user_id]
    are_ids = all(name and len(name) <= MAX_ID_CHARACTERS for name in ids)
    if code is None and (not are_ids or org_id is None):
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
        "is_student": fields.get("role", "").lower() == "student",
        "spark_org_id": (org_id or "")[:MAX_ID_CHARACTERS],
        "spark_course_id": course_id if not code else None,
        "leaves": fields.get("status", "").lower() in GONE,
        "outcome": "error" if code else None,
        "code": code,
    }
