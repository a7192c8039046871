"""Calling Spark's own API: signed by Standard Webhooks, and what its answers mean (DESIGN R47)."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import NamedTuple
from uuid import UUID

import httpx
from pydantic import Field

from app import metrics
from app.database import Sessions
from app.fetch import USER_AGENT, WORTH_ANOTHER_TRY, read_retry_after
from app.fields import ContractModel
from app.jobs.settle import Outcome
from app.jobs.targets import change_target
from app.settings import Settings
from app.signing import frame, sign_v1

SPARK = "spark"  # as a target
CALL_SECONDS = 15
ANSWER_BYTES = 64 * 1024  # what is read of an answer
SHOWN_CHARACTERS = 500
BURST = 4  # calls that need not wait for their turn
NOT_OURS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class Call(NamedTuple):
    """One call and what came of it; without a `status` no answer came. `answer` is for people."""

    outcome: Outcome
    status: int | None
    answer: str
    milliseconds: int


class TargetTest(ContractModel):
    """What one call said."""

    ok: bool = Field(description="Key and signature are right.", examples=[True])
    code: str = Field(description="What came of it.", examples=["delivered"])
    status: int | None = Field(description="Spark's; null without an answer.", examples=[200])
    milliseconds: int = Field(ge=0, description="How long it took.", examples=[120])
    hint: str = Field(description="What to do.", examples=["Grades can be sent."])


HINTS = {
    "delivered": "Grades can be sent.",
    "spark_401": "Key or signature is wrong: compare SPARK_API_KEY and SPARK_OUTBOUND_SECRET.",
    "spark_403": "Key or signature is wrong: compare SPARK_API_KEY and SPARK_OUTBOUND_SECRET.",
    "spark_404": "It can be reached; the key was not checked, because Spark has no /ping.",
    "spark_unreachable": "Nobody answers there: is SPARK_API_URL right?",
    "spark_certificate_invalid": "Its certificate is not valid for SPARK_API_URL.",
}


class Pace:
    """So many calls a minute, evenly after the first few."""

    def __init__(self, per_minute: int) -> None:
        self._every = 60 / per_minute
        self._next = 0.0

    async def wait(self) -> None:
        now = asyncio.get_running_loop().time()
        turn = max(self._next, now - BURST * self._every) + self._every
        self._next = turn
        await asyncio.sleep(turn - now)


class SparkApi:
    """SPARK_API_URL, called with our key. Redirects are not followed: the key would go along."""

    def __init__(
        self,
        settings: Settings,
        client: httpx.AsyncClient,
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], UUID],
    ) -> None:
        self._settings = settings
        self._client = client
        self._now = now
        self._new_id = new_id
        self._pace = Pace(settings.spark_api_per_minute)

    async def call(self, method: str, path: str, message_id: str, body: bytes = b"") -> Call:
        """Ends after CALL_SECONDS. `message_id` is the same in each attempt."""
        await self._pace.wait()
        clock = asyncio.get_running_loop().time
        began = clock()
        status, answer = None, ""
        try:
            async with (
                asyncio.timeout(CALL_SECONDS),
                self._client.stream(
                    method,
                    f"{self._settings.spark_api_url}{path}",
                    content=body,
                    headers=self._headers(message_id, body),
                ) as response,
            ):
                status, outcome = response.status_code, read_outcome(response)
                answer = await _read_some(response)
        except TimeoutError:
            outcome = Outcome("again", "spark_timeout")
        except httpx.HTTPError as failure:
            if status is None or status < HTTPStatus.MULTIPLE_CHOICES:
                outcome = _outcome_without_answer(failure)
        metrics.SPARK_CALLS.labels(path, outcome.code).inc()
        return Call(outcome, status, answer, round((clock() - began) * 1000))

    async def test(self) -> TargetTest:
        """`GET /ping`, whose empty body is signed."""
        call = await self.call("GET", "/ping", str(self._new_id()))
        code = call.outcome.code
        return TargetTest(
            ok=call.outcome.verdict == "done",
            code=code,
            status=call.status,
            milliseconds=call.milliseconds,
            hint=HINTS.get(code, "Ask again; if it stays so, ask Spark."),
        )

    def _headers(self, message_id: str, body: bytes) -> dict[str, str]:
        settings, seconds = self._settings, str(int(self._now().timestamp()))
        signed = frame(message_id, seconds) + body
        signatures = [sign_v1(secret, signed) for secret in settings.outbound_secrets]
        key = settings.spark_api_key
        return {
            "Authorization": f"Bearer {key.get_secret_value() if key else ''}",
            "Content-Type": "application/json",
            "Idempotency-Key": message_id,
            "User-Agent": USER_AGENT,
            "X-Request-Id": str(self._new_id()),
            "webhook-id": message_id,
            "webhook-timestamp": seconds,
        } | ({"webhook-signature": " ".join(signatures)} if signatures else {})


async def test_spark(sessions: Sessions, spark_api: SparkApi, *, caller: str) -> TargetTest:
    """The target is open again if it answers."""
    tested = await spark_api.test()
    if tested.ok:
        await change_target(sessions, SPARK, "open", caller=caller)
    return tested


def read_outcome(response: httpx.Response) -> Outcome:
    status = response.status_code
    code = f"spark_{status}"
    if response.is_success:
        return Outcome("done", "delivered")
    if status == HTTPStatus.CONFLICT:
        return Outcome("done", "superseded")  # Spark has what is newer
    if status in NOT_OURS or response.is_redirect or response.has_redirect_location:
        return Outcome("refused", code)
    if status in WORTH_ANOTHER_TRY or response.is_server_error:
        wait = timedelta(seconds=read_retry_after(response.headers) or 0)
        return Outcome("again", code, wait)
    return Outcome("refused" if status < HTTPStatus.BAD_REQUEST else "dead", code)


def _outcome_without_answer(failure: httpx.HTTPError) -> Outcome:
    """A certificate that is not right is no outage: whoever answers is not to get the key."""
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Outcome("refused", "spark_certificate_invalid")
        cause = cause.__cause__ or cause.__context__
    if isinstance(failure, httpx.ConnectError):
        return Outcome("again", "spark_unreachable")
    if isinstance(failure, httpx.TimeoutException):
        return Outcome("again", "spark_timeout")
    return Outcome("again", "spark_cut_short")


async def _read_some(response: httpx.Response) -> str:
    """The first characters, in one line."""
    read = b""
    async for chunk in response.aiter_bytes():
        read += chunk
        if len(read) >= ANSWER_BYTES:
            break
    text = read[:ANSWER_BYTES].decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:SHOWN_CHARACTERS]
