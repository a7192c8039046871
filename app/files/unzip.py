"""A zip read from front to back while it arrives, with flat memory.

What its directory says counts for nothing: each entry is unpacked where it stands and counted. At
the end the directory, by which programs find entries, has to lead to entries that were seen.
"""

import re
import struct
import zlib
from collections.abc import Callable, Generator, Iterator

from app.errors import FileExpandsTooLargeError

MAX_ARCHIVE_ENTRIES = 10_000
MAX_UNPACKED_BYTES = 200 * 1024 * 1024
# The ratio is Apache POI's; blank pictures in small documents exceed it without harm.
MAX_UNPACKED_RATIO = 100
UNPACKED_RATIO_COUNTS_FROM_BYTES = 20 * 1024 * 1024
# The directory at the end of a zip: 10,000 entries with names of 50 characters.
MAX_DIRECTORY_BYTES = 1024 * 1024

# What is done in one step, in bytes that unpacking gave: a few milliseconds.
STEP_BYTES = 1024 * 1024
_HEADER_COST = 4096  # reading a header takes as long as unpacking so much
_READING_COST = 16  # reading XML takes so many times as long as unpacking it
_PACKED_BYTES = 16 * 1024
_PIECE_BYTES = 64 * 1024

_ENTRY, _LISTED, _BEHIND = b"PK\x03\x04", b"PK\x01\x02", b"PK\x07\x08"
_END, _END64, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_SIGNATURE = re.compile(rb"PK(?:\x03\x04|\x01\x02|\x05\x06|\x06\x06|\x06\x07)")
_ENTRY_HEADER = struct.Struct("<2x2H8xII2H")  # flags, method, packed, unpacked, lengths
_LISTED_HEADER = struct.Struct("<4x2H8xII3H8xI")  # the same, and the place of the entry
_END_BYTES = {_END: 18, _END64: 52, _LOCATOR: 16}
_ENCRYPTED, _SIZE_BEHIND = 1, 8  # flags
_STORED, _DEFLATED, _AES = 0, 8, 99  # methods
_ELSEWHERE = 0xFFFFFFFF
_FIELD, _LARGE_FIELD = struct.Struct("<HH"), 1

Show = Callable[[bytes], None]  # sees what an entry unpacks to, in pieces; the last one is empty
Steps = Generator[bool, None, None]  # whether more could be done at once


class ZipBrokenError(Exception):
    """It is no zip that can be judged."""


class ZipEncryptedError(Exception):
    """An entry needs a password."""


class ZipReader:
    """`open_entry` is told the name of each entry where it stands, and gives who shall see what is
    inside, if anybody; `list_entry` the name of each entry of the directory. Both may raise.
    """

    def __init__(
        self, open_entry: Callable[[bytes], Show | None], list_entry: Callable[[bytes], None]
    ) -> None:
        self._open_entry, self._list_entry = open_entry, list_entry
        self._data = bytearray()
        self._at = 0  # where in the file `_data` begins
        self._ended = False
        self._spent = 0  # of STEP_BYTES
        self._unpacked = 0
        self._directory = _Directory()
        self._steps = self._read()

    def feed(self, chunk: bytes) -> bool:
        """Raises ZipBrokenError, ZipEncryptedError, FileExpandsTooLargeError and what `open_entry`
        and `list_entry` raise; then nothing more is read.
        """
        self._data += chunk
        return self.go_on()

    def go_on(self) -> bool:
        """One step; whether there is more to do with what came. Raises as `feed`."""
        return next(self._steps, False)

    def finish(self) -> None:
        """Raises as `feed`."""
        self._ended = True
        while self.go_on():
            pass
        size = self._at + len(self._data)
        if self._unpacked > max(UNPACKED_RATIO_COUNTS_FROM_BYTES, MAX_UNPACKED_RATIO * size):
            raise FileExpandsTooLargeError
        if not self._directory.is_whole:
            raise ZipBrokenError

    # What follows is one reader that waits inside for bytes.

    def _read(self) -> Steps:
        while (yield from self._find(_SIGNATURE)):
            at, signature = self._at, self._cut(4)
            if signature == _ENTRY:
                yield from self._read_entry(at)
            elif signature == _LISTED:
                yield from self._read_listed(at)
            else:
                record = yield from self._take(_END_BYTES[signature])
                self._directory.end(at, signature, record)
            yield from self._spend(_HEADER_COST)

    def _read_entry(self, at: int) -> Steps:
        header = yield from self._take(_ENTRY_HEADER.size)
        flags, method, packed, size, name_size, extra_size = _ENTRY_HEADER.unpack(header)
        name = yield from self._take(name_size)
        extra = yield from self._take(extra_size)
        if flags & _ENCRYPTED or method == _AES:
            raise ZipEncryptedError
        show = self._open_entry(name) or _nobody
        before, stored = self._unpacked, method == _STORED
        size, packed = _sizes(extra, size, packed)
        if method == _DEFLATED:
            yield from self._inflate(show)
        elif not stored:
            raise ZipBrokenError
        elif flags & _SIZE_BEHIND and not packed and not name.endswith((b"/", b"\\")):
            yield from self._show_piped(show)
        else:
            yield from self._show(packed, show)
        show(b"")
        self._directory.met(at, (hash(name), self._unpacked - before if stored else None))

    def _read_listed(self, at: int) -> Steps:
        header = yield from self._take(_LISTED_HEADER.size)
        flags, method, packed, size, *sizes, offset = _LISTED_HEADER.unpack(header)
        name = yield from self._take(sizes[0])
        extra = yield from self._take(sizes[1])
        comment = yield from self._take(sizes[2])
        if flags & _ENCRYPTED:
            raise ZipEncryptedError
        if _LOCATOR in extra + comment:  # another directory, for who looks in front of the end
            raise ZipBrokenError
        size, packed, offset = _sizes(extra, size, packed, offset)
        entry = (hash(name), packed if method == _STORED else None)
        self._directory.add(at, offset, entry, len(header) + sum(sizes))
        self._list_entry(name)

    def _inflate(self, show: Show) -> Steps:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        while not inflater.eof:
            yield from self._await(1)
            packed = waiting = bytes(self._data[:_PACKED_BYTES])
            while waiting and not inflater.eof:
                try:
                    piece = inflater.decompress(waiting, _PIECE_BYTES)
                except zlib.error:
                    raise ZipBrokenError from None
                waiting = inflater.unconsumed_tail
                yield from self._unpack(piece, show)
            self._cut(len(packed) - len(inflater.unused_data))

    def _show(self, size: int, show: Show) -> Steps:
        """Bytes that are as they are."""
        while size:
            yield from self._await(1)
            piece = self._cut(min(size, _PIECE_BYTES))
            size -= len(piece)
            yield from self._unpack(piece, show)

    def _show_piped(self, show: Show) -> Steps:
        """What was written to a pipe has its size behind it (APPNOTE 4.3.9)."""
        begin = self._at
        while True:
            at = self._data.find(_BEHIND)
            yield from self._show(at if at >= 0 else max(0, len(self._data) - 3), show)
            yield from self._await(12 if at >= 0 else 4)
            if at >= 0:
                if int.from_bytes(self._data[8:12], "little") == self._at - begin:
                    return
                yield from self._show(4, show)
                yield from self._spend(_HEADER_COST)

    def _unpack(self, piece: bytes, show: Show) -> Steps:
        self._unpacked += len(piece)
        if self._unpacked > MAX_UNPACKED_BYTES:
            raise FileExpandsTooLargeError
        if piece:
            show(piece)
        return self._spend(len(piece) * (1 if show is _nobody else _READING_COST))

    def _spend(self, cost: int) -> Steps:
        self._spent += cost
        if self._spent >= STEP_BYTES:
            self._spent = 0
            yield True

    def _await(self, size: int) -> Steps:
        while len(self._data) < size:
            if self._ended:
                raise ZipBrokenError
            self._spent = 0
            yield False

    def _take(self, size: int) -> Generator[bool, None, bytes]:
        yield from self._await(size)
        return self._cut(size)

    def _find(self, pattern: re.Pattern[bytes]) -> Generator[bool, None, bool]:
        """Pass over what is no such thing, up to it; or up to the end of the file."""
        while not (found := pattern.search(self._data)):
            self._cut(max(0, len(self._data) - 3))
            if self._ended:
                return False
            self._spent = 0
            yield False
        self._cut(found.start())
        return True

    def _cut(self, size: int) -> bytes:
        piece = bytes(self._data[:size])
        del self._data[:size]
        self._at += len(piece)
        return piece


_Entry = tuple[int, int | None]  # the hash of its name, and its size if it is stored as it is


class _Directory:
    """The list of entries, and whether one that fits ended the file."""

    def __init__(self) -> None:
        self.is_whole = False
        self._entries: dict[int, _Entry] = {}  # by their place
        self._listed: set[int] = set()
        self._begin: int | None = None
        self._end64: int | None = None
        self._size = 0

    def met(self, at: int, entry: _Entry) -> None:
        self.is_whole = False
        self._entries[at] = entry
        if len(self._entries) > MAX_ARCHIVE_ENTRIES:
            raise FileExpandsTooLargeError

    def add(self, at: int, offset: int, entry: _Entry, size: int) -> None:
        if self._begin is None:
            self.is_whole, self._begin, self._size = False, at, 0
            self._listed.clear()
        self._size += size
        if self._size > MAX_DIRECTORY_BYTES:
            raise FileExpandsTooLargeError
        if offset in self._listed or self._entries.get(offset) != entry:
            raise ZipBrokenError
        self._listed.add(offset)

    def end(self, at: int, signature: bytes, record: bytes) -> None:
        """One of the records by which programs find the list: it must be the one that was seen."""
        if signature == _LOCATOR:
            is_right = int.from_bytes(record[4:12], "little") == self._end64
        elif signature == _END64:
            self._end64 = at
            is_right = int.from_bytes(record[44:], "little") == self._begin
        else:
            offset = int.from_bytes(record[12:16], "little")
            is_large = offset == _ELSEWHERE and self._end64 is not None
            is_right = self._begin is not None and (is_large or offset == self._begin)
            self.is_whole, self._begin, self._end64 = is_right, None, None
        if not is_right:
            raise ZipBrokenError


def _sizes(extra: bytes, *values: int) -> list[int]:
    """Those that 32 bits do not hold stand in the extra field, in this order (APPNOTE 4.5.3)."""
    at = 0
    large: Iterator[tuple[int]] = iter(())
    while at + _FIELD.size <= len(extra):
        kind, size = _FIELD.unpack_from(extra, at)
        at += _FIELD.size + size
        if kind == _LARGE_FIELD:
            field = extra[at - size : at]
            large = struct.iter_unpack("<Q", field[: len(field) // 8 * 8])
    return [next(large, (value,))[0] if value == _ELSEWHERE else value for value in values]


def _nobody(_: bytes) -> None:
    """Sees nothing."""
