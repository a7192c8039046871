"""Where in a HEIF file its Exif and XMP stand (ISO/IEC 14496-12 sections 8.11.3 and 8.11.6)."""

from collections.abc import Iterator

from app.files.scrub.boxes import children
from app.files.scrub.exif import UPRIGHT, write_exif
from app.files.scrub.steps import UnreadableError

# Where it begins and ends in the file, and what is to stand there instead, up to its end with
# zeros.
Extent = tuple[int, int, bytes]

_EMPTY_EXIF = bytes(4) + write_exif(UPRIGHT)  # HEIF turns pictures by a box
_INSTEAD = {b"Exif": _EMPTY_EXIF, b"mime": b"", b"uri ": b""}
_MAX_ITEMS = 4096
_MAX_EXTENTS = 64
_IN_FILE, _IN_META = 0, 1
_LONG_NUMBERS = 2  # the version of `iloc` that has them


class _Fields:
    """Numbers, one behind the other."""

    def __init__(self, data: bytes, at: int, stop: int) -> None:
        self._data, self._at, self._stop = data, at, stop

    def number(self, size: int) -> int:
        return int.from_bytes(self.skip(size), "big")

    def skip(self, size: int) -> bytes:
        self._at += size
        if self._at > self._stop:
            raise UnreadableError
        return self._data[self._at - size : self._at]


def telling_extents(meta: bytes, at: int, place: int) -> list[Extent]:
    """Of a `meta` box that stands in this place of the file, and whose content begins `at` a place
    of its own. Raises UnreadableError.
    """
    inner = {kind: (start, stop) for kind, start, stop in children(meta, at + 4, len(meta))}
    if b"iinf" not in inner or b"iloc" not in inner:
        return []
    kinds = dict(_telling_items(meta, *inner[b"iinf"]))
    start, stop = inner.get(b"idat", (0, 0))
    idat = place + start, place + stop
    return list(_locations(_Fields(meta, *inner[b"iloc"]), kinds, idat))


def _telling_items(meta: bytes, at: int, stop: int) -> Iterator[tuple[int, bytes]]:
    fields = _Fields(meta, at, stop)
    count_bytes = 4 if fields.number(4) >> 24 else 2
    fields.skip(count_bytes)
    for _, start, end in children(meta, at + 4 + count_bytes, stop, most=_MAX_ITEMS):
        item = _Fields(meta, start, end)
        version = item.number(4) >> 24
        if version not in (2, 3):
            raise UnreadableError
        number = item.number(version * 2 - 2)
        item.skip(2)
        kind = item.skip(4)
        if kind in _INSTEAD:
            yield number, kind


def _locations(fields: _Fields, kinds: dict[int, bytes], idat: tuple[int, int]) -> Iterator[Extent]:
    """By `iloc`; of other items only the lengths are looked at."""
    version = fields.number(4) >> 24
    sizes = fields.number(2)
    offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    index = index if version else 0
    number_bytes = 2 if version < _LONG_NUMBERS else 4
    count = fields.number(number_bytes)
    if version > _LONG_NUMBERS or count > _MAX_ITEMS:
        raise UnreadableError
    for _ in range(count):
        kind = kinds.get(fields.number(number_bytes))
        method = fields.number(2) & 15 if version else _IN_FILE
        fields.skip(2)
        start = fields.number(base)
        extents = fields.number(2)
        if kind is None:
            fields.skip(extents * (index + offset + length))
            continue
        if extents > _MAX_EXTENTS or method not in (_IN_FILE, _IN_META):
            raise UnreadableError
        instead = _INSTEAD[kind]
        for _ in range(extents):
            fields.skip(index)
            first = start + fields.number(offset) + (idat[0] if method == _IN_META else 0)
            size = fields.number(length)
            if not size:
                raise UnreadableError
            yield first, first + size, instead
            instead = b""
