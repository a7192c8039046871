"""Starting, stopping, killing: nothing is lost and nothing is left behind."""

import signal
import socket
import time
from pathlib import Path

import psutil
import pytest
from sqlalchemy import make_url

from tests.embedded.holders import Holder, Holders, add_object, add_row, is_one_sentence, refusal
from tests.support.patience import patient

TIED = psutil.LINUX


async def test_rows_objects_and_addresses_are_kept_over_a_restart(
    holders: Holders, held: Holder, folder: Path
) -> None:
    assert (await add_row(held.variables), await add_object(held.variables)) == (1, 1)
    held.end()
    again = holders.start(folder)
    assert again.variables == held.variables
    assert (await add_row(again.variables), await add_object(again.variables)) == (2, 2)


@pytest.mark.alone
@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.soak),
        signal.SIGTERM,
        pytest.param(None, marks=pytest.mark.soak),
    ],
)
def test_every_end_is_quick_and_leaves_nothing(held: Holder, number: signal.Signals | None) -> None:
    started = time.monotonic()
    held.end(number)
    assert time.monotonic() - started < patient(3)
    assert held.process.returncode == {None: 0, signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert held.running() == []
    assert held.sockets() == []


@pytest.mark.alone
def test_a_connected_client_does_not_delay_the_end(holders: Holders, folder: Path) -> None:
    held = holders.start(folder, "--only", "postgres")
    with socket.create_connection(_address(held)):
        started = time.monotonic()
        held.end(signal.SIGTERM)
    assert time.monotonic() - started < patient(3)


@pytest.mark.soak
def test_more_signals_do_not_cut_the_stop_short(holders: Holders, folder: Path) -> None:
    held = holders.start(folder, "--only", "s3")
    for _ in range(20):
        held.process.send_signal(signal.SIGINT)
        held.process.send_signal(signal.SIGTERM)
    held.end(signal.SIGINT)
    assert held.running() == []


@pytest.mark.skipif(not TIED, reason="here the next start stops what was left")
def test_servers_end_when_their_parent_is_killed(held: Holder) -> None:
    held.end(signal.SIGKILL)
    held.wait_until_gone()


@pytest.mark.soak
async def test_data_is_whole_after_the_parent_was_killed(
    holders: Holders, held: Holder, folder: Path
) -> None:
    assert (await add_row(held.variables), await add_object(held.variables)) == (1, 1)
    held.end(signal.SIGKILL)
    again = holders.start(folder)
    assert held.running() == []
    assert (await add_row(again.variables), await add_object(again.variables)) == (2, 2)
    assert again.variables == held.variables


@pytest.mark.soak
async def test_a_start_stops_servers_that_outlived_their_parent(
    holders: Holders, folder: Path
) -> None:
    orphaned = holders.start(folder, "--platform", "darwin")
    assert await add_row(orphaned.variables) == 1
    orphaned.end(signal.SIGKILL)
    assert len(orphaned.running()) == len(orphaned.servers)
    again = holders.start(folder)
    assert orphaned.running() == []
    assert await add_row(again.variables) == 2


async def test_data_is_whole_after_everything_was_killed(holders: Holders, folder: Path) -> None:
    first = holders.start(folder, "--only", "postgres")
    await add_row(first.variables)
    for server in first.servers:
        server.kill()
    first.end(signal.SIGKILL)
    assert await add_row(holders.start(folder, "--only", "postgres").variables) == 2


def test_a_second_start_on_the_same_folder_is_refused(holders: Holders, folder: Path) -> None:
    held = holders.start(folder, "--only", "postgres")
    words = refusal(folder)
    assert is_one_sentence(words)
    assert str(folder) in words
    assert len(held.running()) == len(held.servers)


@pytest.mark.soak
def test_a_kept_port_that_is_taken_is_replaced(holders: Holders, folder: Path) -> None:
    first = holders.start(folder, "--only", "postgres")
    first.end()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(_address(first))
        taken.listen()
        assert _address(holders.start(folder, "--only", "postgres")) != _address(first)


def test_servers_listen_on_the_loopback_address_only(held: Holder) -> None:
    connections = [item for server in held.servers for item in server.net_connections("inet")]
    assert {item.laddr.ip for item in connections if item.status == psutil.CONN_LISTEN} == {
        "127.0.0.1"
    }


@pytest.mark.soak
async def test_another_password_than_before_opens_the_same_data(
    holders: Holders, folder: Path
) -> None:
    first = holders.start(folder, "--only", "postgres")
    await add_row(first.variables)
    first.end()
    (folder / "secrets.env").unlink()
    again = holders.start(folder, "--only", "postgres")
    assert again.variables != first.variables
    assert await add_row(again.variables) == 2


def _address(held: Holder) -> tuple[str, int]:
    url = make_url(held.variables["DATABASE_URL"])
    return url.host or "", url.port or 0
