"""Clients that leave, half leave, or hardly arrive (FAULTS M and P153): nothing of them stays."""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import psutil
import pytest

from tests.faults.conftest import Faulty
from tests.support.bodies import Part
from tests.support.homework import Homework, note
from tests.support.patience import patient
from tests.support.stored import eventually

LEAVERS, AT_ONCE = 500, 20
SLOW = 200


@asynccontextmanager
async def plain_socket(faulty: Faulty) -> AsyncIterator[socket.socket]:
    address = urlsplit(faulty.running.url)
    with socket.socket() as client:
        client.setblocking(False)  # noqa: FBT003 - its name is its meaning
        await asyncio.get_running_loop().sock_connect(client, (address.hostname, address.port))
        yield client


async def send(client: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(client, data)


def reset(client: socket.socket) -> None:
    """Not an orderly end: what a crashed sender, or its network, leaves."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


# Where a request is cut: behind these bytes of it, and so many more.
PLACES = {
    "headers": (b"Content-Type: ", 3),
    "metadata": (b'name="metadata"', 30),
    "between": (b'name="file"', 5),
    "file": (b"text/plain\r\n\r\n", 1000),
    "last boundary": (b"", -4),
}


def cut(request: bytes, place: str) -> bytes:
    words, more = PLACES[place]
    return request[:more] if more < 0 else request[: request.index(words) + len(words) + more]


def typed(size: int) -> Part:
    part = note(size)
    return Part(part.name, part.content, part.filename, content_type="text/plain")


async def nothing_runs(faulty: Faulty) -> bool:
    """No upload is pending: the service has noticed that its clients left."""
    rows = "SELECT id FROM spark.uploads WHERE state <> 'committed'"
    return not await faulty.stores.execute(rows)


async def assert_nothing_is_kept(faulty: Faulty, homework: Homework) -> None:
    await eventually(lambda: nothing_runs(faulty))
    rows = await faulty.stores.execute(REVISIONS.format(homework.spark_user_id))
    assert rows == []


REVISIONS = (
    "SELECT r.id FROM spark.submission_revisions r"
    " JOIN lms_integrations l ON l.user_id = r.user_id WHERE l.lms_user_id = '{}'"
)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("metadata_last", [False, True], ids=["", "spooled"])
@pytest.mark.parametrize("row", ["P195"])
async def test_a_reset_leaves_nothing(
    faulty: Faulty, place: str, *, metadata_last: bool, row: str
) -> None:
    homework = await faulty.write([typed(2_000_000)])
    async with plain_socket(faulty) as client:
        await send(client, cut(homework.request_with(metadata_last=metadata_last), place))
        reset(client)
    await assert_nothing_is_kept(faulty, homework)
    assert (await faulty.send(homework)).status_code == 200
    await faulty.assert_invariants()


@pytest.mark.parametrize("row", ["P196"])
async def test_a_connection_half_closed_in_the_body_is_over(faulty: Faulty, row: str) -> None:
    """No answer, or that the body is cut short."""
    homework = await faulty.write([typed(2_000_000)])
    async with plain_socket(faulty) as client:
        await send(client, cut(homework.request, "file"))
        client.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(patient(10)):
            answer = await asyncio.get_running_loop().sock_recv(client, 1000)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    await assert_nothing_is_kept(faulty, homework)
    assert (await faulty.send(homework)).status_code == 200
    await faulty.assert_invariants()


# ---------------------------------------------------------------------------- many


class Held:
    """What is open: tasks, descriptors, and temporary files, which have no name.

    Neither the pools' connections to database and store count, nor the proxies' tasks for them.
    """

    def __init__(self, faulty: Faulty) -> None:
        process = psutil.Process()
        ports = {faulty.database.port, faulty.store.port, *faulty.database.ports_to_server}
        ports |= faulty.store.ports_to_server
        pooled = [
            item
            for item in process.net_connections("tcp")
            if ports & {item.laddr[1], *item.raddr[1:]}
        ]
        self.descriptors = process.num_fds() - len(pooled)
        self.tasks = sum("FaultProxy" not in repr(task) for task in asyncio.all_tasks())
        self.files = sum("(deleted)" in file.path for file in process.open_files())

    def is_no_more_than(self, other: "Held") -> bool:
        return (
            self.tasks <= other.tasks
            and self.descriptors <= other.descriptors
            and self.files <= other.files
        )


@pytest.mark.soak
@pytest.mark.alone
@pytest.mark.parametrize("row", ["P197"])
async def test_five_hundred_that_leave_leave_nothing_open(faulty: Faulty, row: str) -> None:
    """By reset and by an orderly end, at every place, files before and after the metadata."""
    homework = await faulty.write([typed(100_000)])
    requests = [
        cut(homework.request_with(metadata_last=last), place)
        for place in PLACES
        for last in (False, True)
    ]

    async def leave(number: int) -> None:
        async with plain_socket(faulty) as client:
            await send(client, requests[number % len(requests)])
            if number % 3:
                reset(client)

    async def leave_all(count: int) -> None:
        for start in range(0, count, AT_ONCE):
            await asyncio.gather(*map(leave, range(start, start + AT_ONCE)))
        await eventually(lambda: nothing_runs(faulty))

    assert (await faulty.send(await faulty.write())).status_code == 200
    before = Held(faulty)
    await leave_all(LEAVERS)

    async def is_as_before() -> bool:
        return Held(faulty).is_no_more_than(before)

    await eventually(is_as_before)
    began = time.monotonic()
    assert (await faulty.send(homework)).status_code == 200
    assert time.monotonic() - began < patient(2)
    await faulty.assert_invariants()


@pytest.mark.alone
@pytest.mark.parametrize("row", ["P153"])
async def test_two_hundred_slow_connections_stop_nobody(faulty: Faulty, row: str) -> None:
    """A byte of their headers now and then. To close them is the work of the proxy in front."""
    homework = await faulty.write([note(2000)])
    head = homework.request
    slow = [await asyncio.open_connection(*address_of(faulty)) for _ in range(SLOW)]
    try:
        for position in range(3):
            for _, writer in slow:
                writer.write(head[position : position + 1])
            began = time.monotonic()
            again = faulty.write_more(homework.spark_user_id, [note(2000)])
            assert (await faulty.send(again)).status_code == 200
            assert time.monotonic() - began < patient(2)
    finally:
        for _, writer in slow:
            writer.close()
            await writer.wait_closed()
    await faulty.assert_invariants()


def address_of(faulty: Faulty) -> tuple[str, int]:
    address = urlsplit(faulty.running.url)
    return str(address.hostname), address.port or 80
