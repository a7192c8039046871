"""What the address of another server must be, judged by the library that will use it.

A refusal is a ValueError: it names the part that is wrong, and no value.
"""

import re
from collections.abc import Iterable
from inspect import signature
from ssl import create_default_context
from typing import Annotated, Any
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from asyncpg import (  # type: ignore[import-untyped]
    ClientConfigurationError,
    connect_utils,
)
from botocore.utils import is_valid_endpoint_url, is_valid_ipv6_endpoint_url
from pydantic import AfterValidator
from redis.asyncio.connection import Connection, parse_url

DATABASE_SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg")
DATABASE_FORM = (
    "must be postgresql://user:password@host:5432/database; special characters of the password"
    " are percent-encoded (@ is %40)"
)
MAX_PORT = 65535
FILE_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?(:[1-9][0-9]{0,4})?")
MAX_CONNECT_SECONDS = 60

# What asyncpg takes out of an address, and what it hands on to the server (libpq, 34.1.2).
PARAMETERS = {
    *("host", "port", "dbname", "user", "password", "passfile", "target_session_attrs"),
    *("sslmode", "sslnegotiation", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version"),
    *("application_name", "options"),
}
# Values that ask for nothing but what asyncpg does anyway.
FULFILLED = {
    "channel_binding": ("prefer", "disable"),
    "client_encoding": ("utf8", "utf-8", "auto"),
    "gssencmode": ("prefer", "disable"),
}
ADVICE = {
    "channel_binding": "the driver has no channel binding: take it out",
    "sslmode": "verify-ca and verify-full need sslrootcert, the path of a file of certificates",
    "pgbouncer": "take it out, and set DATABASE_TRANSACTION_POOLER=true instead",
}


def database_address(address: str) -> str:
    """As SQLAlchemy names its driver; hosts hand out postgres:// and postgresql://."""
    scheme, _, rest = address.partition("://")
    if scheme not in DATABASE_SCHEMES:
        raise ValueError("must start with postgresql://")
    driver_address(f"postgresql://{rest}")
    return f"postgresql+asyncpg://{rest}"


def driver_address(address: str) -> tuple[str, int | None]:
    """What asyncpg connects with: its own address, and `connect_timeout` in seconds."""
    bare, _, query = address.replace("+asyncpg", "", 1).partition("?")
    if "#" in address or not _is_readable(bare):
        raise ValueError(DATABASE_FORM)
    parameters: dict[str, str] = {}
    seconds = None
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "connect_timeout":
            seconds = _connect_seconds(value)
        elif name in PARAMETERS:
            parameters[name] = value
        elif value.lower() not in FULFILLED.get(name, ()):
            raise ValueError(_unknown(name))
    whole = _joined(bare, parameters)
    if not _is_readable(whole):
        raise ValueError(_unusable(bare, parameters))
    return whole, seconds


def _joined(bare: str, parameters: dict[str, str]) -> str:
    return f"{bare}?{urlencode(parameters, quote_via=quote)}" if parameters else bare


def _unusable(bare: str, parameters: dict[str, str]) -> str:
    """Names the one parameter without which the address could be read."""
    # A file of certificates is wrong by itself, the mode for the lack of one.
    for name in sorted(parameters, key="sslmode".__eq__):
        others = {other: value for other, value in parameters.items() if other != name}
        if _is_readable(_joined(bare, others)):
            advice = f": {ADVICE[name]}" if name in ADVICE else ""
            return f"its parameter {name} has a value that cannot be used{advice}"
    return "its parameters have values that cannot be used"


def _is_readable(address: str) -> bool:
    # asyncpg has no public parser; this is the one that its `connect` calls.
    parse = connect_utils._parse_connect_dsn_and_args  # noqa: SLF001
    try:
        places, _ = parse(**dict.fromkeys(signature(parse).parameters) | {"dsn": address})
    except (ClientConfigurationError, ValueError, OSError):
        return False
    return all(_is_place(*place) for place in places if not isinstance(place, str))


def _is_place(host: str, port: int) -> bool:
    return 0 < port <= MAX_PORT and not any(mark in host for mark in "@ '\"")


def _connect_seconds(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not 0 < int(value) <= MAX_CONNECT_SECONDS:
        raise ValueError(f"its parameter connect_timeout must be 1 to {MAX_CONNECT_SECONDS}")
    return int(value)


def _unknown(name: str) -> str:
    advice = f": {ADVICE[name]}" if name in ADVICE else ""
    shown = name if name.isidentifier() else "(unreadable)"  # it may be a piece of the password
    return f"its parameter {shown} is not understood{advice}"


def web_address(address: str) -> str:
    """Without a slash at its end."""
    try:
        parts = urlsplit(address)
    except ValueError:  # whose text is the address
        raise ValueError("is no address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("must be http(s)://host without credentials")
    if not _has_port(parts) or "?" in address or "#" in address:
        raise ValueError("must have no query, no fragment, and a port that is one or none")
    return address.rstrip("/")


def hook_address(address: str) -> str:
    """As it was given: a path and a query may be its key."""
    web_address(address.partition("?")[0])
    return address


def storage_address(address: str) -> str:
    address = web_address(address)
    if not (is_valid_endpoint_url(address) or is_valid_ipv6_endpoint_url(address)):
        raise ValueError("has a host name that an S3 client refuses")
    return address


def scanner_address(address: str) -> str:
    try:
        parts = urlsplit(address)
        is_socket = parts.scheme == "unix" and not parts.netloc and len(parts.path) > 1
        is_host = parts.scheme == "tcp" and parts.hostname and parts.port and not parts.path
    except ValueError:  # whose text is the address
        is_socket = is_host = False
    if not (is_socket or is_host) or any(mark in address for mark in "@?#"):
        raise ValueError("must be tcp://host:port or unix:///path")
    return address


def file_host(entry: str) -> str:
    """`host`, or `host:port` where that is not 443, as the host of an address is compared."""
    if not FILE_HOST.fullmatch(entry):
        raise ValueError("must name host or host:port, without https://, path, or wildcard")
    return entry.lower().removesuffix(":443")


def certificate_file(path: str) -> str:
    try:
        create_default_context(cafile=path)
    except OSError:  # that of SSL is one
        raise ValueError("is no file of PEM certificates that can be read") from None
    return path


def rates_address(address: str) -> str:
    scheme, mark, _ = address.partition("://")
    if not mark or scheme not in ("memory", "redis", "rediss"):
        raise ValueError("must start with memory://, redis:// or rediss://")
    if scheme != "memory":
        try:
            arguments: dict[str, Any] = dict(parse_url(address))
            arguments.pop("connection_class", Connection)(**arguments)
            if not {"host", "port"} <= arguments.keys():
                raise ValueError  # `limits` knows no default port, and redis' host is this machine
        except (ValueError, TypeError):
            raise ValueError("must be redis://:password@host:6379/0") from None
    return address


def _has_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def insecure_addresses(**named: Iterable[str | None]) -> Iterable[str]:
    """A sentence for each name of which one may be listened to on its way."""
    for name, addresses in named.items():
        if not all((address or "https://").startswith("https://") for address in addresses):
            yield f"{name} must be https in production"


WebAddress = Annotated[str, AfterValidator(lambda value: value and web_address(value))]
StorageAddress = Annotated[str, AfterValidator(lambda value: value and storage_address(value))]
FileHost = Annotated[str, AfterValidator(file_host)]
ScannerAddress = Annotated[str, AfterValidator(lambda value: value and scanner_address(value))]
Certificates = Annotated[str, AfterValidator(lambda value: value and certificate_file(value))]
