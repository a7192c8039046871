"""The data folder of Postgres: made whole or not at all, its version checked, its password set.

Every command runs as the place's user. The password goes in through standard input only, and
no file keeps it but `secrets.env`; a digest tells whether the data already has it.
"""

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from app.embedded.folder import EmbeddedError
from app.embedded.place import SETTLE, PostgresPlace
from app.embedded.supervise import ServerClaim, SystemUser

SUPERUSER = "optio"  # not "spark": a schema of the role's own name comes before public
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC"}
SECONDS = 120
INITDB = (
    f"--username={SUPERUSER}",
    "--auth-local=reject",
    "--auth-host=scram-sha-256",
    "--encoding=UTF8",
    "--no-locale",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)


@dataclass(frozen=True)
class Binaries:
    """Postgres's own commands, run as its user; they hold the claim while they run."""

    folder: Path
    user: SystemUser
    claim: ServerClaim

    def are_allowed(self) -> bool:
        try:
            self.run("postgres", "-V")
        except PermissionError:
            return False
        return True

    def run(self, name: str, *options: str | Path, text: str = "") -> str:
        """What the command printed. Raises EmbeddedError with its last line if it fails."""
        try:
            done = subprocess.run(  # noqa: S603 - the commands are ours
                [self.folder / name, *options],
                input=text,
                text=True,
                check=False,
                capture_output=True,
                timeout=SECONDS,
                cwd="/",
                env=ENVIRONMENT,
                umask=0o077,
                pass_fds=(self.claim.lock,),
                **self.user.options,
            )
        except subprocess.TimeoutExpired as error:
            raise EmbeddedError(f"{name} did not end within {SECONDS} s: {SETTLE}.") from error
        if done.returncode != 0:
            words = done.stderr.strip().splitlines() or [f"code {done.returncode}"]
            raise EmbeddedError(f"{self.folder / name} failed ({words[-1]}): {SETTLE}.")
        printed: str = done.stdout
        return printed


def prepare_data(
    place: PostgresPlace, binaries: Binaries, *, password: str, digest_file: Path
) -> None:
    """Leave a data folder of this version whose superuser has this password."""
    if place.data.exists():
        _check_version(place, binaries)
    else:
        digest_file.unlink(missing_ok=True)
        _make_data(place, binaries)
    digest = hashlib.sha256(password.encode()).hexdigest()
    if not digest_file.exists() or digest_file.read_text() != digest:
        _set_password(place, binaries, password)
        digest_file.touch(0o600)
        digest_file.write_text(digest)


def _make_data(place: PostgresPlace, binaries: Binaries) -> None:
    """Built under another name: `data` exists only when it is complete."""
    draft = place.home / "data.new"
    shutil.rmtree(draft, ignore_errors=True)
    binaries.run("initdb", "-D", draft, *INITDB)
    draft.rename(place.data)


def _set_password(place: PostgresPlace, binaries: Binaries, password: str) -> None:
    quoted = password.replace("'", "''")
    binaries.run(
        *("postgres", "--single", "-D", place.data, "-c", "exit_on_error=on", "postgres"),
        text=f"ALTER ROLE {SUPERUSER} PASSWORD '{quoted}'\n",
    )


def _check_version(place: PostgresPlace, binaries: Binaries) -> None:
    made_by = (place.data / "PG_VERSION").read_text().strip()
    version = binaries.run("postgres", "-V").split()[-1]
    if version.partition(".")[0] != made_by:
        raise EmbeddedError(
            f"The database in {place.data} was made by PostgreSQL {made_by} and {version} cannot "
            f"open it: move the folder away to begin anew, or {SETTLE}."
        )
