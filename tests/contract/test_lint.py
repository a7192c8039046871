"""Linters find no error in the contracts, and no warning that is not explained in lint.yaml."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.programs import GENERATED_CLIENTS, needs_npm, run_program

OPENAPI = Path(__file__).parents[2] / "openapi"
EXPLAINED = yaml.safe_load((Path(__file__).parent / "lint.yaml").read_text())
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}

pytestmark = [needs_npm, pytest.mark.soak]


async def test_redocly_warns_only_of_what_is_explained() -> None:
    found = await _lint("redocly", "lint", "--extends=recommended", "--format=json")
    problems = [problem for said in found for problem in said["problems"]]
    assert [one for one in problems if one["severity"] == "error"] == []
    assert {problem["ruleId"] for problem in problems} == set(EXPLAINED["redocly"])


async def test_spectral_warns_only_of_what_is_explained(tmp_path: Path) -> None:
    ruleset = tmp_path / "ruleset.yaml"
    ruleset.write_text("extends: ['spectral:oas']")
    found = await _lint("spectral", "lint", "--quiet", "--ruleset", str(ruleset), "--format=json")
    problems = [problem for said in found for problem in said]
    assert [one for one in problems if one["severity"] == 0] == []
    assert {problem["code"] for problem in problems} == set(EXPLAINED["spectral"])


async def _lint(linter: str, *words: str) -> list[Any]:
    """What it says of each contract."""
    program = str(GENERATED_CLIENTS / "node_modules" / ".bin" / linter)
    contracts = ["openapi.yaml", "internal.yaml"]
    ended = [
        await run_program(program, *words, contract, env=QUIET, folder=OPENAPI)
        for contract in contracts
    ]
    return [json.loads(one.output) for one in ended]
