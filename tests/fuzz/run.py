"""Fuzzes one parser, led by what its inputs reach: `python -m tests.fuzz.run TARGET SECONDS`.

A module of `targets` has SEEDS, `run`, and the REFUSALS that `run` may raise. Anything else that it
raises, and more than a second of CPU or 64 MiB for one input, ends the fuzzing with another exit
code than 0; the input is printed.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol

import atheris

MAX_CPU_SECONDS = 1.0
MAX_GROWTH_KIBIBYTES = 64 * 1024
# The fuzzer keeps what reached something new, and what it knows of the code.
FUZZERS_OWN_MEBIBYTES = 128


class Target(Protocol):
    SEEDS: Sequence[bytes]
    REFUSALS: tuple[type[Exception], ...]

    def run(self, data: bytes) -> None: ...


class TooDearError(Exception):
    """An input takes more than it may."""


def main(name: str, seconds: str) -> None:
    with atheris.instrument_imports(include=["app", "zipfile"]):
        target: Target = import_module(f"tests.fuzz.targets.{name}")
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(target.SEEDS):
            (Path(folder) / f"seed_{number}").write_bytes(seed)
            _run(target, seed)  # loads what is loaded once
        limit = _peak() // 1024 + FUZZERS_OWN_MEBIBYTES
        options = (f"-max_total_time={seconds}", f"-rss_limit_mb={limit}", "-timeout=60")
        atheris.Setup(
            [sys.argv[0], *options, f"-artifact_prefix={folder}/", "-print_final_stats=1", folder],
            lambda data: _check(target, data),
        )
        atheris.Fuzz()


def _check(target: Target, data: bytes) -> None:
    peak, began = _peak(), time.process_time()
    _run(target, data)
    took, growth = time.process_time() - began, _peak() - peak
    if took > MAX_CPU_SECONDS or growth > MAX_GROWTH_KIBIBYTES:
        raise TooDearError(f"{took:.1f} s, {growth} KiB: {data!r}")


def _run(target: Target, data: bytes) -> None:
    try:
        target.run(data)
    except target.REFUSALS:
        pass
    except Exception as failure:
        failure.add_note(repr(data))
        raise


def _peak() -> int:
    """In KiB; it never falls."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(*sys.argv[1:])
