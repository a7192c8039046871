"""What only the whole of a file can tell, found while it streams past and without keeping it.

Three kinds need it: text may turn binary, and a Word document of either kind tells what it holds
in a directory that may stand at its end. `content_type.begin_check` picks one of these.
"""

import codecs
import io
import os
import re
import struct
import zipfile

from typing_extensions import override

from app.errors import FileExpandsTooLargeError, FileTypeNotAllowedError

MAX_ARCHIVE_ENTRIES = 10_000
MAX_UNPACKED_BYTES = 200 * 1024 * 1024
# The ratio is Apache POI's; blank pictures in small documents exceed it without harm.
MAX_UNPACKED_RATIO = 100
UNPACKED_RATIO_COUNTS_FROM_BYTES = 20 * 1024 * 1024
# The directory at the end of a zip: 10,000 entries with names of 50 characters.
MAX_DIRECTORY_BYTES = 1024 * 1024

ALLOWED_HINT = (
    "Allowed are JPEG, PNG, GIF, WebP and HEIC pictures, MP4, MOV and AVI videos, PDF, DOC, DOCX"
    " and plain text."
)
MACROS_HINT = "Save the document without macros (DOCX) and send it again."

UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Check:
    """Watches a file pass, from its head to `finish`; most types have nothing more to show."""

    def feed(self, chunk: bytes) -> None:
        """Never raises, and the chunking makes no difference: the verdict is `finish`'s."""

    def finish(self) -> None:
        """Raises FileTypeNotAllowedError or FileExpandsTooLargeError."""


class TextCheck(Check):
    """UTF-16 with its mark, or any encoding that leaves the control characters alone."""

    # libmagic's idea of text, and the end-of-file mark of DOS.
    _controls = bytes(set(range(0x20)) - set(b"\a\b\t\n\v\f\r\x1a\x1b")) + b"\x7f"
    _not_controls = bytes(set(range(256)) - set(_controls))
    _control = re.compile(f"[{re.escape(_controls.decode())}]")

    def __init__(self, head: bytes) -> None:
        self._utf16 = None
        if head.startswith(UTF16_MARKS):
            self._utf16 = codecs.getincrementaldecoder("utf-16")()
        self.binary = False

    @override
    def feed(self, chunk: bytes) -> None:
        self.binary = self.binary or self._is_binary(chunk)

    @override
    def finish(self) -> None:
        if self.binary:
            raise FileTypeNotAllowedError(detected="application/octet-stream", hint=ALLOWED_HINT)

    def _is_binary(self, chunk: bytes) -> bool:
        if self._utf16 is None:
            return bool(chunk.translate(None, self._not_controls))
        try:
            return bool(self._control.search(self._utf16.decode(chunk)))
        except UnicodeDecodeError:
            return True


def _ole2_name(name: str) -> bytes:
    """A name as the directory of an OLE2 file writes it; names are compared without case."""
    return (name.upper() + "\0").encode("utf-16-le")


class WordCheck(Check):
    """A .doc holds a stream WordDocument; .xls, .ppt and .msi are OLE2 files without one.

    Every VBA project has a stream _VBA_PROJECT ([MS-OVBA] 2.2.1).
    """

    _word = _ole2_name("WordDocument")
    _macros = _ole2_name("_VBA_PROJECT")

    def __init__(self) -> None:
        self._found: set[bytes] = set()
        self._last = b""

    @override
    def feed(self, chunk: bytes) -> None:
        window = self._last + chunk.upper()
        self._found.update(name for name in (self._word, self._macros) if name in window)
        self._last = window[1 - max(len(self._word), len(self._macros)) :]

    @override
    def finish(self) -> None:
        if self._word not in self._found:
            raise FileTypeNotAllowedError(detected="application/x-ole-storage", hint=ALLOWED_HINT)
        if self._macros in self._found:
            raise FileTypeNotAllowedError(detected="application/msword", hint=MACROS_HINT)


class DocxCheck(Check):
    """Reads the directory at the end of a zip, which is all that is kept of it."""

    # Some writers number the main part.
    _document = re.compile(r"word/document\d*\.xml")
    _broken = (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error)

    def __init__(self) -> None:
        self._size = 0
        self._at = 0
        self._ring = bytearray()

    @override
    def feed(self, chunk: bytes) -> None:
        """Writes in a ring: a bytearray that is cut in front is copied each time it grows."""
        self._size += len(chunk)
        chunk = chunk[-MAX_DIRECTORY_BYTES:]
        room = MAX_DIRECTORY_BYTES - self._at
        first, rest = chunk[:room], chunk[room:]
        self._ring[self._at : self._at + len(first)] = first
        self._ring[: len(rest)] = rest
        self._at = (self._at + len(chunk)) % MAX_DIRECTORY_BYTES

    @override
    def finish(self) -> None:
        entries = self._directory()
        names = {entry.filename.lower() for entry in entries}
        if any(name.endswith("vbaproject.bin") for name in names):
            macros = "application/vnd.ms-word.document.macroEnabled.12"
            raise FileTypeNotAllowedError(detected=macros, hint=MACROS_HINT)
        if "[content_types].xml" not in names or not any(map(self._document.fullmatch, names)):
            raise FileTypeNotAllowedError(detected="application/zip", hint=ALLOWED_HINT)
        self._limit(entries)

    def _directory(self) -> list[zipfile.ZipInfo]:
        end = self._ring[self._at :] + self._ring[: self._at]
        # Counted before anything is made of them: reading 20,000 entries takes 0.15 s.
        if end.count(b"PK\x01\x02") > MAX_ARCHIVE_ENTRIES:
            raise FileExpandsTooLargeError
        try:
            with zipfile.ZipFile(_EndOfFile(end, self._size)) as archive:
                return archive.infolist()
        except self._broken as error:
            raise FileTypeNotAllowedError(detected="application/zip", hint=ALLOWED_HINT) from error

    def _limit(self, entries: list[zipfile.ZipInfo]) -> None:
        by_ratio = max(UNPACKED_RATIO_COUNTS_FROM_BYTES, MAX_UNPACKED_RATIO * self._size)
        if sum(entry.file_size for entry in entries) > min(MAX_UNPACKED_BYTES, by_ratio):
            raise FileExpandsTooLargeError


class _EndOfFile:
    """The end of a file under the offsets of the whole, which zip64 needs."""

    def __init__(self, end: bytearray, size: int) -> None:
        self._end = io.BytesIO(end)
        self._missing = size - len(end)

    def read(self, size: int | None = -1, /) -> bytes:
        return self._end.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_SET:
            if 0 <= offset < self._missing:  # the directory begins in what was not kept
                raise FileExpandsTooLargeError
            offset -= self._missing
        return self._end.seek(offset, whence) + self._missing

    def tell(self) -> int:
        return self._end.tell() + self._missing
