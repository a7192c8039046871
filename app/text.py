"""Cleaning what senders write, and the one JSON loader of the service (DESIGN decision 8).

Free text is repaired, so that no work is lost over one broken character; identifiers that need
repair are refused by their owners, because a repaired identifier may be somebody else's.
"""

import json
import math
import re
from typing import NoReturn

MAX_JSON_DEPTH = 64
MAX_JSON_INTEGER_DIGITS = 400

# Each character fits in one way only: linear time on any input, unterminated strings included.
# (Possessive groups would say so, but they are broken in Python 3.11.2, which Debian 12 has.)
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


def identifier_text(value: object) -> object:
    """An identifier of another system. PHP senders emit integers: their decimal text is meant.

    Raises ValueError for text that would need cleaning; passes anything else on to be refused.
    """
    text = str(value) if type(value) is int else value
    if isinstance(text, str) and not is_clean(text):
        raise ValueError("it holds characters that an identifier cannot have")
    return text


class StrictJsonError(ValueError):
    """The bytes are not the JSON we accept; the message says why, without repeating any of it."""


def clean_text(text: str) -> str:
    """Free text that Postgres can keep: NUL removed, a lone surrogate becomes U+FFFD."""
    return text.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def is_clean(text: str) -> bool:
    """Whether an identifier can be used as it is: no NUL and no lone surrogate."""
    return clean_text(text) == text


def load_json(raw: bytes, *, max_depth: int = MAX_JSON_DEPTH) -> object:
    """RFC 8259 JSON, strictly: UTF-8 without mark, no repeated keys, finite numbers.

    Raises StrictJsonError for everything else, nesting beyond `max_depth` included.
    """
    try:
        return json.loads(
            _shallow(raw.decode("utf-8"), max_depth),
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            parse_int=_short_integer,
        )
    except StrictJsonError:
        raise
    except (ValueError, RecursionError) as error:
        raise StrictJsonError("it is not one JSON value in UTF-8") from error


def _shallow(text: str, max_depth: int) -> str:
    if _depth(text) > max_depth:
        raise StrictJsonError("it is nested too deeply")
    return text


def _depth(text: str) -> int:
    """The deepest nesting of brackets outside strings, found without recursion."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


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
