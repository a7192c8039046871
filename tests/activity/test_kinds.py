"""One table of event types: what is recorded stands in it, and the contract is made from it."""

import ast
from collections.abc import Iterator
from pathlib import Path

from app.activity.kinds import KINDS
from app.api.docs import internal_contract
from app.main import create_app
from app.settings import Settings

APP = Path(__file__).parents[2] / "app"


def _types_in_code() -> Iterator[tuple[str, str]]:
    """File and type, where a type is named."""
    for file in APP.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "record_event":
                given = node.args[1]
                if isinstance(given, ast.Constant) and isinstance(given.value, str):
                    yield file.name, given.value


def test_every_type_that_is_recorded_is_known() -> None:
    found = dict(_types_in_code())
    assert len(found) > 3
    assert {file: name for file, name in found.items() if name not in KINDS} == {}


def test_the_contract_names_the_types_that_can_be_followed_and_their_keys() -> None:
    contract = internal_contract(create_app(Settings(_env_file=None)))
    described = contract["paths"]["/internal/v1/events"]["get"]["description"]
    for event_type, kind in KINDS.items():
        assert (f"`{event_type}`" in described) == bool(kind.data)
        assert all(f"`{key}`" in described for key in kind.data)
