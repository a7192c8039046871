"""Behind a pooler in transaction mode, where each transaction may get another connection."""

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy.engine import URL, make_url

from app.settings import Settings
from tests.support.elsewhere import run_elsewhere
from tests.support.spark import Assignment, submission

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
STUDENTS = 20


def _configure(folder: Path, database: URL, port: int) -> Path:
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
pool_mode = transaction
default_pool_size = 4
"""
    )
    for path in (folder, users, file):
        path.chmod(0o755)
    return file


@pytest.fixture
async def pooled(settings: Settings) -> AsyncIterator[SecretStr]:
    """The address of the run's database, through pgbouncer."""
    assert settings.database_url
    database = make_url(settings.database_url.get_secret_value())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="spark-pgbouncer-") as folder:
        as_nobody = ["-u", "nobody"] if os.geteuid() == 0 else []
        pgbouncer = await asyncio.create_subprocess_exec(
            *(str(PGBOUNCER), *as_nobody, str(_configure(Path(folder), database, port))),
            stderr=asyncio.subprocess.PIPE,
        )
        assert pgbouncer.stderr
        while b"process up" not in (line := await pgbouncer.stderr.readline()):
            assert line, "pgbouncer did not start"
        through = database.set(host="127.0.0.1", port=port)
        yield SecretStr(through.render_as_string(hide_password=False))
        pgbouncer.terminate()
        await pgbouncer.communicate()


@pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
async def test_twenty_students_at_once_share_four_connections(
    settings: Settings, pooled: SecretStr, assignment: Assignment
) -> None:
    """P177"""
    changes = {"database_url": pooled, "database_transaction_pooler": True}
    async with run_elsewhere(settings, **changes) as elsewhere:
        spark = elsewhere.spark
        students = await asyncio.gather(*(spark.sign_in() for _ in range(STUDENTS)))
        for _ in range(2):
            answers = await asyncio.gather(
                *(spark.submit(submission(student, assignment)) for student in students)
            )
            assert {answer.status_code for answer in answers} == {200}
