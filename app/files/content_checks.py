"""What only the whole of a file can tell, found while it streams past and without keeping it.

`content_type.begin_check` picks one of these, or one of those for packages and compound files.
"""

import codecs
import re

from typing_extensions import override

from app.errors import FileTypeNotAllowedError

UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
UNKNOWN = "application/octet-stream"


class Check:
    """Watches a file pass, from its head to `finish`; most types have nothing more to show.

    `hint` says what is allowed.
    """

    hint = ""

    def feed(self, chunk: bytes) -> None:
        """Refuses nothing, and the chunking makes no difference: the verdict is `finish`'s."""

    def go_on(self) -> bool:
        """Do some milliseconds of what `feed` left to do; whether there is still more."""
        return False

    def finish(self) -> None:
        """Raises FileTypeNotAllowedError or FileExpandsTooLargeError."""

    def refusal(self, detected: str, *, hint: str = "") -> FileTypeNotAllowedError:
        return FileTypeNotAllowedError(detected=detected, hint=hint or self.hint)


class TextCheck(Check):
    """UTF-8 or UTF-16 with its mark; or another encoding, which shows as no control characters but
    those that texts have, and at the end the file mark of DOS. NUL is in no text.
    """

    _END = b"\x1a"
    _controls = bytes(set(range(1, 0x20)) - set(b"\t\n\f\r\x1b\x1a"))
    _others = bytes(set(range(256)) - set(_controls))

    def __init__(self, head: bytes) -> None:
        is_utf16 = head.startswith(UTF16_MARKS)
        self._decoder = codecs.getincrementaldecoder("utf-16" if is_utf16 else "utf-8")()
        self.decodes = True
        self.is_plain = not is_utf16
        self._may_have_ended = False

    @override
    def feed(self, chunk: bytes) -> None:
        self.is_plain = self.is_plain and self._goes_on_plain(chunk)
        if self.decodes:
            self.decodes = self._decode(chunk, final=False)

    @property
    def is_binary(self) -> bool:
        """As far as was seen."""
        return not (self.decodes or self.is_plain)

    @override
    def finish(self) -> None:
        self.decodes = self.decodes and self._decode(b"", final=True)
        if self.is_binary:
            raise self.refusal(UNKNOWN)

    def _decode(self, chunk: bytes, *, final: bool) -> bool:
        try:
            return "\0" not in self._decoder.decode(chunk, final)
        except UnicodeDecodeError:
            return False

    def _goes_on_plain(self, chunk: bytes) -> bool:
        text = chunk.rstrip(self._END)
        if text and (self._may_have_ended or self._END in text):
            return False
        self._may_have_ended = self._may_have_ended or text != chunk
        return b"\0" not in text and not text.translate(None, self._others)


class SearchCheck(Check):
    """Whether a pattern of at most 16 bytes stands anywhere in the file."""

    _KEPT = 15

    def __init__(self, pattern: bytes) -> None:
        self._pattern = re.compile(pattern)
        self._last = b""
        self.found = False

    @override
    def feed(self, chunk: bytes) -> None:
        if not self.found:
            window = self._last + chunk
            self.found = bool(self._pattern.search(window))
            self._last = window[-self._KEPT :]


class PdfCheck(SearchCheck):
    """Behind the mark there are objects, or what leads to them."""

    def __init__(self) -> None:
        super().__init__(rb" obj|startxref")

    @override
    def finish(self) -> None:
        if not self.found:
            raise self.refusal(UNKNOWN)


class WebmSoundCheck(SearchCheck):
    """With a track of pictures it is a film."""

    def __init__(self) -> None:
        super().__init__(rb"V_(?:VP[89]|AV1|MPEG)")

    @override
    def finish(self) -> None:
        if self.found:
            raise self.refusal("video/webm")


class JpegCheck(Check):
    """The first segment is there: a marker, its length in two bytes, and so many bytes."""

    def __init__(self, head: bytes) -> None:
        segment = head[2:].lstrip(b"\xff")
        self._has_marker = segment[:1] >= b"\xc0"
        self._missing = len(head) - len(segment) + 1 + int.from_bytes(segment[1:3], "big")

    @override
    def feed(self, chunk: bytes) -> None:
        self._missing -= len(chunk)

    @override
    def finish(self) -> None:
        if self._missing > 0 or not self._has_marker:
            raise self.refusal(UNKNOWN)


class Mp3Check(Check):
    """Behind the tag, and the zeros that fill it up, a frame begins (ID3v2.4 section 3.1)."""

    # Layer III, with a bit rate that exists.
    _frame = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xef]")
    _FRAME_BYTES = 3

    def __init__(self, head: bytes) -> None:
        self._before = 0
        if head.startswith(b"ID3"):
            one, two, three, four = head[6:10].ljust(4, b"\0")  # seven bits each
            self._before = 10 + (one << 21) + (two << 14) + (three << 7) + four
        self._begin = b""

    @override
    def feed(self, chunk: bytes) -> None:
        if len(self._begin) < self._FRAME_BYTES:
            here = chunk[self._before :]
            self._before -= len(chunk) - len(here)
            self._begin = (self._begin + here).lstrip(b"\0")[: self._FRAME_BYTES]

    @override
    def finish(self) -> None:
        if not self._frame.match(self._begin):
            raise self.refusal(UNKNOWN)
