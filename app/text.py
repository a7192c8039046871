"""Cleaning what senders write, and the one JSON loader of the service (DESIGN decision 8).

Free text is repaired, so that no work is lost over one broken character; identifiers that need
repair are refused by their owners, because a repaired identifier may be somebody else's. Only what
surrounds an identifier and cannot be seen is no part of it (DESIGN R35, R46).
"""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import NoReturn

MAX_JSON_DEPTH = 64
MAX_JSON_VALUES = 200_000
MAX_JSON_INTEGER_DIGITS = 400

_SCANNED_BYTES = 64 * 1024  # at a time, so that a thread that scans keeps nobody waiting
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # one level down, one up: signed bytes
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks that turn the direction of writing
_ZERO_WIDTH = "\u00ad\u180e\u200b\u200c\u200d\u2060-\u2065\u206a-\u206f\ufeff"
_SPACE = "\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
# Between the brackets of an expression: what an identifier loses at its ends, and cannot hold.
ID_EDGES = f"{_SPACE}{_BIDI}{_ZERO_WIDTH}"
NO_IDENTIFIER = f"\x00-\x1f\x7f-\x9f{_BIDI}"
_EDGES = "".join(re.findall(f"[{ID_EDGES}]", "".join(map(chr, range(0x10000)))))
_NO_IDENTIFIER = re.compile(f"[{NO_IDENTIFIER}\ud800-\udfff]")
_BIDI_MARK = re.compile(f"[{_BIDI}]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")  # all but white space
_LINE_END = re.compile(r"[\t-\r\x85\u2028\u2029]+")


def trimmed_id(text: str) -> str:
    """An identifier without what surrounds it and is not seen: white space of every kind, and
    zero-width and direction marks. Spreadsheets and copying add them.
    """
    return text.strip(_EDGES)


def identifier_text(value: object) -> object:
    """An identifier of another system, trimmed. PHP senders emit integers: their decimal text is
    meant.

    Raises ValueError for text that holds a control or bidirectional character or half of a pair;
    passes anything else on to be refused.
    """
    if type(value) is int:
        return str(value)
    if not isinstance(value, str):
        return value
    text = trimmed_id(value)
    if _NO_IDENTIFIER.search(text):
        raise ValueError("it holds characters that an identifier cannot have")
    return text


_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would calculate


def csv_line(cells: Iterable[object]) -> str:
    """With its line end; a cell of which a spreadsheet would make a formula has a `'` before it."""
    texts = ["" if cell is None else str(cell) for cell in cells]
    line = io.StringIO()
    csv.writer(line).writerow([f"'{text}" if text.startswith(_FORMULA) else text for text in texts])
    return line.getvalue()


class StrictJsonError(ValueError):
    """The bytes are not the JSON we accept; the message says why, without repeating any of it."""


def clean_text(text: str) -> str:
    """Free text that Postgres can keep and a screen can show: control characters are removed, but
    for white space; a lone surrogate becomes U+FFFD.
    """
    text = _CONTROL.sub("", text)
    try:
        text.encode()  # nearly all can be: so none is copied that is clean
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def is_clean(text: str) -> bool:
    """Whether Postgres can keep it as it is: no NUL and no lone surrogate."""
    return not re.search("[\0\ud800-\udfff]", text)


def clean_line(text: str) -> str:
    """The same for what is shown in one line, as a name: nor does it turn the others around it."""
    return _BIDI_MARK.sub("", _LINE_END.sub(" ", clean_text(text)))


def load_json(
    raw: bytes, *, max_depth: int = MAX_JSON_DEPTH, max_values: int = MAX_JSON_VALUES
) -> object:
    """RFC 8259 JSON, strictly: UTF-8 without mark, no repeated keys, finite numbers.

    Raises StrictJsonError for everything else; for nesting beyond `max_depth`, and for more than
    `max_values`, before anything is built (DESIGN R43).
    """
    try:
        _check_shape(raw, max_depth, max_values)
        return json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            parse_int=_short_integer,
        )
    except StrictJsonError:
        raise
    except (ValueError, RecursionError) as error:
        raise StrictJsonError("it is not one JSON value in UTF-8") from error


def _check_shape(raw: bytes, max_depth: int, max_values: int) -> None:
    """Every value but the first follows a comma or an opening bracket; an empty list or object
    counts twice.
    """
    opened = raw.count(b"[") + raw.count(b"{")
    if opened <= max_depth and opened + raw.count(b",") < max_values:
        return  # as it is with nearly all; those in strings are not told apart here
    depth, values = 0, 1
    for text in _outside_strings(raw):
        values += text.count(b",") + text.count(b"[") + text.count(b"{")
        if values > max_values:
            raise StrictJsonError(f"it has more than {max_values} values")
        steps = memoryview(text.translate(_STEPS, _NO_BRACKETS)).cast("b")
        depths = [*accumulate(steps, initial=depth)]
        if max(depths) > max_depth:
            raise StrictJsonError("it is nested too deeply")
        depth = depths[-1]


def _outside_strings(raw: bytes) -> Iterator[bytes]:
    """The text without its strings, piece by piece; of what is no JSON, anything."""
    is_inside, escape = 0, b""
    for start in range(0, len(raw), _SCANNED_BYTES):
        piece = (escape + raw[start : start + _SCANNED_BYTES]).replace(rb"\\", b"")
        escape = piece[-1:] if piece.endswith(b"\\") else b""
        parts = piece.replace(rb"\"", b"").split(b'"')
        yield b"".join(parts[is_inside::2])
        is_inside ^= (len(parts) - 1) % 2


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise StrictJsonError("a key is repeated")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise StrictJsonError(f"{name} is not JSON")


def _finite_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise StrictJsonError("a number is too large")
    return number


def _short_integer(digits: str) -> int:
    if len(digits) > MAX_JSON_INTEGER_DIGITS:
        raise StrictJsonError("a number is too large")
    return int(digits)
