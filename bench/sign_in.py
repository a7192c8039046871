"""Sign-in throughput of one process, as a ratio to a bare route of the same process.

    .venv/bin/python -m bench.sign_in

The bare route runs one trivial query and redirects. Each is called over keep-alive connections from
another process, by students who are known already; rounds alternate and the median ratio counts.
Exits 1 below the goal.
"""

import asyncio
import logging
import multiprocessing
import os
import secrets
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import uvicorn
from pydantic import SecretStr
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.clock import utc_now
from app.embedded.servers import run_servers
from app.logs import configure_logs
from app.main import create_app
from app.migrate import migrate
from app.serve import http_config
from app.settings import Settings
from app.signing import sign_token, token_key

STUDENTS, REQUESTS, ROUNDS, AT_ONCE = 40, 600, 7, 8
GOAL = 0.45


def serve(settings: Settings, listener: socket.socket) -> None:
    configure_logs(logging.WARNING)
    app = create_app(settings)

    async def bare(request: Request) -> Response:
        async with request.app.state.resources.sessions() as session, session.begin():
            await session.execute(text("select 1"))
        return RedirectResponse(settings.frontend_url, status_code=302)

    app.add_api_route("/bare", bare, response_model=None)
    uvicorn.Server(http_config(app, host="127.0.0.1", port=0)).run([listener])


async def _call(port: int, paths: Iterator[str], count: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(count):
        writer.write(f"GET {next(paths)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 302"), head
    writer.close()


async def _rate(port: int, paths: list[str]) -> float:
    """Requests a second."""
    endless = cycle(paths)
    began = time.perf_counter()
    await asyncio.gather(*(_call(port, endless, REQUESTS // AT_ONCE) for _ in range(AT_ONCE)))
    return REQUESTS / (time.perf_counter() - began)


def _sign_ins(secret: SecretStr, students: list[str]) -> list[str]:
    issued_at, key = int(utc_now().timestamp()), token_key(secret)
    tokens = (
        sign_token(
            {
                "sub": student,
                "email": f"{student}@example.com",
                "jti": secrets.token_hex(8),
                "iat": issued_at,
                "exp": issued_at + 600,
            },
            key=key,
        )
        for _ in range(REQUESTS // STUDENTS)
        for student in students
    )
    return [f"/spark/sso?token={token}" for token in tokens]


async def measure(secret: SecretStr, port: int) -> float:
    students = [f"bench_{secrets.token_hex(4)}" for _ in range(STUDENTS)]
    ratios = []
    for number in range(ROUNDS + 1):
        paths = _sign_ins(secret, students)
        bare, signed = await _rate(port, ["/bare"]), await _rate(port, paths)
        if number:  # the first round makes the accounts
            ratios.append(signed / bare)
            print(f"bare {bare:7.0f}/s   sign-in {signed:7.0f}/s   ratio {ratios[-1]:.2f}")
    return statistics.median(ratios)


def main() -> None:
    with (
        run_servers(Path(".local/bench"), postgres=True, s3=True) as variables,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        os.environ.update(variables)
        secret = SecretStr(secrets.token_hex(32))
        settings = Settings(_env_file=None, spark_sso_secret=secret, rate_limit_sso=1_000_000)
        migrate(settings)
        server = multiprocessing.Process(target=serve, args=(settings, listener), daemon=True)
        server.start()
        time.sleep(5)
        ratio = asyncio.run(measure(secret, listener.getsockname()[1]))
        server.terminate()
        server.join()
    print(f"sign-in is {ratio:.0%} of the bare route; the goal is {GOAL:.0%}")
    sys.exit(ratio < GOAL)


if __name__ == "__main__":
    main()
