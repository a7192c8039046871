"""Where the CPU of the hot acts goes in a running service: what surrounds a request, and its act.

    .venv/bin/python -m bench.around                    # two minutes; --act exchange, --floor 50

The service looks where it is every 4 ms of its CPU time while 32 connections sign in, exchange the
code, hand in, and hand in again. For each act a tree of calls with the µs of one request, without
what is below the floor. Under load code is cold: what costs 20 µs in a loop costs two to four times
that here. A figure is good to some 15 µs; to compare two trees of code run them in turns.
"""

import asyncio
import gc
import inspect
import json
import multiprocessing
import os
import re
import secrets
import signal
import socket
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import greenlet  # type: ignore[import-untyped]
import psutil
import uvicorn
from pydantic import SecretStr

from app.clock import utc_now
from app.database import create_engine, open_sessions
from app.embedded.servers import run_servers
from app.learning.sample_course import seed_sample_course
from app.logs import configure_logs
from app.main import create_app
from app.migrate import migrate
from app.play_spark import launch_token, submission
from app.serve import YOUNG_OBJECTS, http_config
from app.settings import Settings
from app.signing import sign
from bench import wire

STUDENTS, ROUNDS, AT_ONCE = 400, 5, 32
ACTS = ("sign-in", "exchange", "submission", "replay")
SECRETS = ("spark_sso_secret", "spark_webhook_secret", "jwt_secret_key")
LIMITS = ("sso", "token", "webhook", "webhook_failures")
JSON = {"Content-Type": "application/json"}

Samples = Counter[tuple[CodeType, ...]]


def serve(
    settings: Settings, listener: socket.socket, current: Any, floor: float, cpu: Any
) -> None:
    """Until SIGTERM; then says what it saw. `cpu` has the µs of one request of each act."""
    outside = len([*_calls(inspect.currentframe())])
    seen = [Samples() for _ in (None, *ACTS)]

    def look(_: int, frame: FrameType | None) -> None:
        seen[current.value][tuple(_calls(frame))[:-outside]] += 1

    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        _run_sampled(settings, listener, look)
    for name, samples, each in zip(ACTS, seen[1:], cpu, strict=True):
        if samples:
            print(f"\n{name}: {each:.0f} µs of CPU each")
            show(samples, each / samples.total(), floor)


def _run_sampled(
    settings: Settings, listener: socket.socket, look: Callable[[int, FrameType | None], None]
) -> None:
    configure_logs()

    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again at its end
    signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, 0.004, 0.004)
    config = http_config(create_app(settings), host="127.0.0.1", port=0)
    gc.set_threshold(YOUNG_OBJECTS)
    uvicorn.Server(config).run([listener])
    signal.setitimer(signal.ITIMER_PROF, 0)


def _calls(frame: FrameType | None) -> Iterator[CodeType]:
    """From the innermost; SQLAlchemy's run in a greenlet of their own."""
    running = greenlet.getcurrent()
    while True:
        while frame is not None:
            yield frame.f_code
            frame = frame.f_back
        if running.parent is None:
            return
        running = running.parent
        frame = running.gr_frame


def show(samples: Samples, each: float, floor: float, depth: int = 0, indent: str = "") -> None:
    callees: dict[CodeType, Samples] = {}
    for calls, count in samples.items():
        if depth < len(calls):
            callees.setdefault(calls[-1 - depth], Samples())[calls] += count
    for code, below in sorted(callees.items(), key=lambda item: -item[1].total()):
        cost = below.total() * each
        if cost >= floor:
            path = code.co_filename.rpartition("site-packages/")[2].rpartition("/app/")[2]
            print(f"{cost:6.0f} {indent}{code.co_qualname}  {'/'.join(path.split('/')[-2:])}")
            show(below, each, floor, depth + 1, indent + " ")


async def drive(
    settings: Settings, port: int, acts: Sequence[str], current: Any, cpu: Any, pid: int
) -> None:
    service, spent = psutil.Process(pid), dict.fromkeys(ACTS, 0.0)
    for number in range(ROUNDS + 1):
        students = [f"bench_{secrets.token_hex(6)}" for _ in range(STUDENTS)]
        await answers(port, launches(settings, students))  # makes the accounts
        codes: list[bytes] = []
        for index, act in enumerate(ACTS):
            if act != "replay":
                asked = list(requests(act, settings, students, codes))
            before = sum(service.cpu_times()[:2])
            current.value = index + 1 if number and act in acts else 0
            heads = await answers(port, asked)
            current.value = 0
            spent[act] += (sum(service.cpu_times()[:2]) - before) if number else 0
            cpu[index] = spent[act] / max(1, number) / STUDENTS * 1_000_000
            if act == "sign-in":
                codes = [re.findall(rb"[?&]code=([^&\s]+)", head)[0] for head in heads]


def requests(
    act: str, settings: Settings, students: Sequence[str], codes: Sequence[bytes]
) -> Iterator[bytes]:
    if act == "sign-in":
        yield from launches(settings, students)
    elif act == "exchange":
        for code in codes:
            body = json.dumps({"code": code.decode()}).encode()
            yield wire.request_bytes("POST", "/spark/token", headers=JSON, body=body)
    else:
        secret = settings.webhook_secrets[0]
        for student in students:
            body = submission(student, "Rain fell.", now=utc_now())
            signed = JSON | {"X-Spark-Signature": sign(secret, body)}
            yield wire.request_bytes("POST", "/spark/webhook/submission", headers=signed, body=body)


def launches(settings: Settings, students: Sequence[str]) -> list[bytes]:
    secret, now = settings.sso_secrets[0], utc_now()
    paths = [f"/spark/sso?token={launch_token(secret, student, now=now)}" for student in students]
    return [wire.request_bytes("GET", path) for path in paths]


async def answers(port: int, asked: Sequence[bytes]) -> list[bytes]:
    """The head of each, in the order they came."""
    waiting, heads = iter(asked), list[bytes]()

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in waiting:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert int(head[9:12]) in {200, 302}, head
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            heads.append(head)
        writer.close()

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return heads


async def seed(settings: Settings) -> None:
    engine = create_engine(settings)
    await seed_sample_course(open_sessions(engine, at_once=1))
    await engine.dispose()


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--act", choices=ACTS)
    parser.add_argument("--floor", type=float, default=20, help="µs")
    given = parser.parse_args()
    acts = [given.act] if given.act else ACTS
    with (
        run_servers(Path(".local/bench"), postgres=True, s3=True) as variables,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        os.environ.update(variables)
        options: dict[str, Any] = {name: SecretStr(secrets.token_hex(32)) for name in SECRETS}
        options |= {f"rate_limit_{name}": 10_000_000 for name in LIMITS}
        settings = Settings(_env_file=None, **options)
        migrate(settings)
        asyncio.run(seed(settings))
        current = multiprocessing.Value("i", 0, lock=False)
        cpu = multiprocessing.Array("d", len(ACTS), lock=False)
        service = multiprocessing.Process(
            target=serve, args=(settings, listener, current, given.floor, cpu)
        )
        service.start()
        time.sleep(5)
        port = listener.getsockname()[1]
        try:
            wire.run(drive(settings, port, acts, current, cpu, service.pid or 0))
        finally:
            service.terminate()
            service.join()


if __name__ == "__main__":
    main()
