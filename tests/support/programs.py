"""Runs programs in Node, PHP and others as black boxes, and says which of them are here.

All they get is their arguments and environment.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.patience import patient

DEADLINE_SECONDS = patient(60)
GENERATED_CLIENTS = Path(__file__).parents[1] / "clients" / "generated"
BRUNO = Path(__file__).parents[1] / "clients" / "bruno" / "node_modules" / ".bin" / "bru"
FRONT_END = Path(__file__).parents[1] / "clients" / "front_end"
SENDERS = Path(__file__).parents[1] / "clients" / "senders"
# Commands of the environment that the tests run in come before those of the system.
SEARCHED = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@dataclass(frozen=True)
class Ended:
    """What a program left behind."""

    code: int
    output: str
    errors: str


async def run_program(
    program: str,
    *words: str | Path,
    env: Mapping[str, str],
    folder: Path | None = None,
    seconds: float = DEADLINE_SECONDS,
) -> Ended:
    process = await asyncio.create_subprocess_exec(
        program,
        *words,
        cwd=folder,
        env={"PATH": SEARCHED, **env},  # no proxy of ours between client and server
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ended(process.returncode, output.decode(), errors.decode())


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
needs_guzzle = pytest.mark.skipif(
    not _answers(
        "php", "-r", "exit(stream_resolve_include_path('GuzzleHttp/autoload.php') ? 0 : 1);"
    ),
    reason="php-guzzlehttp-guzzle is not installed",
)
needs_java = pytest.mark.skipif(not _answers("java", "-version"), reason="java is not installed")
needs_javac = pytest.mark.skipif(not _answers("javac", "-version"), reason="no JDK is installed")
needs_senders = pytest.mark.skipif(
    not (SENDERS / "node_modules").is_dir() or not _answers("node", "--version"),
    reason="npm ci --ignore-scripts was not run in tests/clients/senders",
)
needs_bruno = pytest.mark.skipif(
    not BRUNO.exists() or not _answers("node", "--version"),
    reason="npm ci --ignore-scripts was not run in tests/clients/bruno",
)
needs_npm = pytest.mark.skipif(
    not (GENERATED_CLIENTS / "node_modules").is_dir()
    or not _answers("node", "-e", "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)"),
    reason="npm ci --ignore-scripts was not run in tests/clients/generated, with node 20 or newer",
)
CHROMIUM = shutil.which("chromium")
needs_front_end = pytest.mark.skipif(
    CHROMIUM is None or not (FRONT_END / "node_modules").is_dir() or not _answers("node", "-v"),
    reason="no chromium, or npm ci --ignore-scripts was not run in tests/clients/front_end",
)
