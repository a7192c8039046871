"""Films, MP4 and QuickTime (ISO/IEC 14496-12): written over in place, for numbers in the file lead
to where its samples stand.

What a film says of itself becomes free space, and so does a track of metadata, and beside the film
whatever players have no need of, as a camera's own boxes. The samples of such a track, as a drone's
path, stay, and nothing leads to them any more.
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from typing_extensions import override

from app.files.scrub.steps import REST, Scrub, Steps, UnreadableError

_KIND = re.compile(rb"[ -~\xa9]{4}")
_TELLING = frozenset((b"udta", b"meta", b"meco", b"uuid"))
_CONTAINERS = frozenset((b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"))
_COMPRESSED = b"cmov"  # QuickTime's index, as nobody has written it for long
_NEEDED = frozenset(  # of what is in no other box; `mini` is a small HEIF's `meta`
    b"ftyp styp moov moof mdat imda mfra sidx ssix prft pdin mini wide".split()
)
_METADATA = frozenset((b"meta", b"camm", b"data", b"nrtm", b"priv", b"psmd"))  # as handlers
_MAX_DEPTH = 6
_MAX_CHILDREN = 64
_TRACK_HEAD_BYTES = 65_536
_HEAD_BYTES = 8
_HANDLER = slice(8, 12)  # of what `hdlr` holds


class Box(NamedTuple):
    """`head` are the bytes before its content, `size` is that of both."""

    kind: bytes
    head: bytes
    size: int


class FilmScrub(Scrub):
    max_headers = 20_000  # a film in fragments has twelve for each

    def __init__(self) -> None:
        super().__init__()
        self._has_index = False  # what leads to samples or pictures has come

    @override
    def _read(self) -> Steps[None]:
        while not (yield from self._is_over()):
            yield from self._top((yield from self._box(REST)))
        if not self._has_index:
            raise UnreadableError

    def _top(self, box: Box) -> Steps[None]:
        self._has_index |= box.kind == b"moov"
        yield from self._each(box, 0) if box.kind in _NEEDED else self._free(box)

    def _each(self, box: Box, depth: int) -> Steps[None]:
        if box.kind == _COMPRESSED:
            raise UnreadableError
        if box.kind in _TELLING or (box.kind == b"trak" and (yield from self._is_metadata(box))):
            yield from self._free(box)
        elif box.kind in _CONTAINERS:
            yield from self._inside(box, depth + 1)
        else:
            yield from self._pass(box.size)

    def _inside(self, box: Box, depth: int) -> Steps[None]:
        if depth > _MAX_DEPTH:
            raise UnreadableError
        yield from self._pass(len(box.head))
        left = box.size - len(box.head)
        while left >= _HEAD_BYTES and not (yield from self._is_over()):
            inner = yield from self._box(left)
            yield from self._each(inner, depth)
            left -= inner.size
        yield from self._pass(left)

    def _box(self, room: int) -> Steps[Box]:
        """Of size 0 one goes to the end of the file."""
        head = yield from self._header(_HEAD_BYTES)
        size, kind = struct.unpack(">I4s", head)
        if size == 1:
            head = yield from self._peek(16)
            size = int.from_bytes(head[8:], "big")
        elif size == 0 and room == REST:
            size = REST
        if not len(head) <= size <= room or not _KIND.fullmatch(kind):
            raise UnreadableError
        return Box(kind, head, size)

    def _free(self, box: Box) -> Steps[None]:
        yield from self._replace(box.head[:4] + b"free" + box.head[8:])
        yield from self._blank(box.size - len(box.head))

    def _is_metadata(self, track: Box) -> Steps[bool]:
        """By its handler, which stands before its long tables."""
        head = yield from self._peek(min(track.size, _TRACK_HEAD_BYTES))
        for kind, start, stop in children(head, len(track.head), len(head)):
            if kind == b"mdia":
                for inner, at, end in children(head, start, stop):
                    if inner == b"hdlr":
                        return head[at:end][_HANDLER] in _METADATA
        if track.size > len(head):
            raise UnreadableError
        return False


def children(
    data: bytes, at: int, stop: int, *, most: int = _MAX_CHILDREN
) -> Iterator[tuple[bytes, int, int]]:
    """Boxes between two places: their kinds, and where their contents begin and end, which the last
    one may not have in `data`. Raises UnreadableError.
    """
    while stop - at >= _HEAD_BYTES:
        size, kind = struct.unpack_from(">I4s", data, at)
        most -= 1
        if size < _HEAD_BYTES or most < 0:
            raise UnreadableError
        yield kind, at + _HEAD_BYTES, min(at + size, stop)
        at += size
