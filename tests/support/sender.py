"""Sends large submissions piece by piece from outside the service's process.

What is sent is made on the way, so that files of any size cost this process nothing.
"""

import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from random import Random
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx
from pydantic import SecretStr

from app.learning.sample_course import ASSIGNMENT_ID, COURSE_ID
from app.play_spark import launch_token
from app.signing import sign
from tests.support.bodies import BOUNDARY, Part
from tests.support.samples import mp4, pdf
from tests.support.spark import FORM, SUBMISSION

MEBIBYTE = 1024 * 1024
CHUNK_BYTES = 64 * 1024
KINDS = (("film.mp4", mp4()), ("essay.pdf", pdf()))  # a picture is stored without what follows it


@dataclass(frozen=True)
class LargeFile:
    """Starts like a file of its kind and goes on with noise, the same each time."""

    name: str
    head: bytes
    size: int

    def chunks(self) -> Iterator[bytes]:
        noise = Random(self.name)  # noqa: S311 - it hides nothing
        yield self.head
        for start in range(len(self.head), self.size, CHUNK_BYTES):
            yield noise.randbytes(min(CHUNK_BYTES, self.size - start))


def large_files(count: int, size: int) -> list[LargeFile]:
    kinds = (KINDS * count)[:count]
    return [LargeFile(f"{number}-{name}", head, size) for number, (name, head) in enumerate(kinds)]


class Sender:
    """Spark, with the secrets of a service that runs elsewhere."""

    def __init__(self, url: str, variables: dict[str, str]) -> None:
        self.url = url
        self._sso_secret = SecretStr(variables["SPARK_SSO_SECRET"])
        self.webhook_secret = SecretStr(variables["SPARK_WEBHOOK_SECRET"])

    def sign_in(self) -> str:
        """A new student's Spark id."""
        student = f"student_{secrets.token_hex(6)}"
        token = launch_token(self._sso_secret, student, now=datetime.now(tz=UTC))
        answer = httpx.get(f"{self.url}/spark/sso", params={"token": token}, trust_env=False)
        assert "code" in parse_qs(urlsplit(answer.headers["location"]).query)
        return student

    def app_token(self) -> str:
        """A new student's, of the main app."""
        student = f"student_{secrets.token_hex(6)}"
        token = launch_token(self._sso_secret, student, now=datetime.now(tz=UTC))
        launched = httpx.get(f"{self.url}/spark/sso", params={"token": token}, trust_env=False)
        code = parse_qs(urlsplit(launched.headers["location"]).query)["code"][0]
        answer = httpx.post(f"{self.url}/spark/token", json={"code": code}, trust_env=False)
        access_token: str = answer.json()["app_access_token"]
        return access_token

    def message(self, student: str, **more: str) -> bytes:
        """What is signed; the same bytes again are the same message."""
        content = {
            "spark_user_id": student,
            "spark_assignment_id": ASSIGNMENT_ID,
            "spark_course_id": COURSE_ID,
            "submitted_at": datetime.now(tz=UTC).isoformat(),
        } | more
        return json.dumps(content).encode()

    def begin(self, message: bytes, files: Sequence[LargeFile]) -> "Upload":
        return Upload(self.url, message, signature=sign(self.webhook_secret, message), files=files)


class Upload:
    """One request on a connection of its own; nothing but its head is sent at first.

    Leaving it closes the connection.
    """

    def __init__(
        self, url: str, message: bytes, *, signature: str, files: Sequence[LargeFile]
    ) -> None:
        self.digests: list[str] = []
        self.sent = 0
        self._chunks = self._body(message, files)
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._connection.putrequest("POST", SUBMISSION)
        self._connection.putheader("Content-Type", FORM)
        self._connection.putheader("X-Spark-Signature", signature)
        self._connection.putheader("Content-Length", str(_length(message, files)))
        self._connection.endheaders()

    def send(self, size: int | None = None) -> None:
        """So much more of the body, to the next chunk, or all the rest."""
        goal = None if size is None else self.sent + size
        while goal is None or self.sent < goal:
            chunk = next(self._chunks, None)
            if chunk is None:
                return
            self._connection.send(chunk)
            self.sent += len(chunk)

    def answer(self) -> tuple[int, dict[str, Any]]:
        answer = self._connection.getresponse()
        body: dict[str, Any] = json.loads(answer.read())
        return answer.status, body

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """A sender that goes away, whatever it was doing."""
        self._connection.close()

    def _body(self, message: bytes, files: Sequence[LargeFile]) -> Iterator[bytes]:
        yield _delimiter() + Part("metadata", message).encode()
        for file in files:
            yield b"\r\n" + _delimiter() + _head(file)
            digest = hashlib.sha256()
            for chunk in file.chunks():
                digest.update(chunk)
                yield chunk
            self.digests.append(digest.hexdigest())
        yield END


END = b"\r\n--" + BOUNDARY + b"--\r\n"


def _delimiter() -> bytes:
    return b"--" + BOUNDARY + b"\r\n"


def _head(file: LargeFile) -> bytes:
    return Part("file", b"", filename=file.name).encode()


def _length(message: bytes, files: Sequence[LargeFile]) -> int:
    metadata = len(_delimiter() + Part("metadata", message).encode())
    heads = sum(len(b"\r\n" + _delimiter() + _head(file)) for file in files)
    return metadata + heads + sum(file.size for file in files) + len(END)
