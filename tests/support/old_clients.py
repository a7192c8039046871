"""Runs the clients of tests/clients as black boxes: senders written years ago, in Node and PHP.

They know the written contract and nothing of this code; all they get is their environment.
"""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

CLIENTS = Path(__file__).parents[1] / "clients"
DEADLINE_SECONDS = 60


async def run_node(scenario: str, *, env: Mapping[str, str]) -> dict[str, Any]:
    """The answer as the Node client saw it: `status`, `body`, `message`."""
    return await _run("node", "spark_client.mjs", scenario, env)


async def run_php(scenario: str, *, env: Mapping[str, str]) -> dict[str, Any]:
    """The answer as the PHP client saw it: `status`, `body`, `message`."""
    return await _run("php", "spark_client.php", scenario, env)


async def _run(program: str, script: str, scenario: str, env: Mapping[str, str]) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        program,
        str(CLIENTS / script),
        scenario,
        env={"PATH": os.environ["PATH"], **env},  # no proxy of ours between client and server
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    answer: dict[str, Any] = json.loads(output)
    return answer


def _answers(program: str, *probe: str) -> bool:
    """Whether the program is here and has what its client needs."""
    return shutil.which(program) is not None and (
        subprocess.run([program, *probe], check=False, capture_output=True).returncode == 0  # noqa: S603 - our own words
    )


needs_node = pytest.mark.skipif(
    not _answers("node", "-e", "process.exit(typeof FormData === 'undefined' ? 1 : 0)"),
    reason="node 18 or newer is not installed",
)
needs_php = pytest.mark.skipif(
    not _answers("php", "-r", "exit(extension_loaded('curl') ? 0 : 1);"),
    reason="php with its curl extension is not installed",
)
