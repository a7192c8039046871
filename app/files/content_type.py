"""What a file is, decided by its bytes; its label and its name are only hints (SECURITY D10).

Files stream through, so there are two steps: `detect_type` needs the first HEAD_BYTES, and a
`Check` sees everything, keeping 1 MiB at most, for what only the whole file can tell.
Nothing is ever unpacked. What is not recognised as one of the allowed types is refused.
"""

import os
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from app.errors import FileTypeNotAllowedError
from app.files.content_checks import (
    ALLOWED_HINT,
    UTF16_MARKS,
    Check,
    DocxCheck,
    TextCheck,
    WordCheck,
)

if TYPE_CHECKING:
    from magic import Magic


@dataclass(frozen=True)
class FileType:
    """Objects are stored under `extension`; the other ones may stand in a sender's name."""

    media_type: str
    extension: str
    other_extensions: tuple[str, ...] = ()

    @property
    def extensions(self) -> tuple[str, ...]:
        return (self.extension, *self.other_extensions)


TEXT = FileType("text/plain", "txt")
WORD = FileType("application/msword", "doc", ("dot",))
DOCX = FileType("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx")

ALLOWED_TYPES = (
    FileType("image/jpeg", "jpg", ("jpeg", "jpe", "jfif")),
    FileType("image/png", "png"),
    FileType("image/gif", "gif"),
    FileType("image/webp", "webp"),
    FileType("image/heic", "heic", ("heif", "hif", "heics")),
    FileType("image/heif", "heif", ("heic", "hif", "heifs")),
    FileType("video/mp4", "mp4", ("m4v",)),
    FileType("video/quicktime", "mov", ("qt",)),
    FileType("video/x-msvideo", "avi"),
    FileType("application/pdf", "pdf"),
    WORD,
    DOCX,
    TEXT,
)

_OTHER_NOT_TEXT = (
    "docm dotm dotx xls xlsx xlsm xlsb ppt pptx pptm pps ppsx odt ods odp rtf epub pages numbers"
    " key zip rar 7z gz bz2 xz tar jar apk dmg iso mp3 m4a aac wav ogg flac mkv webm 3gp wmv mpg"
    " mpeg avif bmp tif tiff ico psd raw dng"
)
# Nobody keeps plain text under these: an empty file of such a name lost its content on the way.
NOT_TEXT_EXTENSIONS = frozenset(_OTHER_NOT_TEXT.split()) | {
    extension
    for file_type in ALLOWED_TYPES
    if file_type is not TEXT
    for extension in file_type.extensions
}

HEAD_BYTES = 8192
PDF_HEADER_WITHIN_BYTES = 1024

MARKUP_HINT = "Web pages, SVG, XML and PHP are not accepted: send a PDF or plain text."
ENCRYPTED_HINT = "Save the document without a password and send it again."
EMPTY_HINT = (
    "The file is empty. If it is kept in a cloud drive, download it to the device before sending."
)


def detect_type(head: bytes, *, filename: str) -> FileType:
    """The type of a file by its first HEAD_BYTES (all of it when it is shorter).

    Raises FileTypeNotAllowedError. Word documents and text still need their Check.
    """
    if not head:
        return _type_of_nothing(filename)
    detected = _sniff(head)
    if file_type := _TYPES.get(detected):
        return file_type
    raise FileTypeNotAllowedError(detected=detected, hint=_HINTS.get(detected, ALLOWED_HINT))


def begin_check(file_type: FileType, head: bytes) -> Check:
    """What a file of this type still has to show, begun with its head."""
    check = Check()
    if file_type == TEXT:
        check = TextCheck(head)
    elif file_type == WORD:
        check = WordCheck()
    elif file_type == DOCX:
        check = DocxCheck()
    check.feed(head)
    return check


_TYPES = {file_type.media_type: file_type for file_type in ALLOWED_TYPES}
_HINTS = {
    "text/html": MARKUP_HINT,
    "image/svg+xml": MARKUP_HINT,
    "text/xml": MARKUP_HINT,
    "text/x-php": MARKUP_HINT,
    "application/encrypted": ENCRYPTED_HINT,
}

_ZIP = b"PK\x03\x04"
_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

# What libmagic calls a container whose head does not tell its kind: the Check decides.
_UNNAMED = {"application/octet-stream", "text/plain"}
_MAYBE_DOCX = _UNNAMED | {"application/zip", DOCX.media_type}
_MAYBE_WORD = _UNNAMED | {
    "application/CDFV2",
    "application/x-ole-storage",
    "application/vnd.ms-office",
    WORD.media_type,
}


def _type_of_nothing(filename: str) -> FileType:
    _, dot, extension = filename.rpartition(".")
    if dot and extension.strip().lower() in NOT_TEXT_EXTENSIONS:
        raise FileTypeNotAllowedError(detected="application/x-empty", hint=EMPTY_HINT)
    return TEXT


def _sniff(head: bytes) -> str:
    """The media type, by the first rule that knows. The order is what makes polyglots harmless."""
    return _markup(head) or _text(head) or _iso_media(head) or _by_libmagic(head)


# What a browser would render, and other text that is more than text.
_MARKUP = (
    ("image/svg+xml", re.compile(r"<(?:!doctype\s+)?svg\b")),
    (
        "text/html",
        re.compile(
            r"<!--|<(?:!doctype|html|head|body|title|meta|link|base|style|script|i?frame|frameset"
            r"|object|embed)(?![\w.-])"
        ),
    ),
    ("text/x-php", re.compile(r"<\?(?:php\b|=)")),
    ("text/xml", re.compile(r"<\?xml\b")),
    # Only shells: `#!/usr/bin/env python3` is how homework in Python begins.
    ("text/x-shellscript", re.compile(r"#!.*\b(?:ba|da|a|k|z|c|tc|fi|pw)?sh\b")),
    ("text/rtf", re.compile(r"\{\\rtf")),
    ("application/postscript", re.compile(r"%!ps")),
)
_BEFORE_MARKUP = re.compile(r"(?:[\s\x00-\x20\ufeff]+|<!--.*?-->)*", re.DOTALL)


def _markup(head: bytes) -> str | None:
    text = head.decode("utf-16" if head.startswith(UTF16_MARKS) else "utf-8", "ignore").lower()
    start = _BEFORE_MARKUP.match(text)
    position = start.end() if start else 0
    return next((name for name, form in _MARKUP if form.match(text, position)), None)


_PDF_LINE = re.compile(rb"(?:\A(?:\xef\xbb\xbf)?|[\r\n])[ \t]*+%PDF-\d")


def _text(head: bytes) -> str | None:
    """Text, or a GIF or PDF in text characters alone, as polyglots with JavaScript are."""
    check = TextCheck(head)
    check.feed(head)
    if check.binary:
        return None
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    is_pdf = _PDF_LINE.search(head, 0, PDF_HEADER_WITHIN_BYTES)
    return "application/pdf" if is_pdf else TEXT.media_type


# Major brands of ISO media files. libmagic takes those of cameras (MSNV, XAVC) for audio or for
# nothing, and an AVIF or HEIC that calls itself mif1 for plain HEIF.
_BRANDS = (
    dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "image/heic")
    | dict.fromkeys((b"mif1", b"msf1"), "image/heif")
    | dict.fromkeys((b"avif", b"avis"), "image/avif")
    | dict.fromkeys((b"isom", b"mp41", b"mp42", b"avc1", b"dash", b"mmp4"), "video/mp4")
    | dict.fromkeys((b"M4V ", b"M4VH", b"M4VP", b"f4v ", b"MSNV", b"XAVC"), "video/mp4")
    | dict.fromkeys((b"iso%d" % version for version in range(2, 10)), "video/mp4")
    | {b"qt  ": "video/quicktime"}
)
_OLD_QUICKTIME = (b"moov", b"mdat", b"wide", b"pnot")


def _iso_media(head: bytes) -> str | None:
    """ISO/IEC 14496-12 section 4.3: a box is its size in four bytes, its kind, its content."""
    if head[4:8] in _OLD_QUICKTIME:
        return "video/quicktime"
    if head[4:8] != b"ftyp":
        return None
    brands = [head[at : at + 4] for at in range(8, min(int.from_bytes(head[:4], "big"), 256), 4)]
    detected = _BRANDS.get(head[8:12])
    if detected == "image/heif":
        named = {_BRANDS.get(brand) for brand in brands}
        return next((name for name in ("image/avif", "image/heic") if name in named), detected)
    return detected


def _by_libmagic(head: bytes) -> str:
    detected = _libmagic().from_buffer(head)
    is_known = detected not in _UNNAMED
    if head.startswith(_ZIP) and detected in _MAYBE_DOCX:
        return DOCX.media_type
    if head.startswith(_OLE2) and detected in _MAYBE_WORD:
        return "application/encrypted" if _is_encrypted_word(head) else WORD.media_type
    # Pictures and sounds are guesses from a few bytes: junk before a PDF passes for one.
    is_named = detected in _TYPES or (detected.startswith("application/") and is_known)
    if not is_named and b"%PDF-" in head[:PDF_HEADER_WITHIN_BYTES]:
        return "application/pdf"
    return detected if is_known else "application/octet-stream"


def _is_encrypted_word(head: bytes) -> bool:
    """[MS-DOC] 2.5.2: fEncrypted, where the first sector is the start of the text as in Word."""
    flags = int.from_bytes(head[522:524], "little")
    return head[512:514] == b"\xec\xa5" and bool(flags & 0x0100)


@cache
def _libmagic() -> "Magic":
    """One for all threads: `Magic` locks around its calls.

    Imported late, and with the environment put back: pylibmagic would have every child process
    look for libraries in its own folder and in the current one.
    """
    before = dict(os.environ)
    import pylibmagic  # noqa: PLC0415
    from magic import Magic  # noqa: PLC0415

    for name in ("MAGIC", *pylibmagic.keys):
        os.environ.pop(name, None)
        if name in before:
            os.environ[name] = before[name]
    return Magic(mime=True, magic_file=str(pylibmagic.data.joinpath("magic.mgc")))
