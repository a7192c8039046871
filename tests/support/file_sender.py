"""Sends files that were made beforehand, so that the sender costs next to nothing.

Either through a service, as a signed form, or by a plain PUT to a link that the store accepts.
"""

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from urllib.parse import urlsplit

import psutil

from app.signing import sign
from tests.support.bodies import BOUNDARY, Part
from tests.support.checkout import Serving
from tests.support.samples import mp4
from tests.support.sender import END, MEBIBYTE, Sender
from tests.support.spark import FORM, SUBMISSION

PIECE_BYTES = 256 * 1024
SECONDS = 120


@dataclass(frozen=True)
class Load:
    """So many uploads at once, of so many files each; every file has the same content."""

    uploads: int
    files: int
    content: bytes

    @property
    def title(self) -> str:
        size = f"{len(self.content) / MEBIBYTE:.0f} MiB"
        if self.uploads == 1:
            return f"{self.files} x {size} in one request"
        return f"{self.uploads} requests of {self.files} x {size} at once"

    @property
    def mebibytes(self) -> float:
        return self.uploads * self.files * len(self.content) / MEBIBYTE


def film(mebibytes: int, filling: bytes | None = None) -> bytes:
    """A film by its first bytes; then noise, or the filling again and again."""
    size = mebibytes * MEBIBYTE - len(mp4())
    if filling is None:
        return mp4() + secrets.token_bytes(size)
    return mp4() + (filling * (size // len(filling) + 1))[:size]


class FileSender:
    """Spark with files, for one running service."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._sender = Sender(serving.url, serving.checkout.secrets)
        self._process = psutil.Process(serving.process.pid)

    def direct(self, load: Load) -> float:
        """Seconds for the same bytes straight to the store, each request's files in turn."""
        links = [
            [self._serving.stores.link_to_put(secrets.token_hex(8)) for _ in range(load.files)]
            for _ in range(load.uploads)
        ]
        with ThreadPoolExecutor(load.uploads) as threads:
            began = time.perf_counter()
            list(threads.map(partial(_put, content=load.content), links))
            return time.perf_counter() - began

    def through(self, load: Load) -> float:
        """Seconds through the service."""
        return self._hand_in_all(load)[0]

    def cpu(self, load: Load) -> float:
        """CPU milliseconds of the service's process for a mebibyte."""
        return self._hand_in_all(load)[1] * 1000 / load.mebibytes

    def _hand_in_all(self, load: Load) -> tuple[float, float]:
        """Seconds, and CPU seconds of the service; each upload by a student of its own."""
        students = [self._sender.sign_in() for _ in range(load.uploads)]
        with ThreadPoolExecutor(load.uploads) as threads:
            began, cpu = time.perf_counter(), self._cpu_seconds
            list(threads.map(partial(self._hand_in, load=load), students))
            return time.perf_counter() - began, self._cpu_seconds - cpu

    @property
    def _cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def _hand_in(self, student: str, load: Load) -> None:
        message = self._sender.message(student)
        pieces = list(_form(message, [load.content] * load.files))
        headers = {
            "Content-Type": FORM,
            "X-Spark-Signature": sign(self._sender.webhook_secret, message),
            "Content-Length": str(sum(map(len, pieces))),
        }
        connection = HTTPConnection(urlsplit(self._serving.url).netloc, timeout=SECONDS)
        connection.request("POST", SUBMISSION, body=pieces, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status == 200, body
        assert len(json.loads(body)["files"]) == load.files


def _put(links: Sequence[str], content: bytes) -> None:
    connection = HTTPConnection(urlsplit(links[0]).netloc, timeout=SECONDS)
    for link in links:
        headers = {"Content-Length": str(len(content))}
        connection.request("PUT", link, body=list(_cut(content)), headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
    connection.close()


def _form(message: bytes, contents: Sequence[bytes]) -> Iterator[bytes | memoryview]:
    yield b"--" + BOUNDARY + b"\r\n" + Part("metadata", message).encode()
    for number, content in enumerate(contents):
        head = Part("file", b"", filename=f"{number}.mp4").encode()
        yield b"\r\n--" + BOUNDARY + b"\r\n" + head
        yield from _cut(content)
    yield END


def _cut(content: bytes) -> Iterator[memoryview]:
    whole = memoryview(content)
    return (whole[at : at + PIECE_BYTES] for at in range(0, len(whole), PIECE_BYTES))
