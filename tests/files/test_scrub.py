"""Where and with what a picture was made does not get into the store (DESIGN R29); what it shows
stays byte for byte.
"""

import struct
import time

import pytest

from app.files.scrub import begin_scrub
from tests.support import pictures, samples
from tests.support.pictures import (
    CLEAN_JPEG,
    HEIC_BEGIN,
    JFIF,
    PHONE_JPEG,
    PICTURE,
    PLACE,
    TELLING,
    TOLD,
    WORDS,
    exif,
    film,
    freed,
    items_box,
    jpeg,
    segment,
    track,
)
from tests.support.samples import box

MEBIBYTE = 1024 * 1024
EXIF = segment(0xE1, b"Exif\0\0" + exif())


def scrub(media_type: str, content: bytes, *, size: int = 65_536) -> tuple[bytes, str]:
    """What is stored of it, and what is said of its location."""
    begun = begin_scrub(media_type)
    assert begun
    pieces = [begun.feed(content[at : at + size]) for at in range(0, len(content), size)]
    return b"".join([*pieces, begun.end()]), begun.location


@pytest.mark.parametrize("size", [1, 7, 77, 1000, 65_536])
@pytest.mark.parametrize(("media_type", "sent", "stored"), TOLD.values(), ids=TOLD)
def test_what_tells_of_place_and_camera_goes_however_it_arrives(
    media_type: str, sent: bytes, stored: bytes, size: int
) -> None:
    if len(sent) > MEBIBYTE:
        size = max(size, 1000)
    assert any(word in sent for word in WORDS)
    found, location = scrub(media_type, sent, size=size)
    assert (found == stored, location) == (True, "removed")
    assert not any(word in found for word in WORDS)


@pytest.mark.parametrize(("media_type", "_", "stored"), TOLD.values(), ids=TOLD)
def test_what_was_stored_stays_as_it_is_when_it_is_sent_again(
    media_type: str, _: bytes, stored: bytes
) -> None:
    assert scrub(media_type, stored)[0] == stored


@pytest.mark.parametrize("media_type", ["image/gif", "video/x-msvideo", "application/pdf"])
def test_other_types_are_left_alone(media_type: str) -> None:
    assert begin_scrub(media_type) is None


@pytest.mark.parametrize(
    ("media_type", "content"),
    [
        ("image/jpeg", jpeg(JFIF)),
        ("image/png", samples.png()),
        ("image/webp", samples.webp()),
        ("video/mp4", film(b"isom", track(b"vide"), track(b"soun"))),
        ("image/heic", HEIC_BEGIN + items_box([(b"hvc1", 0, 9)]) + box(b"mdat", PICTURE)),
    ],
)
def test_what_tells_nothing_is_the_same_and_says_so(media_type: str, content: bytes) -> None:
    assert scrub(media_type, content) == (content, "none")


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("order", [">", "<"])
def test_a_picture_is_turned_as_before(turned: int, order: str) -> None:
    stored, _ = scrub("image/jpeg", jpeg(segment(0xE1, b"Exif\0\0" + exif(turned, order=order))))
    said = pictures.TURNED.replace(b"\0\x06\0\0", struct.pack(">HH", turned, 0))
    assert stored == jpeg(*[said] if turned > 1 else [])


@pytest.mark.parametrize("tiff", [b"", b"MM", b"XX" + exif()[2:], exif(None), exif(9), exif()[:12]])
def test_exif_that_does_not_say_how_to_turn_a_picture_goes_whole(tiff: bytes) -> None:
    assert scrub("image/jpeg", jpeg(segment(0xE1, b"Exif\0\0" + tiff))) == (jpeg(), "removed")


def test_bytes_between_segments_are_skipped_as_decoders_skip_them() -> None:
    assert scrub("image/jpeg", jpeg(JFIF, b"\0between\xff\0", EXIF, b"\xff")) == (
        jpeg(JFIF, pictures.TURNED),
        "removed",
    )


def test_a_picture_that_ends_too_early_ends_there() -> None:
    cut = PHONE_JPEG[: PHONE_JPEG.rindex(PICTURE) + 300]
    assert scrub("image/jpeg", cut)[0] == CLEAN_JPEG[: CLEAN_JPEG.rindex(PICTURE) + 300]


def big_box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content


@pytest.mark.parametrize(
    ("media_type", "sent", "stored"),
    [
        (
            "video/mp4",
            film(b"isom") + big_box(b"udta", PLACE),
            film(b"isom") + big_box(b"free", bytes(len(PLACE))),
        ),
        (
            "video/quicktime",
            film(b"qt  ") + b"\0\0\0\0udta" + PLACE,
            film(b"qt  ") + b"\0\0\0\0free" + bytes(len(PLACE)),
        ),
        (
            "video/mp4",
            box(b"ftyp", b"isom") + big_box(b"moov", TELLING[0]) + b"\0\0\0\0mdat" + PICTURE,
            box(b"ftyp", b"isom")
            + big_box(b"moov", pictures.freed(TELLING[0])[0])
            + b"\0\0\0\0mdat"
            + PICTURE,
        ),
    ],
    ids=["of 64 bits", "to the end", "both"],
)
def test_boxes_have_sizes_of_three_kinds(media_type: str, sent: bytes, stored: bytes) -> None:
    assert scrub(media_type, sent, size=5) == (stored, "removed")


def test_a_film_of_two_thousand_fragments_is_read_to_its_end() -> None:
    fragments = pictures.fragment(box(b"trun", bytes(8))) * 2000
    stored, location = scrub("video/mp4", film(b"isom", behind=fragments + TELLING[0]))
    assert (stored == film(b"isom", behind=fragments + freed(TELLING[0])[0]), location) == (
        True,
        "removed",
    )


def test_free_space_that_is_empty_tells_nothing() -> None:
    content = film(b"isom", track(b"vide"), behind=box(b"free", bytes(500)) + box(b"wide", b""))
    assert scrub("video/mp4", content) == (content, "none")


def with_size(kind: bytes, size: int, content: bytes = bytes(32)) -> bytes:
    return struct.pack(">I4s", size, kind) + content


def iloc(count: int, extents: int, *, sizes: int = 0x4400, version: int = 1) -> bytes:
    """Of so many items by its own word, the first of which is Exif."""
    told = box(b"infe", b"\x02\0\0\0\0\x01\0\0Exif\0")
    place = struct.pack(">HHHHII", 1, 0, 0, extents, 99, 9)
    return HEIC_BEGIN + box(
        b"meta",
        bytes(4)
        + box(b"iinf", bytes(4) + b"\0\x01" + told)
        + box(b"iloc", bytes([version, 0, 0, 0]) + struct.pack(">HH", sizes, count) + place),
    )


DEEP = box(b"moov", box(b"trak", b""))
for _ in range(50):
    DEEP = box(b"moov", DEEP)
UNREADABLE: dict[str, tuple[str, bytes]] = {
    "JPEG, segment of no size": ("image/jpeg", b"\xff\xd8\xff\xe1\0\0" + EXIF),
    "PNG, name of no letters": ("image/png", samples.png()[:33] + b"\0\0\0\0\0\0\0\0" + PLACE),
    "PNG, cut in a head": ("image/png", samples.png()[:36]),
    "WebP, more behind its end": ("image/webp", samples.webp() + PLACE),
    "film of no index": ("video/mp4", samples.mp4() + PICTURE),
    "film of a compressed index": ("video/quicktime", film(b"qt  ", box(b"cmov", PLACE))),
    "track too long to know": (
        "video/mp4",
        film(b"isom", box(b"trak", box(b"free", bytes(70_000)) + PLACE)),
    ),
    "boxes in boxes": ("video/mp4", DEEP),
    "box larger than its own": ("video/mp4", box(b"moov", with_size(b"trak", 99))),
    "HEIC without meta": ("image/heic", HEIC_BEGIN + box(b"mdat", PICTURE + exif())),
    "HEIC, meta too large": ("image/heic", HEIC_BEGIN + box(b"meta", bytes(600_000))),
    "HEIC, items of Exif without end": ("image/heic", iloc(65_535, 65_535)),
    "HEIC, extents of no size": ("image/heic", iloc(1, 65_535, sizes=0)),
    "HEIC, extent to its end": ("image/heic", iloc(1, 1, sizes=0x4000)),
    "HEIC, iloc of tomorrow": ("image/heic", iloc(1, 1, version=3)),
} | {
    f"{where} of size {size}": ("video/mp4", before + with_size(b"udta", size))
    for size in range(2, 8)
    for where, before in (
        ("box", film(b"isom")),
        ("inner box", struct.pack(">I4s", 48, b"moov")),
    )
}


@pytest.mark.parametrize("size", [1, 1000, 65_536])
@pytest.mark.parametrize(("media_type", "content"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_passes_as_it_is_and_says_so(
    media_type: str, content: bytes, size: int
) -> None:
    assert scrub(media_type, content, size=size) == (content, "unknown")


def test_exif_too_far_before_meta_is_said_to_be_there() -> None:
    exif_first = box(b"mdat", bytes(4) + exif() + bytes(2 * MEBIBYTE))
    at = len(HEIC_BEGIN) + 8
    content = HEIC_BEGIN + exif_first + items_box([(b"Exif", at, 4 + len(exif()))])
    assert scrub("image/heic", content) == (content, "unknown")


def test_an_extent_behind_the_end_adds_nothing() -> None:
    content = HEIC_BEGIN + items_box([(b"Exif", 1 << 31, 1 << 31)]) + box(b"mdat", PICTURE)
    assert scrub("image/heic", content) == (content, "removed")


@pytest.mark.parametrize(
    ("media_type", "content"),
    [
        ("image/jpeg", b"\xff\xd8" + segment(0xE5, b"") * 500_000),
        ("image/jpeg", b"\xff\xd8" + b"\xff\0" * 1_000_000),
        ("image/png", samples.png()[:33] + pictures.chunk(b"tIME", b"") * 200_000),
        ("image/webp", b"RIFF\xff\xff\xff\0WEBP" + pictures.piece(b"JUNK", b"") * 300_000),
        ("video/mp4", film(b"isom") + box(b"udta", b"") * 300_000),
    ],
    ids=["JPEG, segments", "JPEG, no markers", "PNG", "WebP", "film"],
)
def test_a_file_of_nothing_but_heads_takes_no_time(media_type: str, content: bytes) -> None:
    began = time.process_time()
    stored, location = scrub(media_type, content)
    assert time.process_time() - began < 0.2 * 5  # a busy machine is slower
    assert location == "unknown"
    assert len(content) - len(stored) < MEBIBYTE


@pytest.mark.parametrize("media_type", sorted({media_type for media_type, *_ in TOLD.values()}))
def test_nothing_at_all_is_nothing(media_type: str) -> None:
    assert scrub(media_type, b"")[0] == b""
