"""Pictures and films that tell where and with what they were made, by code: no real place is in the
tree. Those with `WORDS` in them are as real as a parser sees; tests/files/test_scrub_judged.py has
some that decode.
"""

import struct
import zlib
from collections.abc import Sequence

from tests.support.samples import box, riff

PLACE = b"+47.1234+008.5678/"
CAMERA = b"ACME Camera 3, serial 123456"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><place>47.1234 N</place></x:xmpmeta>'
WORDS = (PLACE, CAMERA, XMP)
PICTURE = bytes(range(255)) * 3  # what has to stay


def exif(orientation: int | None = 6, *, order: str = ">") -> bytes:
    """A TIFF with a place in it."""
    tags = [(0x010F, 2, len(CAMERA), 50)]
    if orientation is not None:
        tags.append((0x0112, 3, 1, orientation << 16 if order == ">" else orientation))
    directory = struct.pack(f"{order}H", len(tags))
    directory += b"".join(struct.pack(f"{order}HHII", *tag) for tag in tags)
    mark = b"MM" if order == ">" else b"II"
    header = mark + struct.pack(f"{order}HI", 42, 8)
    return (header + directory + bytes(4)).ljust(50, b"\0") + CAMERA + PLACE


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


JFIF = segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0")
TABLE = segment(0xDB, b"\0" + bytes([1]) * 64)
PROFILE = segment(0xE2, b"ICC_PROFILE\0\x01\x01colours")
ADOBE = segment(0xEE, b"Adobe\0d\0\0\0\0\x01")
SCAN = segment(0xDA, b"\x01\x01\0\0\x3f\0") + PICTURE + b"\xff\0\xff\xd3\xff\0" * 9
TURNED = segment(
    0xE1,
    b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
)


def jpeg(*between: bytes, behind: bytes = b"") -> bytes:
    """Two scans, as progressive ones have, the first of which a table follows that looks like the
    end.
    """
    scans = SCAN + segment(0xC4, b"\0\xff\xd9") + SCAN
    return b"\xff\xd8" + b"".join(between) + TABLE + scans + b"\xff\xd9" + behind


PHONE_JPEG = jpeg(
    JFIF,
    segment(0xE1, b"Exif\0\0" + exif()),
    segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP),
    PROFILE,
    segment(0xE2, b"MPF\0" + PLACE),
    segment(0xED, b"Photoshop 3.0\0" + PLACE),
    ADOBE,
    segment(0xFE, CAMERA),
    behind=box(b"ftyp", b"mp42") + box(b"moov", box(b"udta", PLACE)) + b"SEFT" + CAMERA,
)
CLEAN_JPEG = jpeg(JFIF, TURNED, PROFILE, ADOBE)


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def png(*between: bytes, behind: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixels = [chunk(b"IDAT", piece) for piece in (PICTURE, PICTURE)]
    return (
        b"\x89PNG\r\n\x1a\n" + header + b"".join([*between, *pixels]) + chunk(b"IEND", b"") + behind
    )


PHONE_PNG = png(
    chunk(b"iCCP", b"colours"),
    chunk(b"eXIf", exif(order="<")),
    chunk(b"tEXt", b"Place\0" + PLACE),
    chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
    chunk(b"maKe", CAMERA),
    behind=PLACE,
)
CLEAN_PNG = png(chunk(b"iCCP", b"colours"), chunk(b"eXIf", TURNED[10:]))


def piece(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def webp(flags: int, exif_is: bytes, xmp_name: bytes, xmp_is: bytes) -> bytes:
    return riff(
        b"WEBP",
        piece(b"VP8X", bytes([flags]) + bytes(9))
        + piece(b"ICCP", b"colours")
        + piece(b"VP8L", b"/" + PICTURE)
        + piece(b"EXIF", exif_is)
        + piece(xmp_name, xmp_is),
    )


PHONE_WEBP = webp(0x2C, exif(), b"XMP ", XMP)
CLEAN_WEBP = webp(0x28, TURNED[10:].ljust(len(exif()), b"\0"), b"JUNK", bytes(len(XMP)))


def track(handler: bytes, *more: bytes) -> bytes:
    told = box(b"hdlr", bytes(8) + handler + bytes(13))
    samples = box(b"stbl", box(b"stco", bytes(8)))
    media = box(b"mdia", box(b"mdhd", bytes(24)) + told + box(b"minf", samples))
    return box(b"trak", box(b"tkhd", bytes(84)) + media + b"".join(more))


def film(
    brand: bytes,
    *index: bytes,
    before: bytes = b"",
    behind: bytes = b"",
    index_first: bool = False,
) -> bytes:
    begin, content = box(b"ftyp", brand + bytes(4) + brand), box(b"mdat", before + PICTURE)
    whole = box(b"moov", box(b"mvhd", bytes(100)) + b"".join(index))
    return begin + (whole + content if index_first else content + whole) + behind


_LANGUAGE = struct.pack(">HH", len(PLACE), 0x15C7)
TELLING = (
    box(b"udta", box(b"\xa9xyz", _LANGUAGE + PLACE) + box(b"loci", bytes(6) + PLACE)),
    box(b"meta", box(b"hdlr", bytes(8) + b"mdta") + box(b"ilst", PLACE + CAMERA)),
    box(b"uuid", bytes(16) + XMP),
)


def freed(*boxes: bytes) -> list[bytes]:
    return [box(b"free", bytes(len(each) - 8)) for each in boxes]


PATH = track(b"meta", box(b"udta", PLACE))
PHONE_MP4 = film(b"isom", track(b"vide", *TELLING), *TELLING, PATH, behind=TELLING[2])
CLEAN_MP4 = film(
    b"isom",
    track(b"vide", *freed(*TELLING)),
    *freed(*TELLING, PATH),
    behind=freed(TELLING[2])[0],
)
PHONE_MOV = film(b"qt  ", track(b"vide"), *TELLING, PATH, index_first=True)
CLEAN_MOV = film(b"qt  ", track(b"vide"), *freed(*TELLING, PATH), index_first=True)

# What cameras put beside a film or into its fragments, or leave in free space, and what is no box.
INSIDE = (box(b"meco", box(b"meta", PLACE)), track(b"camm", box(b"udta", PLACE)))
BESIDE = tuple(
    box(kind, PLACE + CAMERA) for kind in (b"mpvd", b"sefd", b"gps0", b"inst", b"free", b"skip")
)


def fragment(*more: bytes) -> bytes:
    content = box(b"mfhd", bytes(8)) + box(b"traf", box(b"tfhd", bytes(8)) + b"".join(more))
    return box(b"moof", content + b"".join(more)) + box(b"mdat", PICTURE)


NO_BOX = struct.pack(">I4s", 0x41434D45, b"SEFT")  # of a size far behind the end
BESIDE_MP4 = film(
    b"isom",
    track(b"vide"),
    *INSIDE,
    behind=fragment(*TELLING) + b"".join(BESIDE) + NO_BOX + PLACE,
)
CLEAN_BESIDE = film(
    b"isom",
    track(b"vide"),
    *freed(*INSIDE),
    behind=fragment(*freed(*TELLING))
    + b"".join(freed(*BESIDE))
    + NO_BOX.replace(b"SEFT", b"free")
    + bytes(len(PLACE)),
)

EMPTY_EXIF = bytes(4) + b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x01\0\0\0\0\0\0"
Items = Sequence[tuple[bytes, int, int]]  # kind, place, size


def items_box(items: Items, *, method: int = 0, idat: bytes = b"") -> bytes:
    """`meta` of HEIF, with each item in one extent."""
    infes = b"".join(
        box(b"infe", b"\x02\0\0\0" + struct.pack(">HH", number, 0) + kind + b"\0")
        for number, (kind, _, _) in enumerate(items, 1)
    )
    places = b"".join(
        struct.pack(">HHHHII", number, method if kind != b"hvc1" else 0, 0, 1, place, size)
        for number, (kind, place, size) in enumerate(items, 1)
    )
    return box(
        b"meta",
        bytes(4)
        + box(b"hdlr", bytes(8) + b"pict" + bytes(13))
        + box(b"iinf", bytes(4) + struct.pack(">H", len(items)) + infes)
        + box(b"iloc", b"\x01\0\0\0" + struct.pack(">HH", 0x4400, len(items)) + places)
        + (box(b"idat", idat) if idat else b""),
    )


HEIC_BEGIN = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
_EXIF_ITEM = bytes(4) + exif()
_NO_EXIF = EMPTY_EXIF.ljust(len(_EXIF_ITEM), b"\0")
_MOTION = box(b"mpvd", PLACE) + box(b"sefd", CAMERA)


def heic(
    exif_is: bytes, xmp: bytes, *, last: bool, before: bytes = b"", behind: bytes = b""
) -> bytes:
    """With `meta` before its pictures, or `last`."""
    pictures = before + PICTURE

    def whole(at: int) -> tuple[bytes, bytes]:
        ends = [at + 8 + len(pictures)]
        ends += [ends[0] + len(exif_is), ends[0] + len(exif_is) + len(xmp)]
        items = [(b"hvc1", at + 8, len(pictures)), (b"Exif", ends[0], len(exif_is))]
        meta = items_box([*items, (b"mime", ends[1], len(xmp))])
        return meta, box(b"mdat", pictures + exif_is + xmp)

    if last:
        meta, content = whole(len(HEIC_BEGIN))
        return HEIC_BEGIN + content + meta + behind
    size = len(whole(0)[0])
    meta, content = whole(len(HEIC_BEGIN) + size)
    return HEIC_BEGIN + meta + content + behind


PHONE_HEIC = heic(_EXIF_ITEM, XMP, last=False, behind=_MOTION)
CLEAN_HEIC = heic(
    _NO_EXIF,
    bytes(len(XMP)),
    last=False,
    behind=b"".join(freed(box(b"mpvd", PLACE), box(b"sefd", CAMERA))),
)
SAMSUNG_HEIC = heic(_EXIF_ITEM, XMP, last=True)
CLEAN_SAMSUNG = heic(_NO_EXIF, bytes(len(XMP)), last=True)
FAR_HEIC = heic(_EXIF_ITEM, XMP, last=True, before=bytes(3 << 20))
CLEAN_FAR = heic(_NO_EXIF, bytes(len(XMP)), last=True, before=bytes(3 << 20))


def heic_in_meta(exif_is: bytes) -> bytes:
    """Its Exif stands in `meta` itself."""
    meta = items_box([(b"Exif", 0, len(exif_is))], method=1, idat=exif_is)
    return HEIC_BEGIN + meta + box(b"mdat", PICTURE)


# What a phone sends, what is stored of it, and its media type.
TOLD: dict[str, tuple[str, bytes, bytes]] = {
    "JPEG": ("image/jpeg", PHONE_JPEG, CLEAN_JPEG),
    "PNG": ("image/png", PHONE_PNG, CLEAN_PNG),
    "WebP": ("image/webp", PHONE_WEBP, CLEAN_WEBP),
    "MP4": ("video/mp4", PHONE_MP4, CLEAN_MP4),
    "MP4, beside the film and in fragments": ("video/mp4", BESIDE_MP4, CLEAN_BESIDE),
    "QuickTime": ("video/quicktime", PHONE_MOV, CLEAN_MOV),
    "HEIC": ("image/heic", PHONE_HEIC, CLEAN_HEIC),
    "HEIC, picture first": ("image/heic", SAMSUNG_HEIC, CLEAN_SAMSUNG),
    "HEIC, picture of 3 MiB first": ("image/heic", FAR_HEIC, CLEAN_FAR),
    "HEIC, Exif in meta": (
        "image/heif",
        heic_in_meta(_EXIF_ITEM),
        heic_in_meta(_NO_EXIF),
    ),
}
