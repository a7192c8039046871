"""What JSON may be: how deep, and of how many values, before anything of it is built (H1, R43)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.text import MAX_JSON_DEPTH, MAX_JSON_VALUES, StrictJsonError, load_json

# What could be taken for the end of a string, or for brackets and commas that count.
TEXTS = st.text(st.sampled_from('"\\,[]{}:aé'), max_size=12)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
)


def count(value: Any) -> int:
    """The values of a document; an empty list or object counts twice."""
    items = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(items, list):
        return 1
    return 1 + sum(map(count, items)) if items else 2


def depth(value: Any) -> int:
    items = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, items), default=0) if isinstance(value, dict | list) else 0


@given(VALUES, st.integers(0, 200_000))
def test_values_and_depth_are_counted_outside_strings(value: Any, padding: int) -> None:
    """The blanks move the content over the edges of the pieces that are looked at."""
    document = [value, ",[{" * 100]
    raw = b"[" + b" " * padding + json.dumps(document)[1:].encode()
    limits = {"max_depth": depth(document), "max_values": count(document)}
    assert load_json(raw, **limits) == document
    for name, limit in limits.items():
        with pytest.raises(StrictJsonError):
            load_json(raw, **(limits | {name: limit - 1}))


@pytest.mark.parametrize("cut", range(1, 9))
def test_an_escape_may_lie_on_the_edge_of_two_pieces(cut: int) -> None:
    text = "\\" * 5 + '"],["'
    value = ["x" * (64 * 1024 - 2 - cut), text]
    assert load_json(json.dumps(value).encode(), max_depth=1, max_values=3) == value


@pytest.mark.parametrize("item", [b"{}", b"[]", b'{"a":0}', b"0", b'""', b"null"])
def test_more_values_than_allowed_are_refused_with_the_number(item: bytes) -> None:
    with pytest.raises(StrictJsonError, match=str(MAX_JSON_VALUES)):
        load_json(b"[" + item + b"," + b",".join([item] * MAX_JSON_VALUES) + b"]")


@pytest.mark.parametrize("text", ["1,2\n" * 500_000, "[{" * 500_000, '\\"' * 500_000])
def test_commas_and_brackets_of_a_text_do_not_count(text: str) -> None:
    assert load_json(json.dumps({"text": text}).encode()) == {"text": text}


def test_depth_is_bounded_as_before() -> None:
    deepest = b"[" * MAX_JSON_DEPTH + b"]" * MAX_JSON_DEPTH
    load_json(deepest)
    with pytest.raises(StrictJsonError, match="nested"):
        load_json(b"[" + deepest + b"]")
