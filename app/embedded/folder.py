"""The folder that keeps everything: made private, used by its owner only, held by one process.

Knows nothing of what lies inside. Changes the permissions of no folder that it did not make.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE = 0o700
PASSABLE = 0o711  # the unprivileged user must get through, and still cannot list it


class EmbeddedError(Exception):
    """One sentence for the person who started the process."""


def make_folder(folder: Path) -> None:
    """Make `folder` if it is missing; refuse one of another user, whose files we would mix with."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not folder.exists():
            _make_own(folder)
        owner = folder.stat().st_uid
    except OSError as error:
        raise EmbeddedError(f"{folder} cannot be made: {error.strerror}.") from error
    if owner != os.geteuid():
        raise EmbeddedError(
            f"{folder} belongs to user {owner}: start as that user or move it away."
        )


def _make_own(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    folder.chmod(PASSABLE if os.geteuid() == 0 else PRIVATE)


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Keep every other process from starting servers here. The kernel lets go if we are killed."""
    make_folder(folder)
    with open_lock(folder / "lock") as lock:
        if not take_lock(lock):
            raise EmbeddedError(
                f"Servers already run on {folder}: stop the process that holds them."
            )
        yield


@contextmanager
def open_lock(file: Path) -> Iterator[int]:
    try:
        lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EmbeddedError(f"{file} cannot be opened: {error.strerror}.") from error
    try:
        yield lock
    finally:
        os.close(lock)


def is_held(file: Path) -> bool:
    """Whether another process has the lock on it."""
    if not file.exists():
        return False
    with open_lock(file) as lock:
        return not take_lock(lock)


def take_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
