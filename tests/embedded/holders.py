"""Starts and watches `hold_servers.py`, and talks to the servers it holds."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import aioboto3
import psutil
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.support.patience import patient

PROJECT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("hold_servers.py")
S3 = aioboto3.Session()  # it keeps what a client takes long to load
BUCKET = "kept-files"


class Holder:
    """One process that holds servers: its variables, and every process it started."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        self.variables: dict[str, str] = json.loads(line)
        self.servers = psutil.Process(process.pid).children(recursive=True)

    def end(self, number: signal.Signals | None = None) -> str:
        """By signal, or as at the end of its work; what it wrote to standard error."""
        if number is not None:
            self.process.send_signal(number)
        return self.process.communicate(timeout=patient(20))[1]

    def running(self) -> list[psutil.Process]:
        return [server for server in self.servers if _is_alive(server)]

    def sockets(self) -> list[Path]:
        """What SeaweedFS has in the temporary folder."""
        first = int(self.variables.get("S3_ENDPOINT_URL", ":0").rpartition(":")[2])
        files = (Path("/tmp").glob(f"seaweedfs-*-{first + n}.sock") for n in range(10))  # noqa: S108
        return [file for some in files for file in some]

    def wait_until_gone(self) -> None:
        wait_until(lambda: not self.running())


class Holders:
    """Kills at its end whatever still runs."""

    def __init__(self) -> None:
        self._started: list[Holder] = []

    def __enter__(self) -> Self:
        return self

    def start(self, folder: Path, *options: str, path: Path = PROJECT) -> Holder:
        holder = Holder(open_holder(folder, *options, path=path))
        self._started.append(holder)
        return holder

    def __exit__(self, *_: object) -> None:
        for holder in self._started:
            if holder.process.poll() is None:
                holder.end()
            for server in holder.running():
                server.kill()
            for socket in holder.sockets():
                socket.unlink()


def _is_alive(server: psutil.Process) -> bool:
    """A zombie has ended; only its new parent has not looked yet."""
    try:
        return server.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def open_holder(
    folder: Path, *options: str, path: Path = PROJECT, interpreter: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, *interpreter, SCRIPT, folder, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join({str(path): 1, str(PROJECT): 1})},
    )


def refusal(folder: Path, *options: str, interpreter: tuple[str, ...] = ()) -> str:
    """What a start says that must fail."""
    process = open_holder(folder, *options, interpreter=interpreter)
    errors = process.communicate(timeout=patient(30))[1]
    assert process.returncode == 1, errors
    return errors


def is_one_sentence(words: str) -> bool:
    return words.count("\n") == 1 and words.endswith(".\n") and "Traceback" not in words


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + patient(seconds)
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


async def add_row(variables: Mapping[str, str]) -> int:
    """Adds a row to a table of its own; how many there are now."""
    engine = create_async_engine(variables["DATABASE_URL"])
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE IF NOT EXISTS kept (at timestamptz)"))
        await connection.execute(text("INSERT INTO kept VALUES (now())"))
        rows = await connection.scalar(text("SELECT count(*) FROM kept"))
    await engine.dispose()
    return int(rows or 0)


async def add_object(variables: Mapping[str, str]) -> int:
    """Adds an object to a bucket of its own; how many there are now."""
    client = S3.client(
        "s3",
        endpoint_url=variables["S3_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )
    async with client as s3:
        if not (await s3.list_buckets())["Buckets"]:
            await s3.create_bucket(Bucket=BUCKET)
        await s3.put_object(Bucket=BUCKET, Key=str(time.time_ns()), Body=bytes(6_000_000))
        found = (await s3.list_objects_v2(Bucket=BUCKET))["Contents"]
        for item in found:
            body = (await s3.get_object(Bucket=BUCKET, Key=item["Key"]))["Body"]
            assert len(await body.read()) == 6_000_000
    return len(found)
