"""Starts the embedded servers that a process needs, and ends them with it.

Both start and stop at the same time. Afterwards nothing of them runs, however the process ended:
normally, by signal, or killed. The commands enter it; nothing below knows where servers come from.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from app.embedded.folder import EmbeddedError, hold_folder, is_held
from app.embedded.postgres import postgres_variables, start_postgres
from app.embedded.seaweedfs import seaweedfs_variables, start_seaweedfs
from app.embedded.secrets import POSTGRES_PASSWORD, local_secrets
from app.embedded.supervise import EmbeddedServer, stop, wait_until_ready

__all__ = ["EmbeddedError", "run_servers", "use_servers"]


@contextmanager
def run_servers(
    folder: Path, *, postgres: bool, s3: bool, s3_keys: tuple[str, str] | None = None
) -> Iterator[dict[str, str]]:
    """Start what is asked for, yield the variables to use, stop on exit.

    The yielded variables must win over the environment: they are what the servers accept. For
    other S3 keys than those of `secrets.env`, pass them. Enter it from the main thread and keep
    that thread alive (Linux ends the servers with it). Raises EmbeddedError.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("run_servers must be entered from the main thread")
    folder = folder.absolute()
    with hold_folder(folder), _sigterm_unwinds():
        kept = local_secrets(folder)
        keys = s3_keys or (kept["AWS_ACCESS_KEY_ID"], kept["AWS_SECRET_ACCESS_KEY"])
        starts: list[Callable[[], EmbeddedServer]] = []
        if s3:  # first, as it boots while the database is made
            starts.append(lambda: start_seaweedfs(folder, access_key=keys[0], secret_key=keys[1]))
        if postgres:
            starts.append(lambda: start_postgres(folder, password=kept[POSTGRES_PASSWORD]))
        with _run(starts) as variables:
            yield variables


@contextmanager
def use_servers(folder: Path, *, postgres: bool, s3: bool) -> Iterator[dict[str, str]]:
    """Those of another process, where all that is asked for run here already; else `run_servers`.

    They end with that process.
    """
    wanted = ["lock", *["postgres.pid"] * postgres, *["s3.pid"] * s3]
    if not all(is_held(folder / name) for name in wanted):
        with run_servers(folder, postgres=postgres, s3=s3) as started:
            yield started
        return
    found = seaweedfs_variables(folder) if s3 else {}
    if postgres:
        password = local_secrets(folder)[POSTGRES_PASSWORD]
        found |= postgres_variables(folder, password=password)
    yield found


@contextmanager
def _run(starts: Iterable[Callable[[], EmbeddedServer]]) -> Iterator[dict[str, str]]:
    running: list[EmbeddedServer] = []
    are_stopped = False
    try:
        yield _start(starts, running)
    finally:
        while not are_stopped:
            with suppress(KeyboardInterrupt, SystemExit):  # signals that came before we were deaf
                with _deaf():
                    stop(running)
                are_stopped = True


def _start(
    starts: Iterable[Callable[[], EmbeddedServer]], running: list[EmbeddedServer]
) -> dict[str, str]:
    """Start each, then wait for all; `running` knows at any moment what has to be stopped."""
    try:
        for start in starts:
            running.append(start())  # noqa: PERF401 - the next may fail
        return _announce(running)
    except OSError as error:
        raise EmbeddedError(f"The embedded servers cannot be started: {error}.") from error


def _announce(running: list[EmbeddedServer]) -> dict[str, str]:
    """Wait for each server, say on standard error where it is, and gather its variables."""
    variables: dict[str, str] = {}
    for server in running:
        wait_until_ready(server)
        sys.stderr.write(f"{server.start_line}\n")
        variables |= server.variables
    return variables


@contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """Python's own reaction to SIGTERM ends the process without running a single `finally`.

    A handler that somebody installed stays.
    """
    found = signal.getsignal(signal.SIGTERM)
    if found is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _exit_orderly)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, found)


def _exit_orderly(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


@contextmanager
def _deaf() -> Iterator[None]:
    """An impatient second Ctrl-C must not interrupt a stop that takes two seconds at most."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    found = [signal.signal(number, signal.SIG_IGN) or signal.SIG_DFL for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, found, strict=True):
            signal.signal(number, handler)
