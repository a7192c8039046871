"""One server as a child: started, awaited, stopped, and never left behind.

Invariant: the child holds the lock on its pid file for as long as any of its processes lives. So
whoever can take that lock knows that nothing runs, and whoever cannot knows what to stop.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.embedded.folder import EmbeddedError, open_lock, take_lock

START_SECONDS = 60.0
STOP_SECONDS = 2.0  # six pass between Ctrl-C and the end; three belong to requests
ORPHAN_SECONDS = 10.0
KILL_SECONDS = 0.5
POLL_SECONDS = 0.01
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class SystemUser:
    """Whom a server runs as; without numbers it is the one we run as."""

    uid: int | None = None
    gid: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Those of `subprocess`."""
        groups = None if self.uid is None else ()
        return {"user": self.uid, "group": self.gid, "extra_groups": groups}


@dataclass(frozen=True)
class ServerClaim:
    """The right to start the one server `name` of `folder`, held as a lock on its pid file.

    `last_pid` is that of the server before, which has ended; empty if there was none.
    """

    folder: Path
    name: str
    stop_signal: signal.Signals
    lock: int
    last_pid: str

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"


@dataclass(frozen=True, kw_only=True)
class EmbeddedServer:
    """A child that was started: how to see that it is ready, and what its users need to know."""

    claim: ServerClaim
    process: subprocess.Popen[bytes]
    is_ready: Callable[[], bool]
    variables: dict[str, str]
    start_line: str
    leftovers: tuple[Path, ...] = ()


@contextmanager
def claim_server(folder: Path, name: str, stop_signal: signal.Signals) -> Iterator[ServerClaim]:
    """Stop what an earlier, killed process left running; nobody else starts it meanwhile."""
    with open_lock(folder / f"{name}.pid") as lock:
        claim = ServerClaim(folder, name, stop_signal, lock, _read_pid(lock))
        _end_orphan(claim)
        os.ftruncate(lock, 0)
        yield claim


def spawn(
    claim: ServerClaim,
    command: Sequence[str | Path],
    *,
    environment: dict[str, str],
    instead: str,
    user: SystemUser,
) -> subprocess.Popen[bytes]:
    """Start the child, which takes the claim over; `instead` is the variable to set if it cannot.

    Call it from the main thread: Linux ends the child when the thread that started it ends.
    """
    _keep_last_log(claim.log)
    with claim.log.open("ab") as log:
        try:
            return subprocess.Popen(  # noqa: S603 - the command is ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=environment,
                umask=0o077,
                start_new_session=True,  # a terminal's Ctrl-C is for us, who stop things in order
                pass_fds=(claim.lock,),
                preexec_fn=_tie_to_us(claim),  # noqa: PLW1509 - no threads yet
                **user.options,
            )
        except OSError as error:
            raise EmbeddedError(
                f"{command[0]} cannot be started ({error.strerror}): set {instead} instead."
            ) from error


def wait_until_ready(server: EmbeddedServer) -> None:
    """Raises EmbeddedError if the child ends or takes too long."""
    name, log = server.claim.name, server.claim.log
    _poll(lambda: server.process.poll() is not None or server.is_ready(), START_SECONDS)
    if server.process.poll() is not None:
        raise EmbeddedError(f"The embedded {name} ended while it started; {log} says why.")
    if not server.is_ready():
        raise EmbeddedError(f"The embedded {name} is not ready after {START_SECONDS:.0f} s: {log}.")


def stop(servers: Iterable[EmbeddedServer]) -> None:
    """Ask all at once, then wait for each; past the common deadline they are killed."""
    running = list(servers)
    deadline = time.monotonic() + STOP_SECONDS
    for server in running:
        server.process.send_signal(server.claim.stop_signal)
    for server in running:
        _reap(server.process, deadline)
        for file in server.leftovers:
            file.unlink(missing_ok=True)


def _reap(process: subprocess.Popen[bytes], deadline: float) -> None:
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _keep_last_log(log: Path) -> None:
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    log.touch(0o600)


def _end_orphan(claim: ServerClaim) -> None:
    """Take the lock, stopping who holds it: a child whose parent was killed."""
    steps = ((claim.stop_signal, ORPHAN_SECONDS), (signal.SIGKILL, KILL_SECONDS))
    for stop_signal, seconds in steps:
        if take_lock(claim.lock):
            return
        _signal_orphan(_read_pid(claim.lock), stop_signal)
        if _poll(lambda: take_lock(claim.lock), seconds):
            return
    raise EmbeddedError(f"An earlier {claim.name} still runs on {claim.folder} and does not end.")


def _read_pid(lock: int) -> str:
    return os.pread(lock, 20, 0).decode("ascii", "replace")


def _signal_orphan(pid: str, stop_signal: signal.Signals) -> None:
    if pid.isdecimal():
        with suppress(ProcessLookupError):
            os.kill(int(pid), stop_signal)


def _tie_to_us(claim: ServerClaim) -> Callable[[], None]:
    """What the child does before it becomes the server: note its pid, and end when we end.

    It runs after the change of user, which would undo PR_SET_PDEATHSIG. Where that does not
    exist (macOS) the next start stops the orphan.
    """
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def tie() -> None:
        os.pwrite(claim.lock, str(os.getpid()).encode(), 0)
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, int(claim.stop_signal))
        if os.getppid() != parent:  # the parent died before the line above
            os._exit(1)

    return tie


def _poll(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
