"""The real clamd, with a signature of its own, does what the fake one does (FAULTS P148)."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import FileRejectedError
from app.files.scan_file import Scanner
from tests.support.fake_clamd import EICAR
from tests.support.patience import patient

CLAMD = shutil.which("clamd", path=f"{os.environ['PATH']}:/usr/sbin")
LIMIT = 1024 * 1024
CHUNK = 65_536

pytestmark = pytest.mark.skipif(CLAMD is None, reason="no clamd here (apt: clamav-daemon)")


@pytest.fixture(scope="module")
async def clamd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Its address. The signature is of the whole test file at any place (offset *)."""
    folder = tmp_path_factory.mktemp("clamd")
    database = folder / "signatures"
    database.mkdir()
    (database / "own.ndb").write_text(f"Eicar-Own:0:*:{EICAR.hex()}\n")
    socket = folder / "clamd.ctl"
    lines = {
        "DatabaseDirectory": database,
        "LocalSocket": socket,
        "TemporaryDirectory": folder,
        "StreamMaxLength": LIMIT,
        "Foreground": "yes",
    }
    if os.getuid() == 0:
        lines["User"] = "root"
    configuration = folder / "clamd.conf"
    configuration.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
    process = await asyncio.create_subprocess_exec(
        str(CLAMD), f"--config-file={configuration}", stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await asyncio.to_thread(_wait_for, socket)
        yield f"unix://{socket}"
    finally:
        process.terminate()
        await process.wait()


def _wait_for(socket: Path) -> None:
    until = time.monotonic() + patient(30)
    while not socket.exists():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("size", [1, 67, CHUNK], ids="P148-chunks-of-{}".format)
async def test_it_finds_the_test_file_however_it_comes(clamd: str, size: int) -> None:
    scanner = Scanner(clamd, required=True)
    for content, is_bad in ((b"calm\n" * 40, False), (b"calm\n" * 40 + EICAR, True)):
        found = False
        async with scanner.scan() as scan:
            for start in range(0, len(content), size):
                await scan.feed(content[start : start + size])
            try:
                await scan.end()
            except FileRejectedError:
                found = True
        assert (found, scan.failure) == (is_bad, None)


@pytest.mark.parametrize("more", [0, 1, 64 * LIMIT], ids="P148-beyond-by-{}".format)
async def test_beyond_its_limit_it_says_so_and_leaves(clamd: str, more: int) -> None:
    async with Scanner(clamd, required=False).scan() as scan:
        left = LIMIT + more
        while left > 0:
            await scan.feed(bytes(min(left, CHUNK)))
            left -= CHUNK
        await scan.end()
    assert scan.failure == ("too_large" if more else None)
