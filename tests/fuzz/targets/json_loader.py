"""JSON: what is accepted is what the standard library reads."""

import json

from app.text import StrictJsonError, load_json

REFUSALS = (StrictJsonError,)
SEEDS = (
    b'{"a": [1, -2.5e3, true, null], "b": {"c": "\\u00e9\\n\\ud83d\\ude00"}}',
    b'{"a": 1, "a": 2}',
    b"[[[[[[[[1]]]]]]]]",
    b"\xef\xbb\xbf{}",
    b'{"n": NaN, "i": -Infinity, "x": 1e999}',
)


def run(data: bytes) -> None:
    assert load_json(data) == json.loads(data)
