"""The commands as a user runs them: real processes, in a checkout with data of its own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from app.embedded.secrets import POSTGRES_PASSWORD, local_secrets
from app.settings import Settings
from tests.support.folders import open_project
from tests.support.patience import patient
from tests.support.stores import Stores, own_stores

PROJECT = Path(__file__).parents[2]
CODE = ("app", "migrations", "alembic.ini")
GENERATED = ("openapi", "docs", ".env.example")
START_SECONDS = 60
COMMAND_SECONDS = patient(120)


class Checkout:
    """A folder with the project's code in it. Nothing of the test's own environment gets in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.local = folder / ".local"

    @property
    def secrets(self) -> dict[str, str]:
        """Those that the commands make for themselves, made now if they have not yet."""
        return local_secrets(self.local)

    def run(
        self, *words: str, module: str = "app", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        with self.start(*words, module=module, **variables) as process:
            output, errors = process.communicate(timeout=COMMAND_SECONDS)
        return subprocess.CompletedProcess(words, process.returncode, output, errors)

    @contextmanager
    def start(
        self, *words: str, module: str = "app", **variables: str
    ) -> Iterator[subprocess.Popen[str]]:
        """A command that runs beside the test; killed at the end if it still does."""
        with subprocess.Popen(  # noqa: S603 - our own commands
            [sys.executable, "-m", module, *words],
            cwd=self.folder,
            env=_environment() | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    @contextmanager
    def serve(self, *, within: Sequence[str] = (), **variables: str) -> Iterator["Serving"]:
        """A service on a free port, ready to answer; `within` is a command that becomes it."""
        output, errors = self.folder / "serve.out", self.folder / "serve.err"
        with (
            output.open("w") as out,
            errors.open("w") as err,
            subprocess.Popen(  # noqa: S603 - our own commands
                [*within, sys.executable, "-m", "app", "serve", "--port", "0"],
                cwd=self.folder,
                env=_environment() | variables,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            ) as process,
        ):
            serving = Serving(self, process, output=output, errors=errors, given=variables)
            try:
                serving.wait_until_ready()
                yield serving
            finally:
                if process.poll() is None:
                    serving.end(signal.SIGTERM)


class Serving:
    """A running `serve`: where it is, what it says, and every process it started."""

    def __init__(
        self,
        checkout: Checkout,
        process: subprocess.Popen[bytes],
        *,
        output: Path,
        errors: Path,
        given: dict[str, str],
    ) -> None:
        self.checkout = checkout
        self._given = given
        self._output = output
        self._errors = errors
        self.process = process
        self.url = ""
        self.servers: list[psutil.Process] = []

    def wait_until_ready(self) -> None:
        """The *Try it* block ends what it says at the start."""
        wait_until(
            lambda: self.process.poll() is not None or "filename=" in self.output,
            seconds=START_SECONDS,
        )
        assert self.process.poll() is None, self.output + self.errors
        self.url = self._said("Serving on ", self.output)
        self.servers = psutil.Process(self.process.pid).children(recursive=True)

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    @property
    def stores(self) -> Stores:
        """Those it was given, or its embedded servers, to look into."""
        if "DATABASE_URL" in self._given:
            return Stores(self._given)
        started = self.errors
        kept = self.checkout.secrets
        address = self._said("PostgreSQL on ", started).rstrip(",")
        return Stores(
            {
                "DATABASE_URL": f"postgresql+asyncpg://optio:{kept[POSTGRES_PASSWORD]}@{address}/postgres",
                "S3_ENDPOINT_URL": self._said("S3 (SeaweedFS) on ", started).rstrip(","),
                "S3_BUCKET": "evidence-files",
                "AWS_ACCESS_KEY_ID": kept["AWS_ACCESS_KEY_ID"],
                "AWS_SECRET_ACCESS_KEY": kept["AWS_SECRET_ACCESS_KEY"],
            }
        )

    def end(self, number: signal.Signals, *, seconds: float = 30) -> int:
        """Its exit code; at the deadline it is killed, and the test fails."""
        self.process.send_signal(number)
        try:
            return self.process.wait(patient(seconds))
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """`kill -9` of everything at once, its servers included."""
        for process in (psutil.Process(self.process.pid), *self.running()):
            with suppress(psutil.NoSuchProcess):  # the first one's end ends the others as well
                process.kill()
        self.process.wait()
        wait_until(lambda: not self.running())

    def running(self) -> list[psutil.Process]:
        """Which of its servers still run."""
        return [server for server in self.servers if _is_alive(server)]

    def _said(self, words: str, text: str) -> str:
        """What follows these words, up to the next space."""
        return text.partition(words)[2].split(maxsplit=1)[0]


@contextmanager
def make_checkout() -> Iterator[Checkout]:
    with open_project() as folder:
        for name in CODE:
            (folder / name).symlink_to(PROJECT / name)
        for name in GENERATED:
            copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
            copy(PROJECT / name, folder / name)
        yield Checkout(folder)


@contextmanager
def serve_on(settings: Settings) -> Iterator[Serving]:
    """A service on stores of its own, of the run's servers."""
    with (
        own_stores(settings) as stores,
        make_checkout() as checkout,
        checkout.serve(**checkout.secrets | stores.variables) as serving,
    ):
        yield serving


@contextmanager
def serve_beside(
    serving: Serving, *, within: Sequence[str] = (), **variables: str
) -> Iterator[Serving]:
    """A second service on the servers of this one and with its secrets."""
    with make_checkout() as checkout:
        checkout.local.mkdir(mode=0o700)
        shutil.copy(serving.checkout.local / "secrets.env", checkout.local)
        given = serving.checkout.secrets | serving.stores.variables | variables
        with checkout.serve(within=within, **given) as second:
            yield second


def wait_until(condition: Callable[[], bool], *, seconds: float = 10) -> None:
    """For what other processes do."""
    deadline = time.monotonic() + patient(seconds)
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def _is_alive(process: psutil.Process) -> bool:
    """A zombie has ended; only its new parent has not looked yet."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
