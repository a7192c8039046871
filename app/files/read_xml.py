"""Reads XML part by part as it is unpacked, with flat memory, whoever wrote it."""

from collections.abc import Callable
from xml.parsers import expat

from app.files.unzip import ZipBrokenError

# The parser keeps the tags that are open, every name of an element or attribute, and a tag or
# comment until its end. Honest parts of packages are flat and have a dozen names.
MAX_XML_DEPTH = 64
MAX_XML_NAMES = 1000
MAX_TAG_BYTES = 256 * 1024
_PIECE_BYTES = 64 * 1024  # always, so that how a file was cut makes no difference

ReadElement = Callable[[str, dict[str, str]], None]


class XmlReader:
    """Tells `read` the name and the attributes of each element."""

    def __init__(self, read: ReadElement) -> None:
        self._read = read
        self._waiting = bytearray()
        self._depth = self._parsed = 0
        self._parser = expat.ParserCreate()
        self._parser.StartDoctypeDeclHandler = self._refuse_definitions
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end

    def show(self, piece: bytes) -> None:
        """The next piece, or an empty one for the end.

        Raises ZipBrokenError for what is no XML, has definitions of its own, or would have to be
        kept; and what `read` raises.
        """
        self._waiting += piece
        while len(self._waiting) >= _PIECE_BYTES or (self._waiting and not piece):
            self._parse(bytes(self._waiting[:_PIECE_BYTES]))
            del self._waiting[:_PIECE_BYTES]
        if not piece:
            self._parse(b"")

    def _parse(self, piece: bytes) -> None:
        try:
            self._parser.Parse(piece, not piece)
        except (expat.ExpatError, ValueError, LookupError):
            raise ZipBrokenError from None
        self._parsed += len(piece)
        begun = self._parsed - self._parser.CurrentByteIndex
        if begun > MAX_TAG_BYTES or len(self._parser.intern) > MAX_XML_NAMES:
            raise ZipBrokenError

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_XML_DEPTH:
            raise ZipBrokenError
        self._read(name, attributes)

    def _end(self, _: str) -> None:
        self._depth -= 1

    def _refuse_definitions(self, *_: object) -> None:
        raise ZipBrokenError
