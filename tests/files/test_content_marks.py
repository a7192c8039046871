"""What JPEG, MP3 and WebM show behind their marks: to the byte, and however they are cut."""

import pytest

from app.errors import FileTypeNotAllowedError
from app.files.content_type import begin_check
from app.files.file_types import JPEG, MP3, WEBM, FileType

FRAME = b"\xff\xfb\x90"
CUTS = pytest.mark.parametrize("head", [1, 3, 12, 10_000_000], ids="head of {}".format)


def show(file_type: FileType, content: bytes, *, head: int) -> None:
    """The head, and then byte by byte what is left of a small file."""
    watching = begin_check(file_type, content[:head])
    size = 1 if len(content) < 10_000 else 65_536
    for start in range(head, len(content), size):
        watching.feed(content[start : start + size])
    watching.finish()


def jpeg(marker: int, length: int, following: bytes, *, fill: bytes = b"") -> bytes:
    return b"\xff\xd8" + fill + bytes((0xFF, marker)) + length.to_bytes(2, "big") + following


def tagged(size: int, *, begin: bytes = b"ID3", frame: bytes = FRAME) -> bytes:
    """What the tag holds is no frame and no zero, so that it must be passed over exactly."""
    sizes = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return begin + b"\4\0\0" + sizes + b"\1" * size + frame


TAKEN = {
    "a segment of its own length": (JPEG, jpeg(0xE0, 6, b"JFIF")),
    "the lowest marker": (JPEG, jpeg(0xC0, 2, b"")),
    "fill bytes before the marker": (JPEG, jpeg(0xE1, 4, b"ab", fill=b"\xff\xff")),
    "a long segment": (JPEG, jpeg(0xE1, 0x0102, bytes(0x0100))),
    "a frame at once": (MP3, FRAME),
    "a frame behind zeros": (MP3, bytes(50) + FRAME),
    "a tag of 1 byte": (MP3, tagged(1)),
    "a tag of 2 bytes of seven bits": (MP3, tagged(129)),
    "a tag of 3 bytes of seven bits": (MP3, tagged((1 << 14) + 1)),
    "a tag of 4 bytes of seven bits": (MP3, tagged((1 << 21) + (1 << 7))),
    "an empty tag, filled up": (MP3, tagged(0, frame=bytes(9) + FRAME)),
    "sound alone": (WEBM, b"\x1aE\xdf\xa3webm A_OPUS " + bytes(40)),
}
REFUSED = {
    "a segment that lacks a byte": (JPEG, jpeg(0xE0, 7, b"JFIF")),
    "a long segment that lacks a byte": (JPEG, jpeg(0xE1, 0x0102, bytes(0x00FF))),
    "fill bytes that hide a missing one": (JPEG, jpeg(0xE1, 5, b"ab", fill=b"\xff\xff")),
    "no marker": (JPEG, jpeg(0xBF, 2, b"")),
    "the mark alone": (JPEG, b"\xff\xd8\xff"),
    "a tag alone": (MP3, b"ID3"),
    "another tag": (MP3, tagged(1, begin=b"ID4")),
    "a frame that is cut off": (MP3, FRAME[:2]),
    "no bit rate": (MP3, FRAME[:2] + b"\x0f"),
    "a frame that does not begin there": (MP3, b"\1" + FRAME),
    "pictures of VP8": (WEBM, b"\x1aE\xdf\xa3webm V_VP8 " + bytes(40)),
    "pictures of AV1": (WEBM, b"\x1aE\xdf\xa3webm V_AV1 " + bytes(40)),
}


@CUTS
@pytest.mark.parametrize(("file_type", "content"), TAKEN.values(), ids=TAKEN)
def test_r30_what_follows_the_mark_is_looked_at(
    file_type: FileType, content: bytes, head: int
) -> None:
    if file_type is JPEG:  # its head is always there: a file is looked at from 8 KiB on
        head = 10_000_000
    show(file_type, content, head=head if file_type is WEBM else max(head, 12))


def test_r30_a_frame_may_begin_in_one_piece_and_end_in_a_longer_one() -> None:
    watching = begin_check(MP3, tagged(1)[:12])
    watching.feed(FRAME[1:] + bytes(50))
    watching.finish()


@pytest.mark.parametrize(("file_type", "content"), REFUSED.values(), ids=REFUSED)
def test_r30_a_mark_alone_is_not_enough(file_type: FileType, content: bytes) -> None:
    with pytest.raises(FileTypeNotAllowedError) as refused:
        show(file_type, content, head=12)
    if file_type is WEBM:
        assert "video/webm" in refused.value.error_text
