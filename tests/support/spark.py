"""Plays Spark against the service under test: signs launch tokens and submissions as it does."""

import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx
from pydantic import SecretStr

from app.signing import sign, sign_token, token_key
from tests.support.bodies import BOUNDARY, Part, form
from tests.support.canaries import CANARIES
from tests.support.webhooks import library

RETURN_URL = "https://spark.example/optio/chosen"
PERSONAL = ("email", "given_name", "family_name")
SUBMISSION = "/spark/webhook/submission"
FORM = f"multipart/form-data; boundary={BOUNDARY.decode()}"


@dataclass(frozen=True)
class Assignment:
    """A quest of one Spark assignment, with three tasks of 100, 150 and 100 XP."""

    quest_id: UUID
    spark_assignment_id: str
    spark_course_id: str


@dataclass(frozen=True)
class SignedIn:
    """A student of Spark who entered Optio."""

    spark_user_id: str
    user_id: str
    access_token: str
    refresh_token: str


@dataclass(frozen=True)
class Spark:
    """Knows both secrets and the service's address."""

    browser: httpx.AsyncClient
    sso_secret: SecretStr
    webhook_secret: SecretStr

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of a fresh student. A change to `...` leaves the claim out."""
        now = datetime.now(tz=UTC)
        student = f"student_{secrets.token_hex(6)}"
        claims = {
            "sub": student,
            "email": f"{student}@example.com",
            "given_name": f"Ada{secrets.token_hex(6)}",
            "family_name": f"Example{secrets.token_hex(6)}",
            "role": "student",
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(minutes=10)).timestamp()),
        } | changes
        CANARIES.release(*(str(claims[name]) for name in PERSONAL))
        return {name: value for name, value in claims.items() if value is not ...}

    def launch_token(self, **changes: Any) -> str:
        return sign_token(self.claims(**changes), key=token_key(self.sso_secret))

    def deep_link_claims(self, **changes: Any) -> dict[str, Any]:
        """Of a fresh teacher who shall choose work. A change to `...` leaves the claim out."""
        now = int(datetime.now(tz=UTC).timestamp())
        claims = {
            "message_type": "deep_linking_request",
            "iss": "spark",
            "sub": f"teacher_{secrets.token_hex(6)}",
            "role": "teacher",
            "iat": now,
            "exp": now + 600,
            "jti": secrets.token_hex(8),
            "spark_course_id": "test_course_001",
            "spark_assignment_id": "essay",
            "return_url": RETURN_URL,
            "state": "äx7",
        } | changes
        return {name: value for name, value in claims.items() if value is not ...}

    def signed(self, claims: dict[str, Any], **more: Any) -> str:
        token = sign_token(claims, key=token_key(self.sso_secret), **more)
        CANARIES.release(token)
        return token

    async def launch(self, token: str) -> httpx.Response:
        CANARIES.release(token)
        return await self.browser.get("/spark/sso", params={"token": token})

    async def launch_code(self, token: str | None = None, **changes: Any) -> str:
        """The one-time code that a launch gives."""
        answer = await self.launch(token or self.launch_token(**changes))
        assert answer.status_code == 302, answer.text
        code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
        CANARIES.release(code)
        return code

    async def exchange(self, code: str) -> httpx.Response:
        return await self.browser.post("/spark/token", json={"code": code})

    async def sign_in(self, **changes: Any) -> SignedIn:
        claims = self.claims(**changes)
        token = sign_token(claims, key=token_key(self.sso_secret))
        answer = await self.exchange(await self.launch_code(token))
        assert answer.status_code == 200, answer.text
        body = answer.json()
        CANARIES.release(body["app_access_token"], body["app_refresh_token"])
        return SignedIn(
            str(claims["sub"]),
            body["user_id"],
            body["app_access_token"],
            body["app_refresh_token"],
        )

    def sign(self, raw: bytes) -> str:
        signature = sign(self.webhook_secret, raw)
        CANARIES.release(signature)
        return signature

    def sign_v1(
        self, raw: bytes, *, webhook_id: str | None = None, at: datetime | None = None
    ) -> dict[str, str]:
        """The three headers of Standard Webhooks, made by its own library; `at` is now."""
        webhook_id = webhook_id or f"msg_{secrets.token_hex(12)}"
        at = at or datetime.now(tz=UTC)
        signature = library(self.webhook_secret).sign(webhook_id, at, raw.decode())
        CANARIES.release(signature)
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signature,
        }

    async def post(
        self,
        content: bytes,
        headers: Mapping[str, str],
        *,
        media_type: str = "application/json",
        **query: str,
    ) -> httpx.Response:
        """Any body under any signature; a form's media type is FORM."""
        return await self.browser.post(
            SUBMISSION,
            content=content,
            headers={"Content-Type": media_type} | dict(headers),
            params=query,
        )

    async def submit(
        self, payload: dict[str, Any] | bytes, *, signature: str | None = None
    ) -> httpx.Response:
        """A JSON submission, signed."""
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return await self.browser.post(
            SUBMISSION,
            content=raw,
            headers={
                "Content-Type": "application/json",
                "X-Spark-Signature": self.sign(raw) if signature is None else signature,
            },
        )

    async def submit_form(
        self, payload: dict[str, Any], *files: Part, metadata_last: bool = False
    ) -> httpx.Response:
        """A multipart submission, its metadata signed."""
        raw = json.dumps(payload).encode()
        metadata = Part("metadata", raw)
        parts = [*files, metadata] if metadata_last else [metadata, *files]
        return await self.send_form(form(*parts), signature=self.sign(raw))

    async def send_form(
        self, body: bytes | AsyncIterator[bytes], *, signature: str
    ) -> httpx.Response:
        """Any body under a multipart header; an iterator is sent chunked, without a length."""
        return await self.browser.post(
            SUBMISSION,
            content=body,
            headers={"Content-Type": FORM, "X-Spark-Signature": signature},
        )


def minutes_ago(minutes: int) -> str:
    return (datetime.now(tz=UTC) - timedelta(minutes=minutes)).isoformat()


def submission(student: SignedIn, assignment: Assignment, **changes: Any) -> dict[str, Any]:
    """A payload; a change to `...` leaves the field out."""
    text = f"Rain fell on four of seven days. {secrets.token_hex(8)}"
    CANARIES.release(text)
    payload = {
        "spark_user_id": student.spark_user_id,
        "spark_assignment_id": assignment.spark_assignment_id,
        "spark_course_id": assignment.spark_course_id,
        "submission_text": text,
        "submitted_at": datetime.now(tz=UTC).isoformat(),
    } | changes
    return {name: value for name, value in payload.items() if value is not ...}


def encoded(payload: dict[str, Any]) -> bytes:
    """The bytes to sign and to send."""
    return json.dumps(payload).encode()


def declared(*files: Part) -> list[dict[str, Any]]:
    """How signed metadata lists these files."""
    return [
        {
            "name": file.filename,
            "sha256": hashlib.sha256(file.content).hexdigest(),
            "size": len(file.content),
        }
        for file in files
    ]
