"""No input makes a parser raise what it does not name, take a second, or 64 MiB (promise 16)."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.patience import patient

TARGETS = sorted(file.stem for file in (Path(__file__).parent / "targets").glob("*.py"))
SHORT = {"scrub": 60}  # its formats are six; each other target has 5 s
SECONDS = int(os.environ.get("FUZZ_SECONDS") or (120 if "SOAK" in os.environ else 0))


@pytest.mark.soak
@pytest.mark.timeout(patient((SECONDS or 60) + 120))
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no wheel here: uv.lock")
@pytest.mark.parametrize("target", TARGETS)
def test_no_input_breaks_a_parser(target: str) -> None:
    seconds = SECONDS or SHORT.get(target, 5)
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-m", "tests.fuzz.run", target, str(seconds)],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
