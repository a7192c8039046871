"""The secrets of one checkout: made at the first call, kept in `secrets.env`, never replaced.

Whether the environment wins over the file is the caller's business. Processes that call at once
agree: the file is read and written under a lock, and replaced in one step.
"""

import fcntl
import os
import secrets
from pathlib import Path

from app.embedded.folder import EmbeddedError, make_folder, open_lock

POSTGRES_PASSWORD = "EMBEDDED_POSTGRES_PASSWORD"  # noqa: S105 - a name  # nosec
NAMES = (
    "SPARK_SSO_SECRET",
    "SPARK_WEBHOOK_SECRET",
    "JWT_SECRET_KEY",
    "INTERNAL_API_KEYS",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    POSTGRES_PASSWORD,
)
SECRET_BYTES = 32
HEADER = "# Made for this checkout at the first start. Keep it private; the data needs it.\n"


def local_secrets(folder: Path) -> dict[str, str]:
    """Every name of NAMES with its secret; names missing in the file are added to it."""
    make_folder(folder)
    file = folder / "secrets.env"
    try:
        with open_lock(folder / "secrets.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return _complete(file)
    except OSError as error:
        raise EmbeddedError(f"{file} cannot be kept: {error.strerror}.") from error


def _complete(file: Path) -> dict[str, str]:
    text = file.read_text() if file.exists() else HEADER
    kept = _parse(text)
    missing = {name: secrets.token_hex(SECRET_BYTES) for name in NAMES if not kept.get(name)}
    if missing:
        _replace(file, _with_lines(text, missing))
    file.chmod(0o600)
    return {name: (kept | missing)[name] for name in NAMES}


def _parse(text: str) -> dict[str, str]:
    """NAME=value lines; the last of a name counts, quotes around a value do not."""
    pairs = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


def _with_lines(text: str, added: dict[str, str]) -> str:
    start = text if text.endswith("\n") or not text else f"{text}\n"
    return start + "".join(f"{name}={value}\n" for name, value in added.items())


def _replace(file: Path, text: str) -> None:
    draft = file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
