"""HEIC and HEIF (ISO/IEC 23008-12): what `meta` calls Exif or XMP is written over where it stands.

Samsung's pictures come before `meta`, so the last of them is held until it came.
"""

from typing_extensions import override

from app.files.scrub.boxes import Box, FilmScrub
from app.files.scrub.heif_items import Extent, telling_extents
from app.files.scrub.steps import Steps, UnreadableError

_MAX_META_BYTES = 512 * 1024  # with 200 megapixels it has 60,000
_HELD_BYTES = 1024 * 1024
_MAX_EXTENTS = 256


class HeifScrub(FilmScrub):
    def __init__(self) -> None:
        super().__init__()
        self._held = bytearray()
        self._holds = True
        self._gone = 0  # bytes that can no longer be changed
        self._extents: list[Extent] = []

    @override
    def _read(self) -> Steps[None]:
        try:
            yield from super()._read()
        finally:
            self._let_go()

    @override
    def _top(self, box: Box) -> Steps[None]:
        if box.kind == b"meta":
            yield from self._meta(box)
        else:
            yield from super()._top(box)

    def _meta(self, box: Box) -> Steps[None]:
        if box.size > _MAX_META_BYTES:
            raise UnreadableError
        content = yield from self._peek(box.size)
        at = self._gone + len(self._held)
        found = telling_extents(content, len(box.head), at)
        self._extents += found
        if len(self._extents) > _MAX_EXTENTS or any(start < self._gone for start, *_ in found):
            raise UnreadableError
        if found:
            self.location = "removed"
        self._has_index = True
        self._let_go()
        yield from self._pass(box.size)

    @override
    def _put(self, content: bytes) -> None:
        self._held += content
        self._send(len(self._held) - (_HELD_BYTES if self._holds else 0))

    def _let_go(self) -> None:
        self._holds = False
        self._send(len(self._held))

    def _send(self, size: int) -> None:
        if size > 0:
            piece = self._held[:size]
            del self._held[:size]
            for start, stop, content in self._extents:
                first, last = max(start - self._gone, 0), min(stop - self._gone, size)
                if first < last:
                    told = content[max(self._gone - start, 0) :][: last - first]
                    piece[first:last] = told.ljust(last - first, b"\0")
            self._gone += size
            super()._put(bytes(piece))
