"""Runs a module's tests on a changed source, in a copy of the tree and a process of its own."""

import compileall
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import Phase, settings

ROOT = Path(__file__).parents[2]
COPIED = ("app", "migrations", "tests", "alembic.ini", "pyproject.toml")
FORK = get_context("fork")
KILLED, SURVIVED, HUNG = "killed", "survived", "hung"
GRACE_SECONDS = 10  # in which a run whose test failed puts away what it made
OPTIONS = (
    *("-x", "-q", "--assert=plain", "-p", "no:randomly", "-p", "no:cacheprovider"),
    *("-o", "timeout=30"),  # of one test: it notices a mutant that hangs
)
LIST_LIBRARIES = """
import sys, pytest
pytest.main(["--collect-only", "-qq", *sys.argv[1:]])
print(*(n for n, m in sys.modules.items() if "site-packages" in str(getattr(m, "__file__", ""))))
"""

killers: list[str] = []  # tests that failed in this worker: they are asked first


class FailedFirst:
    """Of pytest: what failed before comes first, and what fails is told."""

    def __init__(self, tell: Connection) -> None:
        self._tell = tell

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        places = {name: place for place, name in enumerate(reversed(killers))}
        items.sort(key=lambda item: places.get(item.nodeid, len(places)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._tell.send(report.nodeid)


def load_libraries(tests: list[str]) -> None:
    """Before there are processes: each run of tests would take seconds for them."""
    command = (sys.executable, "-c", LIST_LIBRARIES, *tests)
    listed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)  # noqa: S603 - ours
    for name in listed.stdout.splitlines()[-1].split():
        with suppress(ImportError):  # some are there under another name
            import_module(name)
    unshrunk = (Phase.explicit, Phase.generate)
    settings.register_profile("mutants", phases=unshrunk, derandomize=True, database=None)
    settings.load_profile("mutants")


def make_copy(copies: Path) -> None:
    """For this worker, which stays in it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    folder = copies / str(os.getpid())
    folder.mkdir()
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    os.chdir(folder)
    compileall.compile_dir(folder, quiet=2)


def judge(module: str, options: list[str], source: str, seconds: float) -> str:
    """What the tests say of this source: killed, survived or, beyond these seconds, hung."""
    path = Path(module)
    original = path.read_text()
    for cached in path.parent.glob(f"__pycache__/{path.stem}.*"):
        cached.unlink()
    path.write_text(source)
    told, tell = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_run, args=(options, tell))
    child.start()
    tell.close()
    try:
        if told.poll(seconds):  # or the pipe has ended
            child.join(GRACE_SECONDS)
    finally:
        is_hung = child.is_alive()
        with suppress(ProcessLookupError):
            os.killpg(child.pid or 0, signal.SIGKILL)  # with what its tests have started
    child.join()
    path.write_text(original)
    with suppress(EOFError):
        killer = told.recv()
        if killer in killers:
            killers.remove(killer)
        killers.append(killer)
        return KILLED
    return HUNG if is_hung else KILLED if child.exitcode else SURVIVED


def _run(options: list[str], tell: Connection) -> None:
    os.setsid()
    out = os.open("tests.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("app", "tests")]:
        del sys.modules[name]
    sys.path[0] = str(Path.cwd())
    sys.dont_write_bytecode = True
    os._exit(pytest.main([*OPTIONS, *options], plugins=[FailedFirst(tell)]))
