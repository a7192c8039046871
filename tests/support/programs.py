"""Runs clients in Node and PHP as black boxes: all they get is their arguments and environment."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.patience import patient

DEADLINE_SECONDS = patient(60)


@dataclass(frozen=True)
class Ended:
    """What a program left behind."""

    code: int
    output: str
    errors: str


async def run_program(program: str, script: Path, *words: str, env: Mapping[str, str]) -> Ended:
    process = await asyncio.create_subprocess_exec(
        program,
        str(script),
        *words,
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
