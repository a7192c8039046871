"""What a file is, decided by its bytes; its label and its name are only hints (SECURITY D10).

Files stream through, so there are two steps: `detect_type` needs the first HEAD_BYTES, and a
`Check` sees everything, for what only the whole file can tell (DESIGN R30). What is not recognised
as one of the allowed types is refused.
"""

import os
import re
import struct
from collections.abc import Callable, Collection
from functools import cache, partial
from typing import TYPE_CHECKING

from app.errors import FileTypeNotAllowedError
from app.files.compound_check import WordCheck
from app.files.content_checks import (
    UNKNOWN,
    UTF16_MARKS,
    Check,
    JpegCheck,
    Mp3Check,
    PdfCheck,
    TextCheck,
    WebmSoundCheck,
)
from app.files.file_types import (
    DOCX,
    JPEG,
    MP3,
    NOT_TEXT_EXTENSIONS,
    ODP,
    ODS,
    ODT,
    PDF,
    PPTX,
    TEXT,
    TYPES,
    WEBM,
    WORD,
    XLSX,
    FileType,
    allowed_hint,
    is_allowed,
)
from app.files.iso_media import detect_iso_media, has_boxes
from app.files.package_checks import OpenDocumentCheck, OpenXmlCheck
from app.settings import DEFAULT_FAMILIES, FileFamily

if TYPE_CHECKING:
    from magic import Magic

HEAD_BYTES = 8192
PDF_HEADER_WITHIN_BYTES = 1024

MARKUP_HINT = "Web pages, SVG, XML and PHP are not accepted: send a PDF or plain text."
EMPTY_HINT = (
    "The file is empty. If it is kept in a cloud drive, download it to the device before sending."
)


def detect_type(
    head: bytes, *, filename: str, families: Collection[FileFamily] = DEFAULT_FAMILIES
) -> FileType:
    """The type of a file by its first HEAD_BYTES (all of it when it is shorter).

    Raises FileTypeNotAllowedError. Its Check has still to see the whole.
    """
    detected = _sniff(head, filename) if head else _type_of_nothing(filename)
    file_type = TYPES.get(detected)
    if file_type and is_allowed(file_type, families):
        return file_type
    hint = _HINTS.get(detected) or allowed_hint(families)
    raise FileTypeNotAllowedError(detected=detected, hint=hint)


def begin_check(
    file_type: FileType, head: bytes, *, families: Collection[FileFamily] = DEFAULT_FAMILIES
) -> Check:
    """What a file of this type still has to show, begun with its head."""
    check = _CHECKS[file_type](head) if file_type in _CHECKS else Check()
    check.hint = allowed_hint(families)
    check.feed(head)
    return check


_OPEN_DOCUMENT = (ODT, ODS, ODP)
_CHECKS: dict[FileType, Callable[[bytes], Check]] = (
    {TEXT: TextCheck, WORD: WordCheck, JPEG: JpegCheck, MP3: Mp3Check}
    | {PDF: lambda _: PdfCheck(), WEBM: lambda _: WebmSoundCheck()}
    | {known: partial(OpenXmlCheck, known) for known in (DOCX, PPTX, XLSX)}
    | {known: partial(OpenDocumentCheck, known) for known in _OPEN_DOCUMENT}
)


_HINTS = dict.fromkeys(("text/html", "image/svg+xml", "text/xml", "text/x-php"), MARKUP_HINT) | {
    "application/x-empty": EMPTY_HINT
}


def _type_of_nothing(filename: str) -> str:
    _, dot, extension = filename.rpartition(".")
    is_lost = dot and extension.strip().lower() in NOT_TEXT_EXTENSIONS
    return "application/x-empty" if is_lost else TEXT.media_type


def _sniff(head: bytes, filename: str) -> str:
    """The media type, by the first rule that knows. The order is what makes polyglots harmless."""
    return (
        _markup(head)
        or _text(head)
        or detect_iso_media(head)
        or _container(head, filename)
        or _by_libmagic(head)
    )


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
    # Only shells, and only a whole word or the end of a path: homework in Python begins like that
    # as well, with `#!/usr/bin/env python3` or `#!/opt/ash/bin/python`.
    (
        "text/x-shellscript",
        re.compile(
            r"#!(?:.*[\s/\\=\"'])?(?:rba|ba|da|a|k|mk|z|c|tc|fi|pw|r)?sh[\d.-]*(?:\.exe)?"
            r"(?=[\s\"']|\Z)"
        ),
    ),
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
# Writers put four letters beyond ASCII behind the mark, for it to be taken for binary.
_PDF_PROOF = re.compile(rb" obj|startxref|%PDF-\d\.\d\s+%[\x80-\xff]{4}")


def _is_pdf(head: bytes) -> bool:
    return bool(_PDF_LINE.search(head, 0, PDF_HEADER_WITHIN_BYTES))


def _text(head: bytes) -> str | None:
    """Text, or a GIF or PDF in text characters alone; text may quote their marks."""
    check = TextCheck(head)
    check.feed(head)
    if check.is_binary or _begins_binary(head, check):
        return None
    if _is_gif(head):
        return "image/gif"
    is_pdf = _is_pdf(head) and _PDF_PROOF.search(head)
    return PDF.media_type if is_pdf else TEXT.media_type


def _begins_binary(head: bytes, check: TextCheck) -> bool:
    """Whether what could be text, but for its beginning, begins with a mark of something else."""
    if not check.decodes or head.startswith(_ZIP):
        return head.startswith((_JPEG, _ZIP))
    if check.is_plain or head.startswith(UTF16_MARKS):
        return False
    detected = _libmagic().from_buffer(head)
    return detected != UNKNOWN and not detected.startswith("text/")


_GIF_SCREEN = struct.Struct("<6s2xxxBxx")
_GIF_EXTENSION = re.compile(rb"![\x01\xf9\xfe\xff].", re.DOTALL)
_GIF_PICTURE = re.compile(rb",.{8}(.)", re.DOTALL)
_GIF_CODE_SIZE = re.compile(rb"[\x01-\x0b]")


def _is_gif(head: bytes) -> bool:
    """GIF89a sections 18 to 24: the screen, its colours, and a picture or an extension."""
    if not head.startswith((b"GIF87a", b"GIF89a")) or len(head) < _GIF_SCREEN.size:
        return False
    at = _GIF_SCREEN.size + _colours_bytes(head[10])
    if picture := _GIF_PICTURE.match(head, at):
        return bool(_GIF_CODE_SIZE.match(head, picture.end() + _colours_bytes(picture[1][0])))
    return bool(_GIF_EXTENSION.match(head, at))


def _colours_bytes(flags: int) -> int:
    """The size of the colour table that is announced by its highest bit."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


_ZIP = b"PK\x03\x04"
_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_JPEG = b"\xff\xd8\xff"


# A mark, and the first of what has to stand behind it; a mark alone names nothing.
_CONTAINERS = (
    (WORD.media_type, re.compile(_OLE2)),
    (JPEG.media_type, re.compile(_JPEG)),
    ("image/png", re.compile(rb"\x89PNG\r\n\x1a\n\0\0\0\rIHDR.{17}", re.DOTALL)),
    ("image/webp", re.compile(rb"RIFF.{4}WEBPVP8[ LX].{4}", re.DOTALL)),
    ("video/x-msvideo", re.compile(rb"RIFF.{4}AVI (?:LIST|JUNK).{4}", re.DOTALL)),
    ("audio/x-wav", re.compile(rb"R(?:IFF|F64).{4}WAVE.*fmt ", re.DOTALL)),
    (WEBM.media_type, re.compile(rb"\x1a\x45\xdf\xa3.{,60}webm.*A_(?:OPUS|VORBIS)", re.DOTALL)),
)


def _container(head: bytes, filename: str) -> str | None:
    if head.startswith(_ZIP):
        return _package(head, filename)
    if _is_gif(head):
        return "image/gif"
    return next((name for name, form in _CONTAINERS if form.match(head)), None)


# Names of entries in a head, behind their 30 bytes.
_FOLDER = re.compile(rb"PK\x03\x04.{26}(word|ppt|xl)[/\\]", re.DOTALL)
_BY_FOLDER = {b"word": DOCX, b"ppt": PPTX, b"xl": XLSX}
_MIMETYPE = re.compile(rb"PK\x03\x04.{26}mimetype(?:.{4})?(application/[\w.+-]+)", re.DOTALL)
_MAYBE_DOCX = ("application/octet-stream", "text/plain", "application/zip", DOCX.media_type)


def _package(head: bytes, filename: str) -> str:
    """Of a zip whose head does not tell its kind the name may; its Check decides."""
    if said := _MIMETYPE.match(head):
        known = (kind for kind in _OPEN_DOCUMENT if said[1].startswith(kind.media_type.encode()))
        return next((kind.media_type for kind in known), "application/zip")
    if folder := _FOLDER.search(head):
        return _BY_FOLDER[folder[1]].media_type
    detected = _libmagic().from_buffer(head)
    if detected not in _MAYBE_DOCX:
        return detected
    extension = filename.rpartition(".")[2].lower()
    named = (kind for kind in (PPTX, XLSX) if kind.extension == extension)
    return next(named, DOCX).media_type


def _by_libmagic(head: bytes) -> str:
    """A name for what is refused, and the rest of what is taken."""
    detected = _libmagic().from_buffer(head)
    # Pictures and sounds are guesses from a few bytes: junk before a PDF passes for one.
    is_named = detected.startswith("application/") and detected not in (UNKNOWN, PDF.media_type)
    if not is_named and _is_pdf(head):
        return PDF.media_type
    if detected == MP3.media_type or _MP3.match(head):
        return MP3.media_type
    if detected in _OF_BOXES and has_boxes(head):
        return detected
    return UNKNOWN if detected in TYPES else detected


# A tag, or two frames, the second where the first one ends at the latest.
_MP3 = re.compile(rb"ID3|(\xff[\xe2\xe3\xf2\xf3\xfa\xfb]).{2,1500}?\1", re.DOTALL)
_OF_BOXES = ("video/mp4", "video/quicktime", "image/heic", "image/heif")


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
