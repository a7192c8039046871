"""Compound files ([MS-CFB]), of which Word's old format is one.

What is inside stands in a directory of 128 bytes for each stream, in sectors that may lie anywhere,
and the table that orders them too. So both are kept as they pass: sectors of the table because the
header names them, and whatever has the form of a piece of directory.
"""

import struct
from collections.abc import Iterator
from itertools import islice

from typing_extensions import override

from app.files.content_checks import Check
from app.files.file_types import ENCRYPTED_HINT, MACROS_HINT

BLOCK_BYTES = 512  # a sector is one or eight of it
MAX_BLOCKS = 1024  # of each kind that is kept: the table of 64 MiB, a directory of 4,096 entries
_ENTRY = struct.Struct("<64sHBxIII36xIQ")  # name, its length, type, left, right, child, start, size
_STREAM, _TYPES, _MARKS = 2, (1, 2, 5), 0xFFFFFFFA  # from there on they are no numbers of sectors
_LARGE_SHIFT = 12
_NAME_BYTES = range(2, 65, 2)  # with its NUL
_MINI_BYTES = 4096  # streams below this lie in another one
_FIB_IS_ENCRYPTED = 0x0100  # [MS-DOC] 2.5.2

_OTHER_KINDS = {
    "WORKBOOK": "application/vnd.ms-excel",
    "BOOK": "application/vnd.ms-excel",
    "POWERPOINT DOCUMENT": "application/vnd.ms-powerpoint",
    "__PROPERTIES_VERSION1.0": "application/vnd.ms-outlook",
}


class WordCheck(Check):
    """A .doc holds a stream WordDocument in its root, where a document inside another has none.

    Every VBA project has a stream _VBA_PROJECT ([MS-OVBA] 2.2.1), which is searched everywhere.
    """

    def __init__(self, head: bytes) -> None:
        header = head[:BLOCK_BYTES].ljust(BLOCK_BYTES, b"\xff")
        self._sector_bytes = 1 << _LARGE_SHIFT if header[30] == _LARGE_SHIFT else BLOCK_BYTES
        self._first, self._next_list = struct.unpack_from("<I16xI", header, 48)
        self._table = [*struct.unpack_from("<109I", header, 76)]  # the sectors that it fills
        self._table_sectors: dict[int, bytes] = {}
        self._directory: dict[int, bytes] = {}  # by block
        self._encrypted: set[int] = set()  # blocks where a text begins that is
        self._has_macros = False
        self._rest = b""
        self._at = 0

    @override
    def feed(self, chunk: bytes) -> None:
        data = self._rest + chunk
        whole = len(data) - len(data) % self._sector_bytes
        self._rest = data[whole:]
        self._look(data[:whole])

    @override
    def finish(self) -> None:
        self._look(self._rest + bytes(-len(self._rest) % BLOCK_BYTES))
        streams = self._root_streams()
        if "ENCRYPTEDPACKAGE" in streams or streams.get("WORDDOCUMENT") in self._encrypted:
            raise self.refusal("application/encrypted", hint=ENCRYPTED_HINT)
        if "WORDDOCUMENT" not in streams:
            kinds = (_OTHER_KINDS[name] for name in _OTHER_KINDS if name in streams)
            raise self.refusal(next(kinds, "application/x-ole-storage"))
        if self._has_macros:
            raise self.refusal("application/msword", hint=MACROS_HINT)

    def _look(self, data: bytes) -> None:
        self._keep_table(data)
        first = self._at // BLOCK_BYTES
        for number in _like_directory(data):
            block = data[number * BLOCK_BYTES :][:BLOCK_BYTES]
            names = {_name(entry) for entry in _entries(block)}
            self._has_macros = self._has_macros or "_VBA_PROJECT" in names
            if names and len(self._directory) < MAX_BLOCKS:
                self._directory[first + number] = block
        for number in _encrypted_texts(data):
            if len(self._encrypted) < MAX_BLOCKS:
                self._encrypted.add(first + number)
        self._at += len(data)

    def _keep_table(self, data: bytes) -> None:
        """What the header does not name of the table, lists do; they stand before it."""
        size = self._sector_bytes
        first = self._at // size - 1
        sectors = range(first, first + len(data) // size)
        while (here := self._next_list) in sectors and len(self._table) < MAX_BLOCKS:
            *more, self._next_list = struct.unpack_from(
                f"<{size // 4}I", data, (here - first) * size
            )
            self._table += [number if number > here else _MARKS for number in more]
            if self._next_list <= here:
                self._next_list = _MARKS
        for number in self._table[:MAX_BLOCKS]:
            if number in sectors:
                self._table_sectors[number] = data[(number - first) * size :][:size]

    def _root_streams(self) -> dict[str, int]:
        """Their names in capitals, and in which block each begins."""
        entries = [
            entry for block in self._directory_blocks() for entry in _entries(block, all_=True)
        ]
        found: dict[str, int] = {}
        waiting, seen = [entries[0][5]] if entries else [], set[int]()
        while waiting:
            number = waiting.pop()
            if number >= len(entries) or number in seen:
                continue
            seen.add(number)
            entry = entries[number]
            *_, left, right, _, start, size = entry
            waiting += [left, right]
            place = (start + 1) * self._sector_bytes // BLOCK_BYTES
            found[_name(entry)] = place if size % 2**32 >= _MINI_BYTES else 0
        return found

    def _directory_blocks(self) -> Iterator[bytes]:
        """In their order. What the table does not tell goes by their place in the file."""
        per_sector = self._sector_bytes // BLOCK_BYTES
        for sector in islice(self._chain(), MAX_BLOCKS // per_sector):
            begin = (sector + 1) * per_sector
            for block in range(begin, begin + per_sector):
                yield self._directory.get(block, bytes(BLOCK_BYTES))

    def _chain(self) -> Iterator[int]:
        sector, numbers = self._first, self._sector_bytes // 4
        while sector < _MARKS:
            yield sector
            place, number = divmod(sector, numbers)
            part = self._table_sectors.get(self._table[place]) if place < len(self._table) else None
            if part is None:
                sector = self._next_in_file(sector)
            else:
                (sector,) = struct.unpack_from("<I", part, number * 4)

    def _next_in_file(self, sector: int) -> int:
        per_sector = self._sector_bytes // BLOCK_BYTES
        later = (block // per_sector - 1 for block in self._directory)
        return min((number for number in later if number > sector), default=_MARKS)


_Entry = tuple[bytes, int, int, int, int, int, int, int]


def _entries(block: bytes, *, all_: bool = False) -> Iterator[_Entry]:
    """Those of a block that are in use and have a name, or all."""
    for entry in _ENTRY.iter_unpack(block):
        raw, size, kind, *_ = entry
        if all_ or (kind in _TYPES and size in _NAME_BYTES and raw[size - 2 : size] == b"\0\0"):
            yield entry


def _name(entry: _Entry) -> str:
    """Names are compared without case."""
    return entry[0][: max(0, entry[1] - 2)].decode("utf-16-le", "replace").upper()


def _flags(*values: int) -> bytes:
    """To translate bytes: 1 for these values."""
    return bytes(value in values for value in range(256))


_IS_FREE, _IS_USED = _flags(0), _flags(*_TYPES)
_IS_COLOUR, _IS_LENGTH = _flags(0, 1), _flags(*_NAME_BYTES)


def _number(flags: bytes) -> int:
    return int.from_bytes(flags, "little")


def _like_directory(data: bytes) -> Iterator[int]:
    """Numbers of the blocks whose four entries have the form of such, one at least in use.

    All entries are looked at together, as one number with a byte for each: a loop takes too long.
    """
    kinds = data[66::128]
    used = _number(kinds.translate(_IS_USED)) & _number(data[67::128].translate(_IS_COLOUR))
    used &= _number(data[64::128].translate(_IS_LENGTH)) & _number(
        data[65::128].translate(_IS_FREE)
    )
    valid = (used | _number(kinds.translate(_IS_FREE))).to_bytes(len(kinds), "little")
    some = used.to_bytes(len(kinds), "little")
    fits, any_used = -1, 0
    for place in range(4):
        fits &= _number(valid[place::4])
        any_used |= _number(some[place::4])
    yield from _places((fits & any_used).to_bytes(len(kinds) // 4, "little"), b"\1")


def _encrypted_texts(data: bytes) -> Iterator[int]:
    """Numbers of the blocks with which a text of Word begins that has a password."""
    for number in _places(data[1::BLOCK_BYTES], b"\xa5"):
        begin = number * BLOCK_BYTES
        flags = int.from_bytes(data[begin + 10 : begin + 12], "little")
        if data[begin] in b"\xec\xdc" and flags & _FIB_IS_ENCRYPTED:
            yield number


def _places(data: bytes, byte: bytes) -> Iterator[int]:
    place = data.find(byte)
    while place >= 0:
        yield place
        place = data.find(byte, place + 1)
