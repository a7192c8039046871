"""PNG (W3C third edition, section 11): chunks that decoders need stay."""

import re
import struct
import zlib

from typing_extensions import override

from app.files.scrub.exif import HELD_BYTES, UPRIGHT, read_orientation, write_exif
from app.files.scrub.steps import REST, Scrub, Steps, UnreadableError

_SIGNATURE_BYTES = 8
_AROUND = 12  # length, name and checksum
_NAME = re.compile(rb"[A-Za-z]{4}")
# Of those that a decoder may leave out; capital ones it may not.
_KEPT = frozenset(
    b"tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI mDCv cLLi bKGD hIST pHYs sPLT".split()
    + b"acTL fcTL fdAT".split()
)


class PngScrub(Scrub):
    max_headers = 50_000  # some writers cut pixels into pieces of 1 KiB

    @override
    def _read(self) -> Steps[None]:
        yield from self._pass(_SIGNATURE_BYTES)
        name = b""
        while name != b"IEND":
            length, name = struct.unpack(">I4s", (yield from self._header(8)))
            if not _NAME.fullmatch(name):
                raise UnreadableError
            if name == b"eXIf":
                yield from self._exif(length)
            elif name[:1].isupper() or name in _KEPT:
                yield from self._pass(_AROUND + length)
            else:
                yield from self._drop(_AROUND + length)
        yield from self._drop(REST)

    def _exif(self, length: int) -> Steps[None]:
        begin = yield from self._peek(8 + min(length, HELD_BYTES))
        yield from self._drop(_AROUND + length)
        turned = read_orientation(begin[8:])
        if turned != UPRIGHT:
            exif = write_exif(turned)
            chunk = b"eXIf" + exif
            self._put(struct.pack(">I", len(exif)) + chunk + struct.pack(">I", zlib.crc32(chunk)))
