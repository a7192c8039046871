"""JPEG (ITU-T T.81 annex B): what is needed to decode it stays, and all else goes.

Kept are JFIF, the colour profile and Adobe's colour transform. Behind the end of the picture there
is nothing: a motion photo's film has its own location, a camera's trailer its names.
"""

import re
import struct

from typing_extensions import override

from app.files.scrub.exif import PREFIX, UPRIGHT, read_orientation, write_exif
from app.files.scrub.steps import REST, Scrub, Steps, UnreadableError

_MARK, _END, _SCAN, _COMMENT = 0xFF, 0xD9, 0xDA, 0xFE
_HEAD_BYTES = 4  # a marker, and the length of what follows
_EXIF = 0xE1
_APPLICATION = range(0xE0, 0xF0)
_ALONE = (0x01, *range(0xD0, 0xD9))  # markers that no length follows
_KEPT = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_FEW = 160  # of a chunk's bytes that may begin a marker: with more of them the pattern is faster


class JpegScrub(Scrub):
    def __init__(self) -> None:
        super().__init__()
        self._has_exif = False
        self._few = _FEW

    @override
    def _read(self) -> Steps[None]:
        while not (yield from self._is_over()):
            yield from self._skip()
            marker = (yield from self._header(2))[1]
            if marker in (0x00, _MARK):
                yield from self._drop(1)
            elif marker == _END:
                yield from self._pass(2)
                yield from self._drop(REST)
                return
            elif marker in _ALONE:
                yield from self._pass(2)
            else:
                yield from self._segment(marker)

    def _skip(self) -> Steps[None]:
        """To what may be a marker, as decoders do."""
        while not (yield from self._is_over()) and self._in[self._at] != _MARK:
            found = self._in.find(_MARK, self._at)
            yield from self._drop((len(self._in) if found < 0 else found) - self._at)

    def _segment(self, marker: int) -> Steps[None]:
        size = 2 + int.from_bytes((yield from self._peek(_HEAD_BYTES))[2:], "big")
        if size < _HEAD_BYTES:
            raise UnreadableError
        if marker == _EXIF:
            yield from self._exif(size)
        elif (yield from self._tells(marker, size)):
            yield from self._drop(size)
        else:
            yield from self._pass(size)
        if marker == _SCAN:
            yield from self._scan()

    def _tells(self, marker: int, size: int) -> Steps[bool]:
        if marker not in _APPLICATION:
            return marker == _COMMENT
        begin = _KEPT.get(marker)
        if begin is None or size < _HEAD_BYTES + len(begin):
            return True
        return (yield from self._peek(_HEAD_BYTES + len(begin)))[_HEAD_BYTES:] != begin

    def _exif(self, size: int) -> Steps[None]:
        """The first one tells how to turn the picture."""
        content = (yield from self._peek(size))[_HEAD_BYTES:]
        yield from self._drop(size)
        if content.startswith(PREFIX) and not self._has_exif:
            self._has_exif = True
            turned = read_orientation(content)
            if turned != UPRIGHT:
                exif = PREFIX + write_exif(turned)
                self._put(struct.pack(">BBH", _MARK, _EXIF, 2 + len(exif)) + exif)

    def _scan(self) -> Steps[None]:
        """The picture itself, up to the next marker."""
        while not (yield from self._is_over()):
            found = self._find_marker()
            if found is not None:
                yield from self._pass(found - self._at)
                return
            is_cut = self._in[-1] == _MARK and not self._has_ended
            yield from self._pass(self._left - is_cut)
            if is_cut:
                self._needed = 2
                yield

    def _find_marker(self) -> int | None:
        """Behind what is here of a scan. Cameras write few bytes that look like one, and to go from
        one to the next takes half as long.
        """
        data, at, last = self._in, self._at, len(self._in) - 1
        for _ in range(self._few):
            at = data.find(_MARK, at)
            if not 0 <= at < last:
                return None
            if data[at + 1]:
                break
            at += 2
        else:
            self._few = 0
        found = _AFTER_SCAN.search(data, at)
        return found.start() if found else None
