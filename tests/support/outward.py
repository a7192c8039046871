"""A service that calls the fake Spark and fetches its files; workers as processes of their own."""

import asyncio
import os
import secrets
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_network
from typing import Any

from pydantic import SecretStr

from app.settings import Settings
from tests.support.canaries import CANARIES
from tests.support.fake_spark import FakeSpark, run_fake_spark
from tests.support.processes import environment

MANY = 100_000  # calls a minute


@asynccontextmanager
async def run_outward(settings: Settings) -> AsyncIterator[tuple[Settings, FakeSpark]]:
    """The settings of a service that calls it. It knows the key; nobody may log it."""
    key, secret = secrets.token_hex(32), secrets.token_hex(32)
    CANARIES.release(key, secret)
    async with run_fake_spark(key, secret) as fake:
        await fake.change(per_minute=MANY)
        changes: dict[str, Any] = {
            "spark_api_url": fake.url,
            "spark_api_key": SecretStr(key),
            "spark_outbound_secret": SecretStr(secret),
            "spark_api_per_minute": MANY,
            "spark_receipts": True,
            "spark_storage_domains": (fake.files_url.removeprefix("https://"),),
            "spark_storage_networks": (ip_network("127.0.0.0/8"),),
            "spark_storage_ca_file": str(fake.ca_file),
        }
        yield settings.model_copy(update=changes), fake


@asynccontextmanager
async def worker_elsewhere(
    settings: Settings, *before: str, only: str | None = None
) -> AsyncIterator[Process]:
    """A `python -m app worker`, killed at the end; `before` is what runs it, as strace."""
    command: Sequence[str] = (*before, sys.executable, "-m", "app", "worker")
    command = (*command, "--only", only) if only else command
    variables = os.environ | environment(settings)
    process = await asyncio.create_subprocess_exec(
        *command, env=variables, stdout=DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
