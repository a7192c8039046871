"""Files by URL (SECURITY D20) from a real server by TLS: what comes, and what is told apart."""

import asyncio
import os
import socket

import httpx
import pytest

from app.fetch import (
    MAX_RETRY_AFTER_SECONDS,
    FetchError,
    FetchFailedError,
    FetchRefusedError,
    read_retry_after,
)
from tests.support.broken_answers import content
from tests.support.fake_spark import DROPPED, HANGS, FakeSpark
from tests.support.memory import Memory, mebibytes
from tests.support.patience import patient
from tests.support.remote_files import LIMIT, read, refusal, remote


@pytest.mark.parametrize("case", ["ok", "chunked"])
async def test_a_file_comes_as_it_is(fake: FakeSpark, case: str) -> None:
    url = f"{fake.files_url}/files/{case}/3000000?X-Amz-Signature=a%2Fb%20c&d=e+f,~'(g)"
    assert await read(remote(fake), url, 3_000_000) == content(3_000_000)
    [asked] = await fake.requests()
    assert f"{fake.files_url}{asked['path']}?{asked['query']}" == url
    assert asked["headers"].keys() == {"host", "user-agent", "accept", "accept-encoding"}
    assert asked["headers"]["accept-encoding"] == ["identity"]


TABLE: dict[str, tuple[str, type[FetchError], str]] = {
    "302 to the metadata service": ("redirect/0", FetchRefusedError, "status_302"),
    "gzip": ("gzip/1000", FetchRefusedError, "encoded"),
    "neither length nor chunked": ("no-length/1000", FetchRefusedError, "no_length"),
    "cut short": ("cut/1000", FetchFailedError, "cut_short"),
    "cut short in a chunk": ("cut-chunk/1000", FetchFailedError, "cut_short"),
    "100,000 headers": ("headers/100000", FetchFailedError, "answer_broken"),
    "60 MB announced": ("too-big/1000", FetchRefusedError, "too_large"),
    "chunked without end": ("endless/0", FetchRefusedError, "too_large"),
    **{
        str(status): (f"status/{status}", FetchRefusedError, f"status_{status}")
        for status in (204, 206, 301, 307, 400, 401, 403, 404, 410, 451)
    },
    **{
        str(status): (f"status/{status}", FetchFailedError, f"status_{status}")
        for status in (408, 425, 429, 500, 502, 503, 504)
    },
}


@pytest.mark.parametrize("row", TABLE, ids="D20 {}".format)
async def test_what_is_badly_served_is_told_apart(fake: FakeSpark, row: str) -> None:
    case, kind, code = TABLE[row]
    refused = await refusal(remote(fake), f"{fake.files_url}/files/{case}")
    assert (type(refused), refused.code) == (kind, code)
    assert len(await fake.requests()) == 1  # nothing was followed


async def test_what_is_announced_too_large_is_refused_before_a_byte(fake: FakeSpark) -> None:
    with pytest.raises(FetchRefusedError):
        async with remote(fake).fetch(f"{fake.files_url}/files/ok/1001", 1000):
            pytest.fail("it was opened")


async def test_without_an_announcement_no_more_than_the_limit_is_passed_on(fake: FakeSpark) -> None:
    passed, files = 0, remote(fake)

    async def pass_on() -> None:
        nonlocal passed
        async with files.fetch(f"{fake.files_url}/files/endless/0", LIMIT) as (_, chunks):
            async for chunk in chunks:
                passed += len(chunk)

    with pytest.raises(FetchRefusedError, match="too_large"):
        await pass_on()
    assert LIMIT - 65_536 <= passed <= LIMIT


async def test_a_connection_that_is_cut_before_the_answer_may_be_tried_again(
    fake: FakeSpark,
) -> None:
    await fake.script("/files/ok/10", DROPPED)
    assert (await refusal(remote(fake), f"{fake.files_url}/files/ok/10")).code == "answer_broken"
    assert await read(remote(fake), f"{fake.files_url}/files/ok/10") == content(10)


async def test_nobody_listening_may_be_tried_again(fake: FakeSpark) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        host = f"localhost:{taken.getsockname()[1]}"
    refused = await refusal(remote(fake, spark_storage_domains=(host,)), f"https://{host}/a")
    assert (type(refused), refused.code) == (FetchFailedError, "connect_failed")


async def test_cookies_are_not_kept(fake: FakeSpark) -> None:
    files = remote(fake)
    await refusal(files, f"{fake.files_url}/files/status/404?Set-Cookie=a%3Db")
    await read(files, f"{fake.files_url}/files/ok/1")
    assert all("cookie" not in asked["headers"] for asked in await fake.requests())


async def test_no_proxy_of_the_environment_is_asked(
    fake: FakeSpark, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert await read(remote(fake), f"{fake.files_url}/files/ok/1") == content(1)


async def test_a_file_of_any_size_passes_through_flat_memory(fake: FakeSpark) -> None:
    """Of 200 MB in 16 KB chunks none is kept."""
    size, files = 200_000_000, remote(fake)
    memory = Memory(os.getpid())
    await read(files, f"{fake.files_url}/files/ok/1000")
    at_rest, came = memory.now, 0
    with memory.watch():
        async with files.fetch(f"{fake.files_url}/files/ok/{size}", size) as (_, chunks):
            async for chunk in chunks:
                came += len(chunk)
    assert came == size
    assert mebibytes(memory.peak - at_rest) < 16


# -- the deadline


async def test_a_byte_a_second_ends_at_the_deadline(fake: FakeSpark) -> None:
    began = asyncio.get_running_loop().time()
    refused = await refusal(remote(fake, download_seconds=1.5), f"{fake.files_url}/files/drip/1000")
    assert (type(refused), refused.code) == (FetchFailedError, "timeout")
    assert asyncio.get_running_loop().time() - began < 1.5 + patient(1)


async def test_a_server_that_hangs_ends_at_the_deadline(fake: FakeSpark) -> None:
    await fake.script("/files/ok/10", HANGS)
    refused = await refusal(remote(fake, download_seconds=0.5), f"{fake.files_url}/files/ok/10")
    assert refused.code == "timeout"


async def test_the_deadline_holds_for_whoever_reads(fake: FakeSpark) -> None:
    with pytest.raises(FetchFailedError, match="timeout"):
        async with remote(fake, download_seconds=0.5).fetch(f"{fake.files_url}/files/ok/10", LIMIT):
            await asyncio.Event().wait()


async def test_a_reader_that_runs_out_of_its_own_time_says_so(fake: FakeSpark) -> None:
    async def run_out() -> None:
        async with remote(fake).fetch(f"{fake.files_url}/files/ok/10", LIMIT):
            await asyncio.wait_for(asyncio.Event().wait(), 0.01)

    with pytest.raises(TimeoutError):
        await run_out()


# -- when to come again


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "9" * 5000}, MAX_RETRY_AFTER_SECONDS),
        ({"Retry-After": "86401"}, MAX_RETRY_AFTER_SECONDS),
        (
            {
                "Retry-After": "Sun, 29 Nov 2026 14:30:30 GMT",
                "Date": "Sun, 29 Nov 2026 14:30:00 GMT",
            },
            30,
        ),
        (
            {
                "Retry-After": "Sun, 29 Nov 2020 14:30:30 GMT",
                "Date": "Sun, 29 Nov 2026 14:30:00 GMT",
            },
            0,
        ),
        ({"Retry-After": "Sun, 29 Nov 2026 14:30:30 GMT"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "²"}, None),
        ({"Retry-After": "soon", "Date": "Sun, 29 Nov 2026 14:30:00 GMT"}, None),
        ({}, None),
    ],
)
def test_the_time_to_come_again_is_read(headers: dict[str, str], seconds: float | None) -> None:
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    assert read_retry_after(httpx.Headers(sent)) == seconds


async def test_a_refusal_for_now_says_when_to_come_again(fake: FakeSpark) -> None:
    for status, seconds in ((429, 7.0), (503, 9.0)):
        query = f"Retry-After={seconds:.0f}"
        refused = await refusal(remote(fake), f"{fake.files_url}/files/status/{status}?{query}")
        assert isinstance(refused, FetchFailedError)
        assert refused.retry_after == seconds
