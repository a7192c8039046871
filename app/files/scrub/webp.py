"""WebP (RFC 9649): written over in place, so that the sizes in front stay true."""

import struct

from typing_extensions import override

from app.files.scrub.exif import HELD_BYTES, read_orientation, write_exif
from app.files.scrub.steps import Scrub, Steps, UnreadableError

_KEPT = frozenset((b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
_HAS_XMP = 0x04


class WebpScrub(Scrub):
    @override
    def _read(self) -> Steps[None]:
        riff = yield from self._peek(12)
        yield from self._pass(12)
        left = int.from_bytes(riff[4:8], "little") - 4
        while left > 0 and not (yield from self._is_over()):
            name, size = struct.unpack("<4sI", (yield from self._header(8)))
            yield from self._chunk(name, size)
            yield from self._pass(size % 2)
            left -= 8 + size + size % 2
        if not (yield from self._is_over()):
            raise UnreadableError

    def _chunk(self, name: bytes, size: int) -> Steps[None]:
        if name == b"VP8X" and size:
            head = yield from self._peek(9)
            yield from self._replace(head[:8] + bytes([head[8] & ~_HAS_XMP]))
            yield from self._pass(size - 1)
        elif name == b"EXIF":
            yield from self._exif(size)
        elif name in _KEPT:
            yield from self._pass(8 + size)
        else:
            yield from self._replace(struct.pack("<4sI", b"JUNK", size))
            yield from self._blank(size)

    def _exif(self, size: int) -> Steps[None]:
        begin = yield from self._peek(8 + min(size, HELD_BYTES))
        exif = write_exif(read_orientation(begin[8:]))
        yield from self._pass(8)
        if size >= len(exif):
            yield from self._replace(exif)
            size -= len(exif)
        yield from self._blank(size)
