"""`make mutants`: do each module's own tests notice when the module is changed?

`python -m tests.mutants [part of a path …]` works in copies of the tree, with servers of its own.
modules.toml names modules and tests, mutants by hand, and those that no test can notice.
"""

import os
import sys
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.embedded.servers import run_servers
from tests.mutants.change import Mutant, mutants
from tests.mutants.judge import FORK, HUNG, KILLED, ROOT, SURVIVED, judge, load_libraries, make_copy
from tests.support.folders import open_project

WORKERS = 2
GOAL = 0.9
Module = dict[str, Any]


def main() -> int:
    modules = tomllib.loads((ROOT / "tests/mutants/modules.toml").read_text())["module"]
    asked = [m for m in modules if not sys.argv[1:] or any(a in m["path"] for a in sys.argv[1:])]
    with ExitStack() as stack:
        folder = stack.enter_context(open_project())
        os.environ |= stack.enter_context(run_servers(folder / ".local", postgres=True, s3=True))
        copies = Path(stack.enter_context(TemporaryDirectory(prefix="mutants-")))
        load_libraries([test for module in asked for test in _tests(module)])
        workers = ProcessPoolExecutor(WORKERS, FORK, make_copy, (copies,))
        stack.callback(workers.shutdown, cancel_futures=True)
        return max([_judge_module(workers, module) for module in asked], default=1)


def _judge_module(workers: ProcessPoolExecutor, module: Module) -> int:
    """Says what survived; 1 if that is too much, or if a list is wrong."""
    path, began = module["path"], time.monotonic()
    tests = [*_tests(module), "-k", f"not ({module.get('but', 'nothing')})"]
    source = (ROOT / path).read_text()
    if workers.submit(judge, path, tests, source, 300).result() != SURVIVED:
        return _say(f"{path}: its tests fail as it is")
    limit = 15 + 3 * (time.monotonic() - began)
    made = {(m.place, m.old, m.new): m for m in (*_by_hand(module, source), *mutants(source))}
    equal = {(row["place"], row["old"], row["new"]) for row in module.get("equivalent", ())}
    tried = [mutant for key, mutant in made.items() if key not in equal]
    asked = [workers.submit(judge, path, tests, mutant.source, limit) for mutant in tried]
    fates = []
    for mutant, fate in zip(tried, asked, strict=True):
        fates.append(fate.result())
        if fates[-1] != KILLED:
            _say(f"{fates[-1]}: {mutant.place}: {mutant.old}\n    -> {mutant.new or 'nothing'}")
    for row in equal - made.keys():
        _say(f"modules.toml calls equivalent what is there no more: {row}")
    survived, share = fates.count(SURVIVED), 1 - fates.count(SURVIVED) / len(tried)
    _say(
        f"{path}: {len(tried)} mutants, {survived} survived, {fates.count(HUNG)} hung,"
        f" {len(made) - len(tried)} equivalent: {share:.0%} killed, in"
        f" {time.monotonic() - began:.0f} s"
    )
    return int(share < GOAL or not equal <= made.keys())


def _tests(module: Module) -> list[str]:
    found = [path for pattern in module["tests"] for path in sorted(ROOT.glob(pattern))]
    return [str(path.relative_to(ROOT)) for path in found]


def _by_hand(module: Module, source: str) -> Iterator[Mutant]:
    for row in module.get("by_hand", ()):
        if source.count(row["old"]) != 1:
            sys.exit(f"{module['path']} has not once: {row['old']}")
        yield Mutant("by hand", row["old"], row["new"], source.replace(row["old"], row["new"]))


def _say(line: str) -> int:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    return 1


if __name__ == "__main__":
    sys.exit(main())
