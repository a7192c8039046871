"""Whose address and whose certificate it is (SECURITY D20); the resolver says what a test wants."""

import socket
import threading
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest

from app.fetch import FetchFailedError, FetchRefusedError, is_public
from tests.support.broken_answers import content
from tests.support.fake_spark import FakeSpark
from tests.support.remote_files import read, refusal, remote


async def test_a_certificate_is_that_of_the_name(fake: FakeSpark) -> None:
    host = fake.files_url.removeprefix("https://").replace("localhost", "127.0.0.1")
    files = remote(fake, spark_storage_domains=(host,))
    refused = await refusal(files, f"https://{host}/files/ok/1")
    assert (type(refused), refused.code) == (FetchRefusedError, "certificate_invalid")


async def test_an_authority_that_nobody_named_is_none(fake: FakeSpark) -> None:
    files = remote(fake, spark_storage_ca_file=None)
    refused = await refusal(files, f"{fake.files_url}/files/ok/1")
    assert (type(refused), refused.code) == (FetchRefusedError, "certificate_invalid")


Resolver = Callable[..., Callable[[], int]]


@pytest.fixture
def resolve_to(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    """Makes every name resolve to these addresses; what comes back counts how often one asked."""

    def answer_with(*addresses: str) -> Callable[[], int]:
        asked: list[str] = []

        def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[tuple[Any, ...]]:
            asked.append(host)
            family = {True: socket.AF_INET6, False: socket.AF_INET}
            return [
                (family[":" in each], socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses
            ]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return lambda: len(asked)

    return answer_with


NOT_PUBLIC = {
    "this host": "0.0.0.0",  # noqa: S104 - nobody binds to it
    "loopback": "127.0.0.1",
    "all of loopback": "127.8.8.8",
    "private": "10.0.0.1",
    "private, 172": "172.16.0.1",
    "private, 192": "192.168.1.1",
    "carrier-grade NAT": "100.64.0.1",
    "the metadata service": "169.254.169.254",
    "benchmarks": "198.18.0.1",
    "protocols' own": "192.0.0.9",
    "protocols' own, IPv6": "2001:1::1",
    "relays of 6to4": "192.88.99.1",
    "multicast": "224.0.0.1",
    "multicast, 239": "239.1.1.1",
    "broadcast": "255.255.255.255",
    "IPv6 loopback": "::1",
    "IPv6 private": "fd00::1",
    "IPv6 link-local": "fe80::1",
    "IPv6 multicast": "ff0e::1",
    "mapped": "::ffff:127.0.0.1",
    "compatible": "::127.0.0.1",
    "NAT64 of a private one": "64:ff9b::a00:1",
    "local NAT64": "64:ff9b:1::a00:1",
    "6to4 of loopback": "2002:7f00:1::",
    "Teredo": "2001:0:a::1",
    "site-local": "fec0::1",
    "segment routing": "5f00::1",
    "documentation": "3fff::1",
    "documentation, 2001:db8": "2001:db8::1",
    "with a zone": "fe80::1%lo",
}


@pytest.mark.parametrize("others", [(), ("8.8.8.8",)], ids=["alone", "behind a public one"])
@pytest.mark.parametrize("row", NOT_PUBLIC, ids="D20 {}".format)
async def test_an_address_that_is_not_public_is_refused(
    fake: FakeSpark, resolve_to: Resolver, row: str, others: tuple[str, ...]
) -> None:
    resolve_to(*others, NOT_PUBLIC[row])
    files = remote(fake, spark_storage_networks=())
    refused = await refusal(files, f"{fake.files_url}/files/ok/1")
    assert (type(refused), refused.code) == (FetchRefusedError, "address_refused")
    assert await fake.requests() == []


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
)
def test_a_public_address_is_one(address: str) -> None:
    assert is_public(address)


async def test_a_name_is_resolved_once_and_its_next_address_is_tried(
    fake: FakeSpark, resolve_to: Resolver
) -> None:
    asked = resolve_to("127.1.2.3", "127.0.0.1")  # the fake listens on the second alone
    assert await read(remote(fake), f"{fake.files_url}/files/ok/9") == content(9)
    assert asked() == 1


async def test_each_fetch_judges_anew(fake: FakeSpark, resolve_to: Resolver) -> None:
    files = remote(fake, spark_storage_networks=(ip_network("127.0.0.1/32"),))
    resolve_to("127.0.0.1")
    await read(files, f"{fake.files_url}/files/ok/9")
    resolve_to("127.0.0.2")
    assert (await refusal(files, f"{fake.files_url}/files/ok/9")).code == "address_refused"


async def test_a_name_that_is_not_found_may_be_tried_again(
    fake: FakeSpark, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    refused = await refusal(remote(fake), f"{fake.files_url}/files/ok/1")
    assert (type(refused), refused.code) == (FetchFailedError, "name_not_found")


async def test_a_resolver_that_hangs_ends_at_the_deadline(
    fake: FakeSpark, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [over.wait()])
    try:
        files = remote(fake, download_seconds=0.2)
        refused = await refusal(files, f"{fake.files_url}/files/ok/1")
    finally:
        over.set()
    assert refused.code == "timeout"
