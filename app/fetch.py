"""Files that Spark names by an address: one GET, of an allowed host, at a public address (D20).

A name is resolved once, and refused whole if any of its addresses is not public; the connection
goes to an address that was judged, under the certificate of the name. There are no redirects,
cookies or proxies, and no line in a log: an address may be a secret. Only this module knows
httpcore.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import httpcore
import httpx
from pydantic import IPvAnyNetwork
from typing_extensions import override

from app import __version__
from app.errors import UrlNotAllowedError
from app.settings import Settings

MAX_URL_CHARACTERS = 2048
MAX_RETRY_AFTER_SECONDS = 24 * 60 * 60
CONNECT_SECONDS = 5  # for each address of a name
WORTH_ANOTHER_TRY = (408, 425, 429)  # and whatever begins with 5
USER_AGENT = f"optio-spark/{__version__}"
HEADERS = {
    "User-Agent": USER_AGENT,
    "Accept": "*/*",
    "Accept-Encoding": "identity",
}

_VISIBLE = re.compile(r"[\x21-\x7e]+")
_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# What `is_global` lets pass in some version of Python: protocols' own, relays of 6to4, multicast,
# Teredo, 6to4, documentation.
_NOT_PUBLIC = [
    ip_network(each)
    for each in (
        *("192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/3"),
        *("2001::/23", "2002::/16", "3fff::/20"),
    )
]


class FetchError(Exception):
    """The file did not come; `code` is stable, and holds nothing of the address or the answer."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class FetchFailedError(FetchError):
    """It may come later: in `retry_after` seconds at the soonest, if the host said so."""

    def __init__(self, code: str, retry_after: float | None = None) -> None:
        super().__init__(code)
        self.retry_after = retry_after


class FetchRefusedError(FetchError):
    """It will not come from this address, however often it is asked for."""


def check_url(url: str, domains: Collection[str]) -> str:
    """The host, with its port unless that is 443: exactly one of `domains`, as settings have them.

    Raises UrlNotAllowedError, whose hint says what is wrong.
    """
    if not domains:
        raise UrlNotAllowedError
    if len(url) > MAX_URL_CHARACTERS:
        raise UrlNotAllowedError(hint=f"A URL has at most {MAX_URL_CHARACTERS:,} characters.")
    if not _VISIBLE.fullmatch(url) or "#" in url:
        raise UrlNotAllowedError(
            hint="Percent-encode spaces and what is not ASCII, and leave out a #fragment."
        )
    scheme, _, rest = url.partition("://")
    if scheme.lower() != "https":
        raise UrlNotAllowedError(hint="Files are fetched by https alone.")
    host = re.split("[/?]", rest, maxsplit=1)[0].lower().removesuffix(":443")
    if host not in domains:
        raise UrlNotAllowedError(
            hint="Its host and port are not among those agreed on (SPARK_STORAGE_DOMAINS)."
        )
    return host


def is_public(address: str, networks: Iterable[IPvAnyNetwork] = ()) -> bool:
    """Whether it is anybody's on the Internet; an IPv4 address inside an IPv6 one is judged itself.
    Those in `networks` count as public.
    """
    judged = _innermost(ip_address(address))
    if any(judged in network for network in networks):
        return True
    if isinstance(judged, IPv6Address) and judged not in _GLOBAL_UNICAST:
        return False
    return judged.is_global and not any(judged in network for network in _NOT_PUBLIC)


def _innermost(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return IPv4Address(address.packed[-4:])
        return address.ipv4_mapped or address
    return address


def read_retry_after(headers: httpx.Headers) -> float | None:
    """The seconds of `Retry-After` (RFC 9110 section 10.2.3), at most a day; None without one that
    can be read. A date counts from the answer's own `Date`, so the clocks need not agree.
    """
    said = headers.get("retry-after", "").strip()
    try:
        if said.isascii() and said.isdigit():
            seconds = float(said)
        else:
            until, now = (parsedate_to_datetime(each) for each in (said, headers.get("date", "")))
            seconds = (until - now).total_seconds()
    except (ValueError, TypeError):  # no date, or only one of both with an offset
        return None
    return min(max(seconds, 0), MAX_RETRY_AFTER_SECONDS)


class RemoteFiles:
    """What settings say of hosts, addresses and certificates, read once. Keeps no connection."""

    def __init__(self, settings: Settings) -> None:
        self._domains = settings.spark_storage_domains
        self._seconds = settings.download_seconds
        # Reading certificates takes longer than all else of a start: only where there are hosts.
        self._transport: GuardedTransport | None = None
        if self._domains:
            self._transport = GuardedTransport(
                settings.spark_storage_networks, settings.spark_storage_ca_file
            )

    @asynccontextmanager
    async def fetch(
        self, url: str, limit: int
    ) -> AsyncIterator[tuple[httpx.Headers, AsyncIterator[bytes]]]:
        """Headers, and the file in chunks of at most 64 KiB, read as they are asked for.

        The context, and whatever is done in it, ends after DOWNLOAD_SECONDS. Raises
        FetchFailedError or FetchRefusedError, also from the chunks: beyond `limit` bytes, or when
        they end too soon. Who leaves earlier ends the connection.
        """
        try:
            check_url(url, self._domains)  # again: the setting may have changed
        except UrlNotAllowedError as refusal:
            raise FetchRefusedError(refusal.code) from None
        assert self._transport  # noqa: S101 - or the address was not allowed
        request = httpx.Request("GET", url, headers=HEADERS)
        try:
            async with asyncio.timeout(self._seconds) as deadline:
                answer = await self._transport.handle_async_request(request)
                async with aclosing(answer), aclosing(_bounded(answer, limit)) as chunks:
                    _admit(answer, limit)
                    yield answer.headers, chunks
        except TimeoutError:
            if not deadline.expired():
                raise
            raise FetchFailedError("timeout") from None


def _admit(answer: httpx.Response, limit: int) -> None:
    status, headers = answer.status_code, answer.headers
    if status in WORTH_ANOTHER_TRY or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise FetchFailedError(f"status_{status}", read_retry_after(headers))
    if status != httpx.codes.OK:
        raise FetchRefusedError(f"status_{status}")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise FetchRefusedError("encoded")
    if "transfer-encoding" not in headers and "content-length" not in headers:
        raise FetchRefusedError("no_length")
    if int(headers.get("content-length", 0)) > limit:
        raise FetchRefusedError("too_large")


async def _bounded(answer: httpx.Response, limit: int) -> AsyncGenerator[bytes, None]:
    async for chunk in answer.aiter_raw():
        if answer.num_bytes_downloaded > limit:
            raise FetchRefusedError("too_large")
        yield chunk


class GuardedTransport(httpx.AsyncBaseTransport):
    """Speaks to public addresses alone. Raises this module's errors, not those of httpx."""

    def __init__(self, networks: Collection[IPvAnyNetwork], ca_file: str | None) -> None:
        trusted = httpcore.default_ssl_context()
        if ca_file:
            trusted.load_verify_locations(ca_file)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trusted,
            max_keepalive_connections=0,
            network_backend=_PublicNetwork(networks),
        )

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        with _told(broken="answer_broken"):
            answer = await self._pool.handle_async_request(
                httpcore.Request(
                    request.method, url, headers=request.headers.raw, content=request.stream
                )
            )
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer))


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _told(broken="cut_short"):
            async for chunk in self._answer.aiter_stream():
                yield chunk

    @override
    async def aclose(self) -> None:
        await self._answer.aclose()


@contextmanager
def _told(*, broken: str) -> Iterator[None]:
    """Failures of httpcore by our names."""
    try:
        yield
    except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
        if isinstance(error.args[0], ssl.SSLCertVerificationError):
            raise FetchRefusedError("certificate_invalid") from None
        raise FetchFailedError("connect_failed") from None
    except (httpcore.NetworkError, httpcore.ProtocolError):
        raise FetchFailedError(broken) from None


class _PublicNetwork(httpcore.AsyncNetworkBackend):
    """Connects to the addresses of a name, in their order, if all of them are public."""

    def __init__(self, networks: Collection[IPvAnyNetwork]) -> None:
        self._networks = networks
        self._tcp = httpcore.AnyIOBackend()

    @override
    async def connect_tcp(
        self, host: str, port: int, *_: object, **__: object
    ) -> httpcore.AsyncNetworkStream:
        *others, last = await self._addresses(host, port)
        for address in others:
            try:
                return await self._tcp.connect_tcp(address, port, CONNECT_SECONDS)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._tcp.connect_tcp(last, port, CONNECT_SECONDS)

    async def _addresses(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise FetchFailedError("name_not_found") from None
        addresses = list(dict.fromkeys(str(place[0]) for *_, place in found))
        if not all(is_public(address, self._networks) for address in addresses):
            raise FetchRefusedError("address_refused")
        return addresses
