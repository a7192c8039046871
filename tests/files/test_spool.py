"""Files that wait on disk for their metadata, and the quota for all of them."""

import asyncio
import os
import resource
import tempfile
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from app.errors import OverloadedError
from app.files.multipart import FormPart, MultipartLimits, read_parts
from app.files.spool import READ_BYTES, Spool, SpoolShare
from app.files.waiting_room import Stay
from tests.support.bodies import BOUNDARY, Part, arrive, cut, form

LIMITS = MultipartLimits(*[1 << 40] * 6)


@asynccontextmanager
async def arriving(content: bytes, fault: Exception | None = None) -> AsyncIterator[FormPart]:
    """A file on its way; with a fault it breaks off after half of its body."""
    body = form(Part("file1", content, filename="a.txt", content_type="text/plain"))
    chunks = cut(body[: len(body) // 2] if fault else body, 4096)
    async with aclosing(
        read_parts(arrive(chunks, fault), boundary=BOUNDARY, limits=LIMITS)
    ) as all_:
        yield await anext(all_)


def stay() -> Stay:
    """Of a form that nobody ends."""
    return Stay("192.0.2.1", lambda: 0, asyncio.timeout(None))


async def fill(share: SpoolShare, size: int) -> None:
    async with arriving(b"a" * size) as part:
        await share.keep(part)


async def test_a_kept_part_reads_like_the_part_it_was() -> None:
    content = b"calm\n" * READ_BYTES
    with Spool(len(content)).open(stay()) as share:
        async with arriving(content) as part:
            kept = await share.keep(part)
        assert (kept.name, kept.filename, kept.content_type) == ("file1", "a.txt", "text/plain")
        assert b"".join([chunk async for chunk in kept]) == content


async def test_a_kept_part_can_be_read_twice() -> None:
    with Spool(100).open(stay()) as share:
        async with arriving(b"calm\n") as part:
            kept = await share.keep(part)
        assert [chunk async for chunk in kept] == [chunk async for chunk in kept] == [b"calm\n"]


async def test_several_parts_are_kept_apart() -> None:
    with Spool(100).open(stay()) as share:
        kept = []
        for content in (b"one", b"two"):
            async with arriving(content) as part:
                kept.append(await share.keep(part))
        assert [[chunk async for chunk in part] for part in kept] == [[b"one"], [b"two"]]


async def test_the_quota_may_be_used_to_its_last_byte() -> None:
    with Spool(10_000).open(stay()) as share:
        await fill(share, 10_000)


async def test_a_byte_more_than_the_quota_is_refused() -> None:
    with Spool(10_000).open(stay()) as share, pytest.raises(OverloadedError):
        await fill(share, 10_001)


async def test_all_requests_share_the_quota() -> None:
    spool = Spool(10_000)
    with spool.open(stay()) as first, spool.open(stay()) as second:
        await fill(first, 6_000)
        with pytest.raises(OverloadedError):
            await fill(second, 6_000)


async def test_a_request_that_ended_gives_its_disk_back() -> None:
    spool = Spool(10_000)
    for _ in range(3):
        with spool.open(stay()) as share:
            await fill(share, 10_000)


async def test_a_request_that_was_refused_gives_its_disk_back() -> None:
    spool = Spool(10_000)
    with pytest.raises(OverloadedError), spool.open(stay()) as share:
        await fill(share, 10_001)
    with spool.open(stay()) as share:
        await fill(share, 10_000)


async def test_a_request_that_broke_off_gives_its_disk_back() -> None:
    spool = Spool(10_000)
    with pytest.raises(ConnectionError), spool.open(stay()) as share:
        async with arriving(b"a" * 10_000, ConnectionError()) as part:
            await share.keep(part)
    with spool.open(stay()) as share:
        await fill(share, 10_000)


async def test_a_kept_part_has_no_name_on_disk_that_a_crash_could_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Spool(10_000).open(stay()) as share:
        await fill(share, 10_000)
        assert os.listdir(tmp_path) == []  # noqa: PTH208 - pathlib's is called blocking here


async def test_a_closed_share_has_closed_its_files() -> None:
    with Spool(100).open(stay()) as share:
        async with arriving(b"calm\n") as part:
            kept = await share.keep(part)
    assert kept.file.closed


@pytest.mark.parametrize("size", [3_000, 200_000], ids="P266-{}".format)
async def test_a_full_disk_is_an_overload_and_takes_no_quota_with_it(size: int) -> None:
    """A limit on the size of files refuses the bytes as a full disk does."""
    spool = Spool(300_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for _ in range(3):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
        try:
            with pytest.raises(OverloadedError), spool.open(stay()) as share:
                await fill(share, size)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with spool.open(stay()) as share:
        await fill(share, 300_000)
