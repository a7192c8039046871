"""Neither a stranger nor a pupil takes everybody's memory or time (SECURITY promises 17, 18).

The attacks were measured before there was a bound; what they took then stands beside each.
"""

import os
import resource
import secrets
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import httpx
import pytest

from app.settings import Settings
from app.signing import sign
from tests.support.checkout import Serving, serve_on
from tests.support.memory import Memory, Pulse, mebibytes
from tests.support.patience import patient
from tests.support.sender import MEBIBYTE, Sender
from tests.support.spark import SUBMISSION

pytestmark = pytest.mark.alone
SOAK = "SOAK" in os.environ
STRANGER = "127.0.0.2"
STALL_SECONDS = 0.25
COURSE, ROSTER = (
    pytest.param(f"/spark/webhook/{name}", marks=pytest.mark.soak) for name in ("course", "roster")
)


@pytest.fixture(scope="module")
def serving(settings: Settings) -> Iterator[Serving]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    with serve_on(settings) as running:
        yield running


@pytest.fixture
def sender(serving: Serving) -> Sender:
    return Sender(serving.url, serving.checkout.secrets)


@contextmanager
def bounded(serving: Serving, *, mebibytes_more: int) -> Iterator[None]:
    """What happens inside neither takes more memory nor keeps `/healthz` waiting."""
    memory, pulse = Memory(serving.process.pid), Pulse(serving.url)
    at_rest = memory.now
    with memory.watch(), pulse.watch():
        yield
    growth = mebibytes(memory.peak - at_rest)
    print(f"{growth:.0f} MiB more, {pulse.longest * 1000:.0f} ms")  # noqa: T201 - shown if it fails
    assert growth < mebibytes_more
    assert pulse.longest < patient(STALL_SECONDS)


# ---------------------------------------------------------------------------- dear JSON


def whole(head: bytes, item: bytes, tail: bytes) -> bytes:
    """8 MiB of it."""
    return head + item * ((8 * MEBIBYTE - len(head) - len(tail)) // len(item)) + tail


DEAR = {
    "H1 objects": (b"{},", b"{}]"),
    "H1 lists": (b"[],", b"[]]"),
    "H1 escapes": (b'"' + b"\\n" * 4000 + b'",', b'""]'),
    "numbers": (b"0,", b"0]"),
    "wide characters": (
        b'{"type":"text","content":{"text":"\xf0\x9f\x8c\xa7' + b"x" * 1_000_000 + b'"}},',
        b'{"type":"text","content":{}}]',
    ),
}


# One character beyond U+FFFF makes all of a text four times as long, here and while it is decoded:
# 174 to 247 MiB in a process that has saved nothing before.
WIDE_MEBIBYTES = 272


@pytest.mark.parametrize(
    ("item", "tail"),
    [
        pytest.param(*each, id=name, marks=[] if name == "H1 objects" else [pytest.mark.soak])
        for name, each in DEAR.items()
    ],
)
def test_six_saves_of_a_pupil_at_once(
    serving: Serving, sender: Sender, item: bytes, tail: bytes
) -> None:
    """+1,121 MiB, and 1.8 to 3.2 s in which nobody was answered."""
    body = whole(b'{"status":"draft","blocks":[', item, tail + b"}")
    headers = {"Authorization": f"Bearer {sender.app_token()}", "Content-Type": "application/json"}
    path = f"{serving.url}/internal/v1/evidence/documents/{secrets.token_hex(16)}"
    with (
        httpx.Client(headers=headers, timeout=60, trust_env=False) as browser,
        bounded(serving, mebibytes_more=112 if item.isascii() else WIDE_MEBIBYTES),
        ThreadPoolExecutor(6) as threads,
    ):
        for answer in threads.map(lambda _: browser.put(path, content=body), range(6)):
            assert answer.status_code in {400, 404}, answer.text


EMOJI = "\N{CLOUD WITH RAIN}".encode()
MESSAGES = {
    "H1 objects": whole(b'{"assignments":[', b"{},", b"{}]}"),
    "H1 escapes": whole(b'{"submission_text":"', b"\\n", b'"}'),
    "one wide character": whole(b'{"submission_text":"' + EMOJI, b"x", b'"}'),
    "members": whole(b"{", b'"%s":0,', b'"b":0}'),
}


@pytest.mark.parametrize("route", [SUBMISSION, COURSE, ROSTER])
@pytest.mark.parametrize("body", MESSAGES.values(), ids=MESSAGES)
def test_a_signed_message_of_the_largest_size(
    serving: Serving, sender: Sender, body: bytes, route: str
) -> None:
    """+141 MiB and 1.6 s."""
    headers = {
        "X-Spark-Signature": sign(sender.webhook_secret, body),
        "Content-Type": "application/json",
    }
    with bounded(serving, mebibytes_more=112):
        answer = httpx.post(
            serving.url + route, content=body, headers=headers, timeout=60, trust_env=False
        )
    assert answer.status_code == 400, answer.text


# ---------------------------------------------------------------------------- of nobody known


@contextmanager
def strangers(serving: Serving, count: int, head: bytes) -> Iterator[list[socket.socket]]:
    """Connections of another address that have sent this."""
    address = urlsplit(serving.url)
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            connection = socket.create_connection(
                (str(address.hostname), address.port or 80),
                timeout=30,
                source_address=(STRANGER, 0),
            )
            opened.append(stack.enter_context(connection))
            connection.sendall(head)
        yield opened


def send_most(connection: socket.socket, content: bytes) -> None:
    """As much as is taken."""
    with suppress(OSError):
        connection.sendall(content)


def hand_in(sender: Sender) -> None:
    message = {"submission_text": secrets.token_hex(8)}
    raw = sender.message(sender.sign_in(), **message)
    headers = {
        "X-Spark-Signature": sign(sender.webhook_secret, raw),
        "Content-Type": "application/json",
    }
    answer = httpx.post(
        sender.url + SUBMISSION, content=raw, headers=headers, timeout=60, trust_env=False
    )
    assert answer.status_code == 200, answer.text


@pytest.mark.soak
def test_unsigned_bodies_that_do_not_end(serving: Serving, sender: Sender) -> None:
    """H2: 80 of 8 MiB took 685 MiB, and homework waited for nothing."""
    head = (
        f"POST {SUBMISSION} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        f"X-Spark-Signature: {'0' * 64}\r\nContent-Length: {8 * MEBIBYTE}\r\n\r\n"
    )
    body = b" " * (8 * MEBIBYTE - 64 * 1024)
    hand_in(sender)
    with (
        bounded(serving, mebibytes_more=128),
        strangers(serving, 80 if SOAK else 20, head.encode()) as connections,
        ThreadPoolExecutor(8) as threads,
    ):
        sent = [threads.submit(send_most, each, body) for each in connections]
        for each in sent:
            each.result()
            hand_in(sender)


def test_heads_that_do_not_end(serving: Serving, sender: Sender) -> None:
    """M6: +238 MiB."""
    hand_in(sender)
    with (
        bounded(serving, mebibytes_more=16),
        strangers(serving, 10, b"GET / HTTP/1.1\r\nX-A: ") as connections,
        ThreadPoolExecutor(10) as threads,
    ):
        list(threads.map(lambda each: send_most(each, b"a" * 20 * MEBIBYTE), connections))
        hand_in(sender)


def test_half_heads(serving: Serving, sender: Sender) -> None:
    """M6: 1,500 stayed open for as long as they liked."""
    hand_in(sender)
    with (
        bounded(serving, mebibytes_more=64),
        strangers(serving, 1500 if SOAK else 600, b"GET / HTTP/1.1\r\nX-A: "),
    ):
        for _ in range(5):
            hand_in(sender)
