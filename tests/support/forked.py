"""`python -m app serve`, started again and again in the time a fork takes.

A parent process has imported the service and waits; each line on its standard input names a log
file and makes a child that runs the real command. So hundreds of restarts cost no imports.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.patience import patient

START_SECONDS = patient(60)
PROJECT = Path(__file__).parents[2]
SERVING = "Serving on "


@dataclass(frozen=True)
class Forked:
    """A serving process, and where its output goes."""

    pid: int
    url: str
    log: Path

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def wait_until_gone(self) -> None:
        """Its parent does not wait for it, so the kernel forgets it at once."""
        async with asyncio.timeout(START_SECONDS):
            while Path(f"/proc/{self.pid}").exists():  # noqa: ASYNC110, ASYNC240 - it tells nobody
                await asyncio.sleep(0.01)


class Forks:
    """The waiting parent. Children that still run at its end are killed."""

    def __init__(self, parent: asyncio.subprocess.Process, folder: Path) -> None:
        self._parent = parent
        self.folder = folder
        self._turn = asyncio.Lock()
        self._started: list[Forked] = []

    async def start(self) -> Forked:
        """A service on a free port, ready to answer."""
        assert self._parent.stdin
        assert self._parent.stdout
        async with self._turn:
            log = self.folder / f"serve-{len(self._started)}.log"
            log.touch()
            self._parent.stdin.write(f"{log}\n".encode())
            pid = int(await self._parent.stdout.readline())
            self._started.append(Forked(pid, "", log))
        async with asyncio.timeout(START_SECONDS):
            while SERVING not in log.read_text():
                assert Path(f"/proc/{pid}").exists(), log.read_text()  # noqa: ASYNC240
                await asyncio.sleep(0.02)
        url = log.read_text().partition(SERVING)[2].split(maxsplit=1)[0]
        return Forked(pid, url, log)

    def kill_all(self) -> None:
        for each in self._started:
            each.kill()


@asynccontextmanager
async def open_forks(variables: dict[str, str], folder: Path) -> AsyncIterator[Forks]:
    """`variables` are all that the service's environment holds, beside the search paths."""
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.forked"),
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT)} | variables,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    forks = Forks(parent, folder)
    try:
        yield forks
    finally:
        forks.kill_all()
        assert parent.stdin
        parent.stdin.close()
        await parent.wait()


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the killed leave no zombies
    from app.cli import commands  # noqa: PLC0415 - here, where children share what it loads

    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            log = os.open(line.strip(), os.O_WRONLY | os.O_APPEND)
            nothing = os.open(os.devnull, os.O_RDONLY)
            for target, source in ((0, nothing), (1, log), (2, log)):
                os.dup2(source, target)
            commands(["serve", "--port", "0"])
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
