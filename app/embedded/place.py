"""Where Postgres keeps its data and as whom it runs: it refuses to run as root.

As an ordinary user: beside everything else. As root: as `nobody`, and where nobody cannot reach
the project, in a folder of the system's that survives a reboot. Data once made is never left
behind for a new, empty place.
"""

import hashlib
import os
import pwd
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from app.embedded.folder import PRIVATE, EmbeddedError
from app.embedded.supervise import SystemUser

UNPRIVILEGED = "nobody"
PERSISTENT_TEMP = Path("/var/tmp")  # noqa: S108 - ours, checked in _make_home
SETTLE = "set DATABASE_URL instead"


@dataclass(frozen=True)
class PostgresPlace:
    """`home` is private to the user, `data` lies inside; `reason` ends the start line."""

    home: Path
    user: SystemUser
    reason: str = ""

    @property
    def data(self) -> Path:
        return self.home / "data"


def find_place(folder: Path) -> PostgresPlace:
    place = _place_for_root(folder) if os.geteuid() == 0 else _place_for_user(folder)
    _make_home(place)
    return place


def _place_for_user(folder: Path) -> PostgresPlace:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError as error:
        raise EmbeddedError(
            f"User {os.geteuid()} has no entry in the system's user list, "
            f"so PostgreSQL cannot run as it: {SETTLE}."
        ) from error
    return PostgresPlace(folder / "postgres", SystemUser())


def _place_for_root(folder: Path) -> PostgresPlace:
    user = _unprivileged_user()
    inside = PostgresPlace(folder / "postgres", user)
    reason = f" (user {UNPRIVILEGED}, as whom it runs, cannot reach {folder})"
    outside = PostgresPlace(_outside(folder), user, reason)
    if outside.data.exists():
        return outside
    if _can_enter(folder, user):
        return inside
    if inside.data.exists():
        raise EmbeddedError(
            f"User {UNPRIVILEGED} can no longer reach the database in {inside.home}: "
            f"let it pass through the folders above, or {SETTLE}."
        )
    return outside


def _unprivileged_user() -> SystemUser:
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError as error:
        raise EmbeddedError(
            f"PostgreSQL does not run as root and there is no user {UNPRIVILEGED}: {SETTLE}."
        ) from error
    return SystemUser(entry.pw_uid, entry.pw_gid)


def _outside(folder: Path) -> Path:
    base = PERSISTENT_TEMP if PERSISTENT_TEMP.is_dir() else Path(tempfile.gettempdir())
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
    return base / f"spark-embedded-{digest[:16]}"


def _can_enter(folder: Path, user: SystemUser) -> bool:
    """By trial, because modes alone do not tell (access lists, other file systems)."""
    try:
        trial = subprocess.run(  # noqa: S603 - fixed text; the folder is an argument
            ["/bin/sh", "-c", 'cd -- "$1"', "sh", folder],
            check=False,
            capture_output=True,
            cwd="/",
            **user.options,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedError(
            f"This root may not start processes as {UNPRIVILEGED}: {SETTLE}."
        ) from error
    return trial.returncode == 0


def _make_home(place: PostgresPlace) -> None:
    """Anyone may make folders in the system's temp folder: what stands there must be ours."""
    place.home.mkdir(mode=PRIVATE, exist_ok=True)
    found = place.home.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), place.user.uid):
        raise EmbeddedError(f"{place.home} was made by someone else: remove it, or {SETTLE}.")
    if place.user.uid is not None and place.user.gid is not None:
        os.chown(place.home, place.user.uid, place.user.gid, follow_symlinks=False)
    place.home.chmod(PRIVATE)
