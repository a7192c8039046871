"""One piece of homework that can be sent again and again, and what has to be kept of it."""

import asyncio
import hashlib
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from app.learning.sample_course import ASSIGNMENT_ID, COURSE_ID
from app.play_spark import launch_token
from app.settings import Settings
from app.signing import sign
from tests.support.bodies import Part, form
from tests.support.invariants import Answered
from tests.support.spark import FORM, SUBMISSION


@dataclass(frozen=True)
class Homework:
    """A signed request for the sample course: JSON, or a form if it has files."""

    spark_user_id: str
    text: str
    message: bytes
    signature: str
    files: tuple[Part, ...] = ()

    @property
    def content_type(self) -> str:
        return FORM if self.files else "application/json"

    @property
    def body(self) -> bytes:
        return self.body_with()

    def body_with(self, *, metadata_last: bool = False) -> bytes:
        metadata = Part("metadata", self.message)
        parts = [*self.files, metadata] if metadata_last else [metadata, *self.files]
        return form(*parts) if self.files else self.message

    @property
    def request(self) -> bytes:
        return self.request_with()

    def request_with(self, *, metadata_last: bool = False) -> bytes:
        """Head and body as they go over a plain socket; its answer ends the connection."""
        body = self.body_with(metadata_last=metadata_last)
        head = (
            f"POST {SUBMISSION} HTTP/1.1",
            "Host: spark.test",
            "Connection: close",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(body)}",
            f"X-Spark-Signature: {self.signature}",
        )
        return "\r\n".join(head).encode() + b"\r\n\r\n" + body

    async def send(self, client: httpx.AsyncClient, url: str = "") -> httpx.Response:
        headers = {"Content-Type": self.content_type, "X-Spark-Signature": self.signature}
        return await client.post(url + SUBMISSION, content=self.body, headers=headers)

    async def send_once(
        self, url: str, *, metadata_last: bool = False
    ) -> tuple[int, dict[str, Any]]:
        """On a connection of its own. Raises OSError or EOFError if no whole answer comes."""
        address = urlsplit(url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(self.request_with(metadata_last=metadata_last))
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            assert length, head
            body = await reader.readexactly(int(length[1]))
            return int(head.split(maxsplit=2)[1]), json.loads(body)
        finally:
            writer.transport.abort()

    def answered(self, body: dict[str, Any]) -> Answered:
        digests = tuple(hashlib.sha256(file.content).hexdigest() for file in self.files)
        return Answered(self.spark_user_id, self.message, self.text, digests, body)


def write_homework(
    webhook_secret: SecretStr,
    spark_user_id: str,
    files: Sequence[Part] = (),
    at: datetime | None = None,
) -> Homework:
    """Of this moment unless it is said, with a text that nobody else has."""
    text = f"It rained on four days. {secrets.token_hex(8)}"
    content = {
        "spark_user_id": spark_user_id,
        "spark_assignment_id": ASSIGNMENT_ID,
        "spark_course_id": COURSE_ID,
        "submission_text": text,
        "submitted_at": (at or datetime.now(tz=UTC)).isoformat(),
    }
    message = json.dumps(content).encode()
    return Homework(spark_user_id, text, message, sign(webhook_secret, message), tuple(files))


def note(size: int) -> Part:
    """A text file of so many bytes, like no other."""
    content = secrets.token_hex(size // 2 + 1)[:size].encode()
    return Part("file", content, filename=f"notes-{secrets.token_hex(3)}.txt")


async def sign_in(client: httpx.AsyncClient, url: str, settings: Settings) -> str:
    """A new student's Spark id."""
    assert settings.spark_sso_secret
    student = f"student_{secrets.token_hex(6)}"
    token = launch_token(settings.spark_sso_secret, student, now=datetime.now(tz=UTC))
    answer = await client.get(f"{url}/spark/sso", params={"token": token})
    assert answer.status_code == 302, answer.text
    return student
