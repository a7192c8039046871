"""Reads the headers of a form and of its parts (RFC 7578), in the spellings that senders use.

What two readers might read in two ways is refused: a parameter that is repeated, or cut in pieces.
"""

import re
import unicodedata
from email.errors import MessageError
from email.header import decode_header, make_header
from urllib.parse import unquote, unquote_to_bytes

from app import errors

# RFC 2046 section 5.1.1 knows fewer characters; browsers, PHP and busboy read what a parameter can
# hold. 1 to 70 of them, the last one no space.
_BOUNDARY = re.compile(r"[ !#-\[\]-~]{0,69}[!#-\[\]-~]")
_NOT_OF_BOUNDARIES = re.compile(r"[^ !#-\[\]-~]")

# `; key=value` or `; key="value"`. Control characters stand inside quotes only, so that a line
# ended by LF alone, or a quote that a CRLF broke, is refused. A quote that ends nothing belongs to
# the value: older Guzzle sends a name's own quotes as they are.
_PARAMETER = re.compile(
    r";[ \t]*+(?:([\w!#$%&'*+.^`|~-]++)="  # key
    r"(?:\"((?:[^\"\\]|\\.|\"(?![ \t]*(?:;|\Z)))*)\"|([^\0-\x20\";\x7f]*+)))?[ \t]*+",
    re.ASCII | re.DOTALL,
)
_CONTROL = re.compile(r"[\0-\x08\x0a-\x1f\x7f]")
_EXTENDED = re.compile(r"([\w-]+)'[\w-]*'(.*)", re.ASCII)  # RFC 8187
_CHARSETS = ("utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252")
_ENCODED_WORDS = re.compile(r"=\?[^\s?]+\?[bqBQ]\?[^\s?]*\?=(?: =\?[^\s?]+\?[bqBQ]\?[^\s?]*\?=)*")
# What encodeURIComponent and Python's `quote` make of a whole name.
_PERCENT_ENCODED = re.compile(r"(?:[\w.~!'()*-]|%[0-9A-Fa-f]{2})+", re.ASCII)

_BOUNDARY_HINT = "Send `Content-Type: multipart/form-data; boundary=…`, at most 70 characters."
SYNTAX_HINT = "Lines end in CRLF; a part has at most 8 headers of 4 KB, none folded or repeated."
_DISPOSITION_HINT = 'Send `Content-Disposition: form-data; name="…"`, files with `filename="…"`.'


def parse_boundary(content_type: str) -> bytes:
    """The boundary that a Content-Type header announces. Raises MultipartInvalidError."""
    media_type, parameters = _parse_parameters(content_type, hint=_BOUNDARY_HINT)
    boundary = parameters.get("boundary", "")
    if media_type != "multipart/form-data" or not _BOUNDARY.fullmatch(boundary):
        raise errors.MultipartInvalidError(
            hint=_BOUNDARY_HINT + _name_odd(boundary, _NOT_OF_BOUNDARIES)
        )
    return boundary.encode("ascii")


def read_disposition(header: bytes) -> tuple[str, str | None]:
    """The name of a part, and of its file as the sender meant it; None for a text field.

    Raises MultipartInvalidError.
    """
    kind, parameters = _parse_parameters(_decode(header), hint=_DISPOSITION_HINT)
    name, filename = parameters.get("name"), parameters.get("filename")
    extended = parameters.get("filename*")
    is_in_pieces = any(key.startswith("filename*") and key[9:] for key in parameters)
    if kind != "form-data" or name is None or is_in_pieces:
        raise errors.MultipartInvalidError(hint=_DISPOSITION_HINT)
    if extended is not None:
        filename = _from_extended(extended, filename)
    elif filename is not None:
        filename = _from_transport(filename)
    return _from_browser(name), filename


def _from_extended(extended: str, plain: str | None) -> str:
    """What `filename*` says (RFC 8187); RFC 7578 forbids it, aiohttp and others send it."""
    found = _EXTENDED.fullmatch(extended)
    if found is None or found[1].lower() not in _CHARSETS:
        return _required(plain)
    try:
        return unquote_to_bytes(found[2]).decode(found[1])
    except UnicodeDecodeError:
        return _required(plain)


def _required(plain: str | None) -> str:
    if plain is None:
        raise errors.MultipartInvalidError(hint=_DISPOSITION_HINT)
    return plain


def _from_transport(filename: str) -> str:
    """Undoes RFC 2047, which mailers' libraries use, and the percent-encoding of a whole name."""
    if _ENCODED_WORDS.fullmatch(filename):
        try:
            name = str(make_header(decode_header(filename)))
            name.encode()  # in some charsets half a pair of surrogates can be written
            return name  # noqa: TRY300 - what follows is for other spellings
        except (MessageError, LookupError, ValueError):
            return filename
    if _PERCENT_ENCODED.fullmatch(filename):
        try:
            return unquote(filename, errors="strict")
        except UnicodeDecodeError:
            pass
    return _from_browser(filename)


def read_label(headers: dict[bytes, bytes]) -> str | None:
    """The part's label, once it is known that its bytes are the content itself."""
    for value in map(_decode, headers.values()):
        if odd := _name_odd(value):
            raise errors.MultipartInvalidError(hint=SYNTAX_HINT + odd)
    encoding = _decode(headers.get(b"content-transfer-encoding", b"")).lower()
    if encoding not in ("", "7bit", "8bit", "binary"):  # RFC 7578 section 4.7
        raise errors.MultipartInvalidError(hint="Send parts without transfer encoding.")
    content_type = _decode(headers.get(b"content-type", b"")).partition(";")[0].strip().lower()
    if content_type.startswith("multipart/"):  # RFC 7578 section 4.3
        raise errors.MultipartInvalidError(hint="Send each file as a part of its own.")
    return content_type or None


def _parse_parameters(header: str, *, hint: str) -> tuple[str, dict[str, str]]:
    """A header's value and parameters; what two readers might read in two ways is refused."""
    value = header.partition(";")[0]
    position = len(value)
    parameters: dict[str, str] = {}
    while position < len(header):
        found = _PARAMETER.match(header, position)
        if found is None or (key := (found[1] or "").lower()) in parameters:
            raise errors.MultipartInvalidError(hint=hint + _name_odd(header[position:]))
        if key:
            parameters[key] = found[3] if found[2] is None else _unescape(found[2])
        position = found.end()
    return value.strip(" \t").lower(), parameters


def _unescape(quoted: str) -> str:
    r"""Undoes `\"` and `\\` (curl); any other `\` is itself."""
    return re.sub(r'\\(["\\])', r"\1", quoted)


def _from_browser(text: str) -> str:
    """Undoes `%22`, `%0D`, `%0A` (WHATWG)."""
    return re.sub("%(22|0A|0D)", lambda escape: chr(int(escape[1], 16)), text)


def _decode(value: bytes) -> str:
    """UTF-8; otherwise Latin-1, which keeps every byte of an older sender's name visible."""
    try:
        return value.decode("utf-8").strip(" \t")
    except UnicodeDecodeError:
        return value.decode("latin-1").strip(" \t")


def _name_odd(text: str, forbidden: re.Pattern[str] = _CONTROL) -> str:
    """The first character that may not stand in the text, as the end of a hint."""
    found = forbidden.search(text)
    if found is None:
        return ""
    name = unicodedata.name(found[0], "a control character")
    return f" U+{ord(found[0]):04X} ({name}) cannot stand there."
