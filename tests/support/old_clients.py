"""Runs the clients of tests/clients: senders written years ago, in Node and PHP.

They know the written contract and nothing of this code.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.programs import run_program

CLIENTS = Path(__file__).parents[1] / "clients"


async def run_node(scenario: str, *, env: Mapping[str, str]) -> dict[str, Any]:
    """The answer as the Node client saw it: `status`, `body`, `message`."""
    return await _run("node", "spark_client.mjs", scenario, env)


async def run_php(scenario: str, *, env: Mapping[str, str]) -> dict[str, Any]:
    """The answer as the PHP client saw it: `status`, `body`, `message`."""
    return await _run("php", "spark_client.php", scenario, env)


async def _run(program: str, script: str, scenario: str, env: Mapping[str, str]) -> dict[str, Any]:
    ended = await run_program(program, CLIENTS / script, scenario, env=env)
    assert ended.code == 0, ended.errors
    answer: dict[str, Any] = json.loads(ended.output)
    return answer
