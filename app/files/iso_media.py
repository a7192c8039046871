"""What the boxes of MP4, QuickTime and HEIC call themselves, by all their brands (DESIGN R30).

The major brand alone does not tell: cameras and libraries put in their own, and name what a player
has to know among the compatible ones. Brands are those of the MP4 registration authority.
"""

import re

_MP4, _QUICKTIME, _SOUND = "video/mp4", "video/quicktime", "audio/x-m4a"
_HEIC, _HEIF = "image/heic", "image/heif"

# They name what is in the file, so they decide wherever they stand.
_DECISIVE = (
    dict.fromkeys((b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "), _SOUND)
    | dict.fromkeys((b"avif", b"avis"), "image/avif")
    | {b"crx ": "image/x-canon-cr3"}
)
# Films by their name: Apple's store lists its sound brands beside them.
_FILMS = dict.fromkeys((b"M4V ", b"M4VH", b"M4VP", b"F4V ", b"f4v "), _MP4)
_PICTURES = dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), _HEIC
) | dict.fromkeys((b"mif1", b"mif2", b"msf1", b"miaf"), _HEIF)
_OTHERS = (
    dict.fromkeys((b"isom", b"mp41", b"mp42", b"mp71", b"avc1", b"hvc1", b"hev1"), _MP4)
    | dict.fromkeys((b"iso%d" % version for version in range(2, 10)), _MP4)
    | dict.fromkeys((b"dash", b"mmp4", b"MSNV", b"XAVC"), _MP4)
    | {b"qt  ": _QUICKTIME}
)
_BRANDS = _FILMS | _PICTURES | _OTHERS
_PLAIN_MP4 = {b"isom", b"mp41", b"mp42"}
_OLD_QUICKTIME = (b"moov", b"mdat", b"wide", b"pnot")
_MAX_BRANDS_BYTES = 256
_MARK = 16  # bytes that are no more than a mark
_KIND = re.compile(rb"[ -~\xa9]{4}")


def detect_iso_media(head: bytes) -> str | None:
    """ISO/IEC 14496-12 section 4.3: a box is its size in four bytes, its kind, its content."""
    if head[4:8] in _OLD_QUICKTIME:
        size = int.from_bytes(head[:4], "big")
        return _QUICKTIME if has_boxes(head) or size == 1 or size >= len(head) > _MARK else None
    if head[4:8] != b"ftyp" or not has_boxes(head):
        return None
    end = min(int.from_bytes(head[:4], "big"), _MAX_BRANDS_BYTES)
    return _by_brands(head[8:12], [head[at : at + 4] for at in range(16, end, 4)])


def has_boxes(head: bytes) -> bool:
    """Whether a box follows the first one: brands alone are no film."""
    size = int.from_bytes(head[:4], "big")
    return bool(_KIND.match(head, size + 4))


def _by_brands(major: bytes, compatible: list[bytes]) -> str | None:
    brands = [major, *compatible]
    decisive = [_DECISIVE[brand] for brand in brands if brand in _DECISIVE]
    if decisive and major not in _FILMS:
        return decisive[0]
    if major[:3] in (b"3gp", b"3g2", b"3ge", b"3gg", b"3gr", b"3gs"):
        return _MP4 if _PLAIN_MP4.intersection(compatible) else "video/3gpp"
    named = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
    if named and (major in _PICTURES or major not in _BRANDS):
        return next((name for name in (_HEIC, _HEIF) if name in named), named[0])
    return named[0] if named else None
