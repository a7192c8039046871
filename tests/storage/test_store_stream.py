"""Streams into a real S3 server: whole and exact, or not at all."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from app.errors import StorageUnavailableError
from app.settings import Settings
from app.storage.bucket import Bucket, open_bucket
from app.storage.part_buffers import PART_BYTES
from app.storage.store_stream import store_stream
from tests.support.bodies import arrive, cut
from tests.support.fault_proxy import throttled
from tests.support.stored import object_keys, read_object, unfinished_keys

MEBIBYTE = 1024 * 1024
PATTERN = bytes(range(251))  # its length divides no part, so that a misplaced part shows


def content_of(size: int) -> bytes:
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


@pytest.fixture
def owner() -> str:
    """A prefix of its own."""
    return str(uuid4())


@pytest.fixture
def key(owner: str) -> str:
    return f"{owner}/{uuid4()}.bin"


async def store(bucket: Bucket, key: str, chunks: AsyncIterator[bytes]) -> None:
    await store_stream(bucket, key, chunks, content_type="text/plain")


SIZES = [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 11 * MEBIBYTE]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("chunk_bytes", [65_521, 12 * MEBIBYTE], ids=["chunks", "at-once"])
async def test_what_was_stored_comes_back_byte_for_byte(
    bucket: Bucket, settings: Settings, key: str, owner: str, size: int, chunk_bytes: int
) -> None:
    content = content_of(size)
    await store(bucket, key, arrive(cut(content, chunk_bytes)))
    assert await read_object(settings, key) == content
    assert await unfinished_keys(settings, owner) == []


@pytest.mark.parametrize("sent", [0, 1, PART_BYTES, 11 * MEBIBYTE])
async def test_a_source_that_fails_leaves_nothing(
    bucket: Bucket, settings: Settings, key: str, owner: str, sent: int
) -> None:
    with pytest.raises(ConnectionError):
        await store(bucket, key, arrive(cut(content_of(sent), MEBIBYTE), ConnectionError()))
    assert await unfinished_keys(settings, owner) == []
    assert await object_keys(settings, owner) == []


async def test_a_cancelled_stream_leaves_nothing(
    bucket: Bucket, settings: Settings, key: str, owner: str
) -> None:
    sent = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield content_of(11 * MEBIBYTE)
        sent.set()
        await asyncio.Event().wait()

    storing = asyncio.create_task(store(bucket, key, stuck()))
    await sent.wait()
    assert await unfinished_keys(settings, owner) == [key]
    storing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await storing
    assert await unfinished_keys(settings, owner) == []
    assert await object_keys(settings, owner) == []


@pytest.mark.soak
async def test_no_more_than_10_mb_that_arrived_have_not_left_for_a_slow_store(
    settings: Settings, key: str
) -> None:
    assert settings.s3_endpoint_url
    held = []
    with throttled(settings.s3_endpoint_url, bytes_per_second=40_000_000) as door:

        async def fast() -> AsyncIterator[bytes]:
            for arrived in range(0, 40 * MEBIBYTE, 65_536):
                held.append(arrived - door.passed_bytes - on_the_way(door.port))
                yield bytes(65_536)

        there = {"s3_endpoint_url": door.url}
        async with open_bucket(settings.model_copy(update=there)) as bucket:
            await store(bucket, key, fast())
    assert 5_000_000 < max(held) <= 10_000_000
    assert len(await read_object(settings, key)) == 40 * MEBIBYTE


def on_the_way(port: int) -> int:
    """Bytes that the kernel holds for this server's port, at both ends."""
    found = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, queues, *_ = line.split()
        sent, unread = (int(queue, 16) for queue in queues.split(":"))
        if state == "01":  # established
            found += sent * remote.endswith(f":{port:04X}") + unread * local.endswith(
                f":{port:04X}"
            )
    return found


async def test_a_part_is_sent_again_as_a_whole_and_with_unsigned_content(
    settings: Settings, key: str
) -> None:
    heads, bodies = [], []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).lower())
        bodies.append(await reader.readexactly(len(PATTERN) * 1000))
        status = b"503 Busy" if len(heads) == 1 else b"200 OK"
        writer.write(b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as busy:
        port = busy.sockets[0].getsockname()[1]
        there = {"s3_endpoint_url": f"http://127.0.0.1:{port}"}
        async with open_bucket(settings.model_copy(update=there)) as bucket:
            await store(bucket, key, arrive([PATTERN * 1000]))
    assert bodies == [PATTERN * 1000] * 2
    assert all(b"\r\nx-amz-content-sha256: unsigned-payload\r\n" in head for head in heads)


async def test_many_streams_at_once_do_not_mix(
    bucket: Bucket, settings: Settings, owner: str
) -> None:
    contents = {f"{owner}/{n}.bin": bytes([n]) * (6 * MEBIBYTE + n) for n in range(6)}
    await asyncio.gather(
        *(store(bucket, key, arrive(cut(body, MEBIBYTE))) for key, body in contents.items())
    )
    for key, body in contents.items():
        assert await read_object(settings, key) == body


async def test_a_link_downloads_under_the_given_name_and_type(
    bucket: Bucket, browser: httpx.AsyncClient, key: str
) -> None:
    await store(bucket, key, arrive([b"calm\n"]))
    link, _ = link_to(bucket, key, datetime.now(tz=UTC), filename='Übung "1".txt')
    answer = await browser.get(link)
    assert (answer.status_code, answer.content) == (200, b"calm\n")
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"Ubung _1_.txt\"; filename*=UTF-8''%C3%9Cbung%20%221%22.txt"
    )
    assert answer.headers["cache-control"] == "private, max-age=300"


def link_to(
    bucket: Bucket, key: str, now: datetime, *, filename: str = "a.txt"
) -> tuple[str, datetime]:
    place = bucket.pointers.place(key)
    return bucket.links.sign(place, now, content_type="text/plain", filename=filename)


async def test_a_link_is_the_same_for_two_minutes_and_lives_for_three_more(
    settings: Settings, bucket: Bucket, key: str
) -> None:
    """Of another process, too: whoever has the file need not load it again."""
    begin = datetime(2026, 11, 30, 12, 2, tzinfo=UTC)
    first, until = link_to(bucket, key, begin)
    async with open_bucket(settings) as another:
        assert link_to(another, key, begin + timedelta(seconds=119.9)) == (first, until)
    assert until == begin + timedelta(minutes=5)
    later, _ = link_to(bucket, key, begin + timedelta(seconds=120))
    assert later != first
    assert link_to(bucket, key, begin, filename="b.txt")[0] != first


async def test_a_link_is_good_for_one_object(
    bucket: Bucket, browser: httpx.AsyncClient, key: str
) -> None:
    await store(bucket, key, arrive([b"calm\n"]))
    link, _ = link_to(bucket, key, datetime.now(tz=UTC))
    answer = await browser.get(link.replace(key, f"{key[:-4]}.txt"))
    assert answer.status_code == 403


async def test_a_deleted_object_is_gone_and_may_be_deleted_again(
    bucket: Bucket, settings: Settings, key: str, owner: str
) -> None:
    await store(bucket, key, arrive([b"calm\n"]))
    for _ in range(2):
        await bucket.delete(key)
        assert await object_keys(settings, owner) == []


async def test_deleting_a_key_ends_its_unfinished_uploads(
    bucket: Bucket, settings: Settings, key: str, owner: str
) -> None:
    await bucket.create_upload(key, content_type="text/plain")
    assert await unfinished_keys(settings, owner) == [key]
    await bucket.delete(key)
    assert await unfinished_keys(settings, owner) == []


async def test_p179_a_store_that_is_not_there_is_unavailable(
    settings: Settings, unused_tcp_port: int, key: str
) -> None:
    nowhere = {"s3_endpoint_url": f"http://127.0.0.1:{unused_tcp_port}"}
    async with open_bucket(settings.model_copy(update=nowhere)) as bucket:
        with pytest.raises(StorageUnavailableError):
            await store(bucket, key, arrive([b"calm\n"]))


async def test_p184_a_store_that_refuses_our_key_is_unavailable(
    settings: Settings, key: str
) -> None:
    wrong = {"aws_secret_access_key": SecretStr("wrong")}
    async with open_bucket(settings.model_copy(update=wrong)) as bucket:
        with pytest.raises(StorageUnavailableError):
            await store(bucket, key, arrive([b"calm\n"]))


async def test_p180_a_store_that_never_answers_is_unavailable(settings: Settings) -> None:
    """The call with the shortest deadline; all calls have theirs from the same place."""
    gone = asyncio.Event()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        there = {"s3_endpoint_url": f"http://127.0.0.1:{port}"}
        async with open_bucket(settings.model_copy(update=there)) as bucket:
            with pytest.raises(StorageUnavailableError):
                await bucket.ping()
        gone.set()
