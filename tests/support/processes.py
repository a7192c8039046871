"""The service as processes of their own, on the run's database and bucket."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from pydantic import SecretStr

from app.settings import Settings
from tests.support.patience import patient

START_SECONDS = patient(60)


def environment(settings: Settings) -> dict[str, str]:
    """The variables that make another process have these settings."""
    return {name.upper(): _text(value) for name, value in settings if value not in (None, ())}


def open_files(pid: int) -> set[str]:
    """What the process has open, files without a name included."""
    targets = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            targets.add(str(link.readlink()))
    return targets


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(_text(item) for item in value)
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


@asynccontextmanager
async def serve_elsewhere(settings: Settings) -> AsyncIterator[str]:
    """The address of a `python -m app serve`, which ends with the context."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "serve", "--port", "0"),
        env=os.environ | environment(settings),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    async with asyncio.timeout(START_SECONDS):
        line = b""
        while not line.startswith(b"Serving on "):
            line = await process.stdout.readline()
    drained = asyncio.create_task(process.stdout.read())  # a full pipe would stop it
    try:
        yield line.decode().removeprefix("Serving on ").strip()
    finally:
        process.terminate()
        await process.wait()
        await drained
