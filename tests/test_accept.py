"""What a connection may do before it is a request, and what an offer of another protocol is worth
(M6, F01, F02, R32).
"""

import asyncio
import os
import re
import resource
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

import httpx
import pytest
import uvloop
from fastapi import FastAPI
from typing_extensions import override

from app.accept import HEAD_SECONDS, MAX_CONNECTIONS, MAX_HEAD_BYTES
from app.serve import CONNECTIONS_A_TURN, listen_often
from app.settings import Settings
from tests.support.bodies import Part, form
from tests.support.patience import patient
from tests.support.problems import assert_problem
from tests.support.processes import environment
from tests.support.running import Running, run_app
from tests.support.spark import FORM, SUBMISSION, Assignment, SignedIn, Spark, encoded, submission
from tests.support.wire import Wire, connect

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
UPGRADES = {
    "F01 h2c": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n",
    "F02 websocket": (
        "Connection: keep-alive, Upgrade\r\nUPGRADE: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    ),
    "anything": "connection:upgrade\r\nupgrade:\tTLS/1.0, IRC/6.9 \r\n",
}


async def ask(wire: Wire, *pieces: bytes) -> httpx.Response:
    for piece in pieces:
        await wire.send(piece)
    return await wire.read_answer()


def request(method: str, target: str, *, more: str = "", body: bytes = b"") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {target} HTTP/1.1\r\nHost: a\r\n{more}{length}\r\n".encode() + body


# ---------------------------------------------------------------------------- upgrades


@pytest.mark.parametrize("offer", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize("size", [1, 100, 10**6], ids=["bytes", "packets", "one packet"])
async def test_homework_that_offers_another_protocol_is_taken_as_it_is(
    server: Running, spark: Spark, student: SignedIn, assignment: Assignment, offer: str, size: int
) -> None:
    raw = encoded(submission(student, assignment))
    head = f"{offer}X-Spark-Signature: {spark.sign(raw)}\r\nContent-Type: application/json\r\n"
    sent = request("POST", SUBMISSION, more=head, body=raw)
    pieces = [sent[start : start + size] for start in range(0, len(sent), size)]
    async with connect(server) as wire:
        answer = await ask(wire, *pieces)
        assert answer.status_code == 200, answer.text
        assert (await ask(wire, HEALTH + b"\r\n")).json() == {"status": "ok"}


@pytest.mark.parametrize("offer", UPGRADES.values(), ids=UPGRADES)
async def test_so_is_a_form_in_chunks(
    server: Running, spark: Spark, student: SignedIn, assignment: Assignment, offer: str
) -> None:
    raw = encoded(submission(student, assignment))
    body = form(Part("metadata", raw), Part("f", b"Rain fell.\n", filename="a.txt"))
    head = (
        f"{offer}X-Spark-Signature: {spark.sign(raw)}\r\nContent-Type: {FORM}\r\n"
        "Transfer-Encoding: chunked\r\n"
    )
    async with connect(server) as wire:
        chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        answer = await ask(wire, request("POST", SUBMISSION, more=head), chunks)
    assert answer.status_code == 200, answer.text


async def test_of_two_in_one_packet_both_are_answered(server: Running) -> None:
    offer = HEALTH + UPGRADES["F01 h2c"].encode() + b"\r\n"
    async with connect(server) as wire:
        await wire.send(offer + offer)
        assert (await wire.read_answer()).status_code == 200
        assert (await wire.read_answer()).status_code == 200


@pytest.mark.parametrize("offer", UPGRADES.values(), ids=UPGRADES)
async def test_a_launch_token_with_an_offer_is_used_and_in_no_log(
    server: Running, spark: Spark, caplog: pytest.LogCaptureFixture, offer: str
) -> None:
    token = spark.launch_token()
    async with connect(server) as wire:
        await wire.send(request("GET", f"/spark/sso?token={token}", more=offer))
        assert (await wire.read_head()).status_code == 302
    assert token not in caplog.text


STARTED = [
    pytest.param(("--http", "app.accept:Connection", "--ws", "none"), id="as documented"),
    pytest.param((), id="as it comes", marks=pytest.mark.soak),
]


@pytest.mark.parametrize("options", STARTED)
async def test_f02_nor_when_uvicorn_itself_starts_the_service(
    settings: Settings, spark: Spark, options: tuple[str, ...]
) -> None:
    token = spark.launch_token()
    async with (
        run_uvicorn(settings, *options) as (url, log),
        connect(Running(url, settings, FastAPI())) as wire,
    ):
        sent = request("GET", f"/spark/sso?token={token}", more=UPGRADES["F02 websocket"])
        await wire.send(sent)
        assert (await wire.read_head()).status_code == 302
    assert token not in (await log.read()).decode()


@asynccontextmanager
async def run_uvicorn(
    settings: Settings, *options: str
) -> AsyncIterator[tuple[str, asyncio.StreamReader]]:
    """Its address and all else that it says, to be read when it has ended."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "--factory", "app.main:create_app", "--port", "0"),
        *options,
        env=os.environ | environment(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout
    try:
        async with asyncio.timeout(patient(60)):
            line = b""
            while not (found := re.search(rb"running on (http://[\d.:]+)", line)):
                line = await process.stdout.readline()
        yield found[1].decode(), process.stdout
    finally:
        process.terminate()
        await process.wait()


# ---------------------------------------------------------------------------- heads


@pytest.mark.parametrize("cut", range(1, len(HEALTH) + 2))
async def test_a_head_may_be_cut_at_every_byte(server: Running, cut: int) -> None:
    whole = HEALTH + b"\r\n"
    async with connect(server) as wire:
        assert (await ask(wire, whole[:cut], whole[cut:])).status_code == 200


@pytest.mark.parametrize("size", [1000, MAX_HEAD_BYTES, 20 * 1024 * 1024])
async def test_a_head_without_an_end_is_431_and_closed(server: Running, size: int) -> None:
    """M6: ten such of 20 MiB each took 238 MiB."""
    async with connect(server) as wire:
        await wire.send(HEALTH + b"X-A: ")
        with_end = size < MAX_HEAD_BYTES
        for start in range(0, size, 64 * 1024):
            await wire.send(b"a" * min(64 * 1024, size - start))
        if with_end:
            assert (await ask(wire, b"\r\n\r\n")).status_code == 200
            return
        assert_problem(await wire.read_answer(), 431, "header_too_large")


@pytest.mark.soak
@pytest.mark.parametrize("begun", [b"G", HEALTH, HEALTH + b"X-A: ", b"\r\n\r\n"])
async def test_a_head_that_does_not_end_is_408_and_closed(server: Running, begun: bytes) -> None:
    loop = asyncio.get_running_loop()
    async with connect(server) as wire:
        began = loop.time()
        assert_problem(await ask(wire, begun), 408, "body_timeout")
        assert HEAD_SECONDS - 1 < loop.time() - began < 3 * HEAD_SECONDS


MALFORMED = {
    "no HTTP": b"hello\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a10303"),
    "CONNECT": b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "two lengths": HEALTH + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "NUL": HEALTH + b"X-A: b\x00c\r\n\r\n",
    "a target that is none": b"GET healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "a broken chunk": (
        b"POST /spark/token HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx"
    ),
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_no_request_gets_an_answer_of_our_shape(server: Running, sent: bytes) -> None:
    async with connect(server) as wire:
        answer = await ask(wire, sent)
        assert_problem(answer, 400, "request_invalid")
        assert answer.headers["connection"] == "close"
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_white_space_round_a_headers_value_is_no_part_of_it(
    server: Running, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = encoded(submission(student, assignment))
    head = (
        f"X-Spark-Signature: \t {spark.sign(raw)} \t \r\nContent-Type:\tapplication/json \r\n"
        "X-Request-Id:   trace-0123456789   \r\n"
    )
    async with connect(server) as wire:
        answer = await ask(wire, request("POST", SUBMISSION, more=head, body=raw))
    assert answer.status_code == 200, answer.text
    assert answer.json()["request_id"] == "trace-0123456789"


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("http://other.invalid/nowhere", "spark.test", 400),
        ("http://spark.test/nowhere", "other.invalid", 404),
        ("http://spark.test:8000/nowhere?a=b", "other.invalid", 404),
        ("http://spark.test", "spark.test", 404),
        ("http://[::1]/nowhere", "spark.test", 400),
        ("http://spark.test@other.invalid/nowhere", "spark.test", 400),
        ("http://10.0.0.1/healthz", "spark.test", 200),
    ],
)
async def test_a_target_with_a_host_is_judged_by_its_own(
    settings: Settings, target: str, host: str, status: int
) -> None:
    named = settings.model_copy(update={"allowed_hosts": ("spark.test",)})
    async with run_app(named) as running, connect(running) as wire:
        sent = f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"
        assert (await ask(wire, sent.encode())).status_code == status


# ---------------------------------------------------------------------------- connections


@pytest.fixture
async def roomy(settings: Settings) -> AsyncIterator[Running]:
    """A service of its own; both ends of its connections are of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    patient_with_bodies = settings.model_copy(update={"body_idle_seconds": 600})
    async with run_app(patient_with_bodies) as running:
        yield running


@pytest.fixture
async def crowd(roomy: Running) -> AsyncIterator[list[Wire]]:
    """Half a head on each of as many connections as there may be, and a hundred more."""
    async with AsyncExitStack() as stack:
        wires = []
        for _ in range(MAX_CONNECTIONS + 100):
            wire = await stack.enter_async_context(connect(roomy))
            await wire.send(b"GET /healthz HTTP/1.1\r\nHost:")
            wires.append(wire)
        yield wires


@pytest.mark.alone
async def test_m6_half_heads_stop_nobody(
    roomy: Running, crowd: list[Wire], spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    """Those that have waited longest are ended for who comes."""
    async with httpx.AsyncClient(base_url=roomy.url, trust_env=False) as browser:
        lms = Spark(browser, spark.sso_secret, spark.webhook_secret)
        answer = await lms.submit(submission(student, assignment))
        assert answer.status_code == 200, answer.text
        assert (await browser.get("/healthz")).json() == {"status": "ok"}
    assert await crowd[0].read_to_end() == b""
    assert (await ask(crowd[-1], b" a\r\n\r\n")).status_code == 200


@pytest.mark.alone
async def test_m6_slow_bodies_of_one_address_stop_nobody_else(
    roomy: Running, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    raw = encoded(submission(student, assignment))
    head = f"X-Spark-Signature: {spark.sign(raw)}\r\nContent-Type: application/json\r\n"
    sent = request("POST", SUBMISSION, more=head, body=raw)
    async with AsyncExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            wire = await stack.enter_async_context(connect(roomy, source="127.0.0.2"))
            await wire.send(sent[:-1])
        async with connect(roomy) as honest:
            assert (await ask(honest, sent)).status_code == 200


@pytest.mark.alone
async def test_beyond_the_limit_requests_are_503_and_health_is_still_told(roomy: Running) -> None:
    """All of one address, as behind a proxy: nobody's body is cut off for another's."""
    body = b'{"code": "' + b"x" * 43 + b'"}'
    head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    async with AsyncExitStack() as stack:
        wires = []
        for _ in range(MAX_CONNECTIONS):
            wire = await stack.enter_async_context(connect(roomy))
            await wire.send(request("POST", "/spark/token", more=head) + body[:-1])
            wires.append(wire)
        async with connect(roomy) as late:
            answer = await ask(late, request("GET", "/nowhere"))
            assert_problem(answer, 503, "overloaded")
            assert answer.headers["retry-after"]
        async with connect(roomy) as late:
            assert (await ask(late, HEALTH + b"\r\n")).json() == {"status": "ok"}
        assert_problem(await ask(wires[1], body[-1:]), 401, "code_invalid")


def test_a_burst_of_connections_is_taken_in_few_turns_of_the_loop() -> None:
    """M6: a socket gives uvloop one in a turn; behind 1,500 half heads a health check took 1 s."""
    burst, taken = 10 * CONNECTIONS_A_TURN, list[asyncio.BaseTransport]()

    class Taken(asyncio.Protocol):
        @override
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            taken.append(transport)

    async def count_turns() -> int:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0), backlog=burst) as listener, ExitStack() as here:
            servers = [
                await loop.create_server(Taken, sock=one, backlog=burst)
                for one in listen_often(listener)
            ]
            for _ in range(burst):
                here.enter_context(socket.create_connection(listener.getsockname()))
            turns = 0
            while len(taken) < burst:
                turns += 1
                await asyncio.sleep(0)
            for server in servers:
                server.close()
        return turns

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(count_turns()) < burst / 4
