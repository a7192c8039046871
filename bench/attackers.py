"""What strangers and one student send to stop a service, each of it again and again."""

import asyncio
import io
import zipfile
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import chain, cycle, repeat
from urllib.parse import urlsplit

from tests.support.bodies import BOUNDARY, Part
from tests.support.evidence import EVIDENCE
from tests.support.sender import MEBIBYTE
from tests.support.spark import FORM, SUBMISSION

PIECE_BYTES = 64 * 1024
REST_SECONDS, FLOOD_SECONDS = 1, 0.02  # after an attempt
ROSTERS = "/internal/v1/roster/imports"
JSON_BYTES = 8 * MEBIBYTE - 16
FORM_BYTES, UPLOAD_BYTES = 200 * MEBIBYTE, 9 * MEBIBYTE
DRIP = b"x" * 1200  # a second
NOBODYS = {"X-Spark-Signature": "0" * 64}


@dataclass(frozen=True)
class Target:
    """A service, a student's own token, task and block, and the key of who imports rosters."""

    url: str
    token: str
    task_id: str
    block_id: str
    admin_key: str


Attempt = Callable[[Target], Awaitable[str]]


async def attack(target: Target, names: Collection[str], seconds: float) -> dict[str, Counter[str]]:
    """How often each attack got which answer; what it never got is not there."""
    answers: dict[str, Counter[str]] = {name: Counter() for name in names}

    async def go_on(name: str) -> None:
        attempt, _, rest = ATTACKS[name]
        while True:
            try:
                answers[name][await attempt(target)] += 1
            except OSError:
                answers[name]["cut"] += 1
            await asyncio.sleep(rest)

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
            for name in names:
                for _ in range(ATTACKS[name][1]):
                    tasks.create_task(go_on(name))
    return answers


async def send(
    target: Target,
    head: bytes,
    body: Iterable[bytes | memoryview] = (),
    *,
    drip: bytes = b"",
    pause: float = 1,
) -> str:
    """As fast as it goes, and then drop by drop, until it is answered: by which status."""
    address = urlsplit(target.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)

    async def go_on() -> None:
        with suppress(ConnectionError):
            for piece in chain([head], body):
                writer.write(piece)
                await writer.drain()
            while drip:
                await asyncio.sleep(pause)
                writer.write(drip)
                await writer.drain()

    sending = asyncio.create_task(go_on())
    try:
        return (await reader.read(12))[9:].decode() or "cut"
    finally:
        sending.cancel()
        writer.close()


def head_of(method: str, path: str, length: int, **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def cut(content: bytes) -> Iterator[memoryview]:
    whole = memoryview(content)
    return (whole[at : at + PIECE_BYTES] for at in range(0, len(whole), PIECE_BYTES))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# ---------------------------------------------------------------------------- one student


@cache
def _dense(value: str) -> bytes:
    """A document of as many values as its bytes can hold."""
    begin, end = '{"status": "draft", "blocks": [', f"{value}]}}"
    count = (JSON_BYTES - len(begin) - len(end)) // (len(value) + 1)
    return f"{begin}{f'{value},' * count}{end}".encode()


_values = cycle(["{}", "[]", "0"])


async def dense_saves(target: Target) -> str:
    body = _dense(next(_values))
    headers = {"Content-Type": "application/json"} | bearer(target.token)
    path = f"{EVIDENCE}/documents/{target.task_id}"
    return await send(target, head_of("PUT", path, len(body), **headers), cut(body))


async def student_uploads(target: Target) -> str:
    headers = {"Content-Type": FORM} | bearer(target.token)
    path = f"{EVIDENCE}/blocks/{target.block_id}/upload"
    head = head_of("POST", path, UPLOAD_BYTES, **headers)
    return await send(target, head, [_file()], drip=DRIP)


async def student_writes(target: Target) -> str:
    path = f"{EVIDENCE}/documents/{target.task_id}/complete"
    return await send(target, head_of("POST", path, 0, **bearer(target.token)))


# ---------------------------------------------------------------------------- anybody


_hooks = cycle(["submission", "course", "roster"])


async def half_json(target: Target) -> str:
    """All but its end is sent at once."""
    headers = {"Content-Type": "application/json"} | NOBODYS
    head = head_of("POST", f"/spark/webhook/{next(_hooks)}", JSON_BYTES, **headers)
    most = repeat(bytes(PIECE_BYTES), JSON_BYTES // PIECE_BYTES)
    return await send(target, head, most, drip=bytes(1024), pause=4)


async def slow_forms(target: Target) -> str:
    return await send(target, _form_head(), [_file()], drip=DRIP)


async def early_files(target: Target) -> str:
    """Nearly as much as a form may bring."""
    file = [_file(), *repeat(b"x" * PIECE_BYTES, 45 * MEBIBYTE // PIECE_BYTES), b"\r\n"]
    return await send(target, _form_head(), chain(*repeat(file, 4), [_file()]), drip=DRIP)


def _form_head() -> bytes:
    return head_of("POST", SUBMISSION, FORM_BYTES, **{"Content-Type": FORM}, **NOBODYS)


def _file() -> bytes:
    """The beginning of one that never ends."""
    return b"--" + BOUNDARY + b"\r\n" + Part("file", b"x" * 100, filename="notes.txt").encode()


async def big_heads(target: Target) -> str:
    begin = b"GET /healthz HTTP/1.1\r\nX-Long: "
    most = repeat(b"a" * PIECE_BYTES, 20 * MEBIBYTE // PIECE_BYTES)
    return await send(target, begin, most, drip=b"a" * 1024)


async def half_heads(target: Target) -> str:
    return await send(target, b"GET /healthz HTTP/1.1\r\nX-Long: ", drip=b"a", pause=5)


async def bad_tokens(target: Target) -> str:
    return await send(target, head_of("GET", "/spark/sso?token=x", 0))


# ---------------------------------------------------------------------------- a bad roster


@cache
def _rosters() -> tuple[bytes, ...]:
    """Many members; a member that was damaged; one record over all lines."""
    many, damaged = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(many, "w") as archive:
        for number in range(60_000):
            archive.writestr(f"{number}/", b"")
    with zipfile.ZipFile(damaged, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("users.csv", "sourcedId,email,givenName,familyName,role\n" * 1000)
    flipped = bytearray(damaged.getvalue())
    flipped[60] ^= 255
    return many.getvalue(), bytes(flipped), b'"a\n",' * (8 * MEBIBYTE // 5)


_files = cycle(range(3))


async def bad_rosters(target: Target) -> str:
    body = _rosters()[next(_files)]
    headers = {"Content-Type": "application/octet-stream"} | bearer(target.admin_key)
    return await send(target, head_of("POST", ROSTERS, len(body), **headers), cut(body))


ATTACKS: dict[str, tuple[Attempt, int, float]] = {  # how many at once, and how soon again
    "dense_saves": (dense_saves, 6, REST_SECONDS),
    "half_json": (half_json, 80, REST_SECONDS),
    "slow_forms": (slow_forms, 40, REST_SECONDS),
    "early_files": (early_files, 3, REST_SECONDS),
    "student_uploads": (student_uploads, 8, REST_SECONDS),
    "big_heads": (big_heads, 10, REST_SECONDS),
    "half_heads": (half_heads, 1500, REST_SECONDS),
    "bad_tokens": (bad_tokens, 4, FLOOD_SECONDS),
    "student_writes": (student_writes, 4, FLOOD_SECONDS),
    "bad_rosters": (bad_rosters, 1, REST_SECONDS),
}
