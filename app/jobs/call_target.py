"""One signed call of a target, and what its answer means (DESIGN R47)."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import NamedTuple

import httpx
from pydantic import Field, SecretStr

from app.fetch import USER_AGENT, WORTH_ANOTHER_TRY, read_retry_after
from app.fields import ContractModel
from app.jobs.settle import Outcome
from app.signing import frame, sign_v1

CALL_SECONDS = 15
ANSWER_BYTES = 64 * 1024  # what is read of an answer
SHOWN_CHARACTERS = 500
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


def sign_call(
    secrets: Sequence[SecretStr], message_id: str, body: bytes, *, now: datetime
) -> dict[str, str]:
    """The headers of Standard Webhooks; without a secret it is unsigned. `message_id` is the same
    in each attempt.
    """
    seconds = str(int(now.timestamp()))
    signed = frame(message_id, seconds) + body
    signatures = [sign_v1(secret, signed) for secret in secrets]
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": message_id,
        "webhook-timestamp": seconds,
    } | ({"webhook-signature": " ".join(signatures)} if signatures else {})


async def call_target(
    client: httpx.AsyncClient,
    target: str,
    method: str,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
) -> Call:
    """Ends after CALL_SECONDS. Redirects are not followed: keys would go along. Codes begin with
    the target's name.
    """
    clock = asyncio.get_running_loop().time
    began = clock()
    status, answer = None, ""
    try:
        async with (
            asyncio.timeout(CALL_SECONDS),
            client.stream(method, url, content=body, headers=headers) as response,
        ):
            status, outcome = response.status_code, read_outcome(response, target)
            answer = await _read_some(response)
    except TimeoutError:
        outcome = Outcome("again", f"{target}_timeout")
    except httpx.HTTPError as failure:
        if status is None or status < HTTPStatus.MULTIPLE_CHOICES:
            outcome = _outcome_without_answer(failure, target)
    return Call(outcome, status, answer, round((clock() - began) * 1000))


def read_test(call: Call, hints: Mapping[str, str], otherwise: str) -> TargetTest:
    """With the hint for its code."""
    code = call.outcome.code
    return TargetTest(
        ok=call.outcome.verdict == "done",
        code=code,
        status=call.status,
        milliseconds=call.milliseconds,
        hint=hints.get(code, otherwise),
    )


def read_outcome(response: httpx.Response, target: str) -> Outcome:
    status = response.status_code
    code = f"{target}_{status}"
    if response.is_success:
        return Outcome("done", "delivered")
    if status == HTTPStatus.CONFLICT:
        return Outcome("done", "superseded")  # it has what is newer
    if status in NOT_OURS or response.is_redirect or response.has_redirect_location:
        return Outcome("refused", code)
    if status in WORTH_ANOTHER_TRY or response.is_server_error:
        wait = timedelta(seconds=read_retry_after(response.headers) or 0)
        return Outcome("again", code, wait)
    return Outcome("refused" if status < HTTPStatus.BAD_REQUEST else "dead", code)


def _outcome_without_answer(failure: httpx.HTTPError, target: str) -> Outcome:
    """A certificate that is not right is no outage: whoever answers is not to get the key."""
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Outcome("refused", f"{target}_certificate_invalid")
        cause = cause.__cause__ or cause.__context__
    if isinstance(failure, httpx.ConnectError):
        return Outcome("again", f"{target}_unreachable")
    if isinstance(failure, httpx.TimeoutException):
        return Outcome("again", f"{target}_timeout")
    return Outcome("again", f"{target}_cut_short")


async def _read_some(response: httpx.Response) -> str:
    """The first characters, in one line."""
    read = b""
    async for chunk in response.aiter_bytes():
        read += chunk
        if len(read) >= ANSWER_BYTES:
            break
    text = read[:ANSWER_BYTES].decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:SHOWN_CHARACTERS]
