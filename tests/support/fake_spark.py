"""Spark, as the service calls it: a real server in a process of its own, asked over HTTP.

It verifies key and signature, takes a message once, keeps the newest score, and serves files. What
it knows is read from its gradebook; what it should do wrong is scripted, a list for each path,
first in first out:

    await spark.script("/grades", {"status": 503, "headers": {"Retry-After": "1"}}, DROPPED)

A fault that is `stored` takes the message before it breaks the answer.
"""

import asyncio
import base64
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.broken_answers import Fault
from tests.support.patience import patient

START_SECONDS = patient(60)

HANGS: Fault = {"act": "hang"}  # until its client goes
HANGS_UNREAD: Fault = {"act": "hang unread"}
DROPPED: Fault = {"act": "drop", "stored": True}
DROPPED_UNSTORED: Fault = {"act": "drop"}
HALF: Fault = {"act": "half", "stored": True}
HUGE: Fault = {"act": "huge", "stored": True}  # 10 MB
TO_ITSELF: Fault = {"act": "redirect"}


def slow(seconds: float) -> Fault:
    """Taken; the first byte of the answer comes so late."""
    return {"act": "slow", "seconds": seconds, "stored": True}


@dataclass(frozen=True)
class FakeSpark:
    """`url` is SPARK_API_URL; `files_url` the same by TLS, whose certificate is for `localhost`
    and by the authority in `ca_file`: a client that says 127.0.0.1 meets a wrong one.
    """

    url: str
    files_url: str
    ca_file: Path
    client: httpx.AsyncClient

    async def requests(self, path: str | None = None) -> list[dict[str, Any]]:
        """In order: method, path, query, headers (lists by lower-case name), body (bytes, None
        while it is not read), at. Those of one path, if it is named.
        """
        kept: list[dict[str, Any]] = (await self._state())["requests"]
        for each in kept:
            each["body"] = each["body"] and base64.b64decode(each["body"])
        return [each for each in kept if path in (None, each["path"])]

    async def gradebook(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        """The newest score by student, course ('' for none) and assignment, as it was sent."""
        book = (await self._state())["gradebook"]
        return {tuple(json.loads(place)): grade for place, grade in book.items()}

    async def effects(self) -> list[dict[str, Any]]:
        """Each body of `/grades` that changed something, or told of progress without a score."""
        effects: list[dict[str, Any]] = (await self._state())["effects"]
        return effects

    async def receipts(self) -> list[dict[str, Any]]:
        receipts: list[dict[str, Any]] = (await self._state())["receipts"]
        return receipts

    async def alerts(self) -> list[dict[str, Any]]:
        """What operators were told, at `/alerts` or as by Slack."""
        alerts: list[dict[str, Any]] = (await self._state())["alerts"]
        return alerts

    async def script(self, path: str, *faults: Fault) -> None:
        """What happens to the next requests of this path."""
        await self._control("POST", "faults", json={"path": path, "faults": faults})

    async def change(self, **settings: object) -> None:
        """`api_key`, `outbound_secret` and `alert_secret` (None: nothing is verified),
        `per_minute`, `unknown_students`.
        """
        await self._control("PATCH", "settings", json=settings)

    async def serve_file(self, name: str, content: bytes) -> str:
        """Its address."""
        await self._control("PUT", name, content=content)
        return f"{self.files_url}/files/{name}"

    async def forget(self) -> None:
        """What it was sent, and the faults that were left. Settings and files stay."""
        await self._control("DELETE", "state")

    async def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = (await self._control("GET", "state")).json()
        return state

    async def _control(self, method: str, what: str, **content: Any) -> httpx.Response:
        answer = await self.client.request(method, f"/_control/{what}", **content)
        return answer.raise_for_status()


@asynccontextmanager
async def run_fake_spark(
    api_key: str = "", outbound_secret: str | None = None
) -> AsyncIterator[FakeSpark]:
    """It ends with the context, and with this process."""
    secrets = {"SPARK_API_KEY": api_key, "SPARK_OUTBOUND_SECRET": outbound_secret or ""}
    with tempfile.TemporaryDirectory(prefix="fake-spark-") as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.spark_api", folder),
            env=os.environ | secrets,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout
        assert process.stdin
        try:
            async with asyncio.timeout(START_SECONDS):
                port, tls_port = json.loads(await process.stdout.readline())
            url = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
                files_url = f"https://localhost:{tls_port}"
                yield FakeSpark(url, files_url, Path(folder) / "ca.pem", client)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
