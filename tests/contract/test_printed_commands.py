"""Whoever copies a command from a page, a hint or the runbook is not told that it is unknown."""

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from app.alerts.rules import RULES
from app.cli import commands

PROJECT = Path(__file__).parents[2]
PLACES = [
    *PROJECT.glob("*.md"),
    *PROJECT.glob("docs/*.md"),
    *PROJECT.glob("app/**/*.html"),
    *PROJECT.glob("app/**/*.py"),
    PROJECT / "render.yaml",
]
# Up to what ends it in a sentence, a shell or a template; a line may go on.
COMMAND = re.compile(r"python -m app ((?:[a-z-]|\\\n +)(?:\\\n|[^`|;\n(){}<#\"'])*)")
PRINTED = {
    " ".join(words.replace("\\\n", " ").split()).rstrip(".,:")
    for place in PLACES
    for words in COMMAND.findall(place.read_text())
}


def _find(words: list[str]) -> tuple[Any, list[str]]:
    """The command, and what is left for it."""
    found: Any = get_command(commands)
    while words and words[0] in getattr(found, "commands", {}):
        found, words = found.commands[words[0]], words[1:]
    return found, words


@pytest.mark.parametrize("words", sorted(PRINTED))
def test_a_printed_command_is_there_with_its_options(words: str) -> None:
    found, rest = _find(words.split())
    known = {name for parameter in found.params for name in parameter.opts} | {"--help"}
    assert {word.strip("[]") for word in rest if word.strip("[]").startswith("--")} <= known
    if hasattr(found, "commands"):  # nothing but a group was named
        assert not rest or rest == ["--help"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_runbook_gives_a_command_all_that_it_must_have(rule: Any) -> None:
    for words in re.findall(r"`python -m app ([^`]+)`", rule.look + rule.do):
        found, rest = _find(words.split())
        needed = [it for it in found.params if it.required and it.param_type_name == "argument"]
        assert len([word for word in rest if not word.startswith("--")]) >= len(needed), words
