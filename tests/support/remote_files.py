"""Fetching from the fake Spark, which is on loopback and has an authority of its own."""

from functools import cache
from ipaddress import ip_network
from typing import Any

import pytest

from app.fetch import FetchError, RemoteFiles
from app.settings import Settings
from tests.support.fake_spark import FakeSpark
from tests.support.patience import patient

LOOPBACK = tuple(ip_network(each) for each in ("127.0.0.0/8", "::1/128"))
LIMIT = 50 * 1024 * 1024


@cache  # certificates take a while to read
def remote(fake: FakeSpark, **changes: Any) -> RemoteFiles:
    """What may fetch from it, and nothing else."""
    own = {
        "spark_storage_domains": (fake.files_url.removeprefix("https://"),),
        "spark_storage_networks": LOOPBACK,
        "spark_storage_ca_file": str(fake.ca_file),
        "download_seconds": patient(30),
    }
    return RemoteFiles(Settings(_env_file=None).model_copy(update=own | changes))


async def read(files: RemoteFiles, url: str, limit: int = LIMIT) -> bytes:
    async with files.fetch(url, limit) as (_, chunks):
        return b"".join([chunk async for chunk in chunks])


async def refusal(files: RemoteFiles, url: str, limit: int = LIMIT) -> FetchError:
    with pytest.raises(FetchError) as raised:
        await read(files, url, limit)
    return raised.value
