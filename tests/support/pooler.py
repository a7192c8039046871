"""A pooler in front of a database: pgbouncer, where it is installed."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest
from pydantic import SecretStr
from sqlalchemy.engine import URL, make_url

from app.settings import Settings
from tests.support.ports import free_port

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
Mode = Literal["transaction", "session"]

needs_pgbouncer = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")


@asynccontextmanager
async def run_pooler(
    settings: Settings, mode: Mode = "transaction", *, reset: str = "DISCARD ALL", size: int = 4
) -> AsyncIterator[SecretStr]:
    """The address of the settings' database, through it: `size` connections to the server, and
    `reset` is what it says to one that ends a session.
    """
    assert settings.database_url
    database = make_url(settings.database_url.get_secret_value())
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="spark-pgbouncer-") as folder:
        configuration = _configure(Path(folder), database, port, mode, reset, size)
        as_nobody = ["-u", "nobody"] if os.geteuid() == 0 else []
        pgbouncer = await asyncio.create_subprocess_exec(
            *(str(PGBOUNCER), *as_nobody, str(configuration)),
            stderr=asyncio.subprocess.PIPE,
        )
        assert pgbouncer.stderr
        while b"process up" not in (line := await pgbouncer.stderr.readline()):
            assert line, "pgbouncer did not start"
        through = database.set(host="127.0.0.1", port=port)
        yield SecretStr(through.render_as_string(hide_password=False))
        pgbouncer.terminate()
        await pgbouncer.communicate()


def _configure(folder: Path, database: URL, port: int, mode: Mode, reset: str, size: int) -> Path:
    """Few server connections, so that clients really share them."""
    users = folder / "users.txt"
    users.write_text(f'"{database.username}" "{database.password}"\n')
    file = folder / "pgbouncer.ini"
    file.write_text(
        f"""[databases]
{database.database} = host={database.host} port={database.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = {mode}
server_reset_query = {reset}
default_pool_size = {size}
"""
    )
    for path in (folder, users, file):
        path.chmod(0o755)
    return file
