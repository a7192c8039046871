"""The clients of docs/samples, as whoever copies them would run them."""

import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import Ended, needs_node, needs_php, run_program

Client = Callable[..., Awaitable[Ended]]

SAMPLES = Path(__file__).parents[2] / "docs" / "samples"
LANGUAGES = {"node": ("node", "mjs"), "php": ("php", "php"), "python": (sys.executable, "py")}
NEEDS = {"node": [needs_node], "php": [needs_php], "python": []}


def each_sample(name: str) -> pytest.MarkDecorator:
    """The act of this name in each language, as `client`."""
    return pytest.mark.parametrize(
        "client",
        [
            pytest.param(
                partial(run_program, program, SAMPLES / f"{name}.{ending}"),
                marks=NEEDS[language],
                id=language,
            )
            for language, (program, ending) in LANGUAGES.items()
        ],
    )


each_client = each_sample("submit")


def said(ended: Ended) -> dict[str, Any]:
    """What the service answered, if that is all there was to say."""
    assert (ended.code, ended.errors) == (0, ""), ended.errors
    answer: dict[str, Any] = json.loads(ended.output)
    return answer
