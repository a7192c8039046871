"""Who sent a webhook: HMAC-SHA256 over its exact bytes, in one of two forms (SECURITY D7).

v0 is `X-Spark-Signature`: the hexadecimal HMAC of the content. v1 is Standard Webhooks 1.0.0:
`webhook-signature` lists `v1,` and the base64 HMAC of `{webhook-id}.{webhook-timestamp}.{content}`.
In both the key is the literal text of the secret; a Standard Webhooks library, which decodes what
it is given, gets `whsec_` and the base64 of that text. One v1 header is enough for v1 to decide:
leaving others away never leads back to v0. The content is the raw JSON body, or the raw bytes of
a form's metadata field.
"""

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import SecretStr

from app.errors import (
    SignatureMismatchError,
    SignatureMissingError,
    TimestampInFutureError,
    TimestampTooOldError,
)
from app.signing import frame, sign, sign_v1

FRESH = timedelta(seconds=300)
LATEST_RETRY = timedelta(days=7)  # a message whose attempt is signed with its own time (D8)
WEBHOOK_ID = re.compile(r"[ -\-/-~]{1,255}")  # no full stop, which ends it in what is signed
TIMESTAMP = re.compile(r"[0-9]{1,18}")

V1_HINT = (
    "webhook-signature is `v1,` and the base64 HMAC-SHA256 of"
    " {webhook-id}.{webhook-timestamp}.{body} (multipart: the metadata field's value instead of the"
    " body). The key is the webhook secret as literal text: give a Standard Webhooks library whsec_"
    " and the base64 of that text."
)


@dataclass(frozen=True)
class SignatureHeaders:
    """All values of each header as received, because two readers may each pick another one."""

    spark: tuple[str, ...] = ()
    webhook_id: tuple[str, ...] = ()
    webhook_timestamp: tuple[str, ...] = ()
    webhook_signature: tuple[str, ...] = ()

    @property
    def is_v1(self) -> bool:
        return bool(self.webhook_id or self.webhook_timestamp or self.webhook_signature)

    def by_name(self) -> dict[str, tuple[str, ...]]:
        return {
            "X-Spark-Signature": self.spark,
            "webhook-id": self.webhook_id,
            "webhook-timestamp": self.webhook_timestamp,
            "webhook-signature": self.webhook_signature,
        }


@dataclass(frozen=True)
class Attempt:
    """The content is the sender's. Under v1 the attempt has an id and a time of its own; the inbox
    keeps the id alone. `by_previous`: it was signed with another secret than the current one.

    Under v0 freshness is still to be judged by the content's own time.
    """

    webhook_id: str | None = None
    attempted_at: int | None = None  # Unix seconds
    by_previous: bool = False

    @property
    def has_own_time(self) -> bool:
        return self.webhook_id is not None

    def check_fresh(self, *, now: datetime) -> None:
        """Raises TimestampTooOldError or TimestampInFutureError; never under v0."""
        if self.attempted_at is None:
            return
        age = now.timestamp() - self.attempted_at
        if age > FRESH.total_seconds():
            raise TimestampTooOldError(
                hint="webhook-timestamp may be 5 minutes old: it is the time of this attempt, so"
                " sign a retry again with a fresh one under the same webhook-id."
            )
        if -age > FRESH.total_seconds():
            raise TimestampInFutureError(
                hint="webhook-timestamp may be 5 minutes ahead, in seconds (not milliseconds) since"
                " 1970. Check the sender's clock."
            )


def check_said_time(said_at: datetime, *, name: str, has_own_time: bool, now: datetime) -> None:
    """Of the time that a message itself says, as `name`. Raises TimestampTooOldError or
    TimestampInFutureError.
    """
    if said_at < now - (LATEST_RETRY if has_own_time else FRESH):
        again = f"{name} may be 5 minutes old. Sign a retry again with a fresh {name}."
        late = f"{name} may be {LATEST_RETRY.days} days old."
        raise TimestampTooOldError(hint=late if has_own_time else again)
    if said_at > now + FRESH:
        raise TimestampInFutureError(
            hint=f"{name} may be 5 minutes ahead. Check the sender's clock and UTC offset."
        )


def check_headers(headers: SignatureHeaders, *, require_v1: bool) -> None:
    """What can be refused before the body is read.

    Raises SignatureMissingError, or SignatureMismatchError for values that can never fit.
    """
    values = headers.by_name()
    if headers.is_v1:
        missing = [name for name in values if name.startswith("webhook") and not values[name]]
        if missing:
            raise SignatureMissingError(hint=f"Send {' and '.join(missing)}, too. {V1_HINT}")
    elif not headers.spark:
        raise SignatureMissingError
    elif require_v1:
        raise SignatureMissingError(hint=f"X-Spark-Signature is not enough here. {V1_HINT}")
    repeated = [name for name in values if len(values[name]) > 1]
    if repeated:
        raise SignatureMismatchError(hint=f"Send {' and '.join(repeated)} once only.")
    if headers.is_v1:
        _check_v1_values(headers)


def authenticate(
    content: bytes,
    headers: SignatureHeaders,
    *,
    secrets: Sequence[SecretStr],
    require_v1: bool,
) -> Attempt:
    """Compares in constant time. Per MiB some 1.5 ms for each signature sent, so mind the loop.

    Raises the errors of `check_headers`, and SignatureMismatchError if a signature that was sent
    fits under none of the secrets. How fresh the attempt is, is another question.
    """
    check_headers(headers, require_v1=require_v1)
    v0_fits = _v0_fits(content, headers.spark, secrets)
    if not headers.is_v1:
        if not any(v0_fits):
            raise SignatureMismatchError
        return Attempt(by_previous=not v0_fits[0])
    (webhook_id,), (timestamp,) = headers.webhook_id, headers.webhook_timestamp
    signed = frame(webhook_id, timestamp) + content
    v1_fits = _v1_fits(signed, headers.webhook_signature, secrets)
    if not any(v1_fits):
        raise SignatureMismatchError(hint=V1_HINT)
    if headers.spark and not any(v0_fits):
        raise SignatureMismatchError(
            hint="webhook-signature is right, but X-Spark-Signature is not: leave it out."
        )
    return Attempt(webhook_id, int(timestamp), by_previous=not v1_fits[0])


def _check_v1_values(headers: SignatureHeaders) -> None:
    if not WEBHOOK_ID.fullmatch(headers.webhook_id[0]):
        raise SignatureMismatchError(
            hint="webhook-id must be 1 to 255 printable ASCII characters, none of them a full stop."
        )
    if not TIMESTAMP.fullmatch(headers.webhook_timestamp[0]):
        raise SignatureMismatchError(
            hint="webhook-timestamp must be whole seconds since 1970, in digits only."
        )


def _v0_fits(
    content: bytes, signatures: Sequence[str], secrets: Sequence[SecretStr]
) -> Sequence[bool]:
    expected = [sign(secret, content) for secret in secrets] if signatures else []
    return _are_equal([signature.lower() for signature in signatures], expected)


def _v1_fits(
    signed: bytes, signatures: Sequence[str], secrets: Sequence[SecretStr]
) -> Sequence[bool]:
    """Other versions in the list never equal ours, so they are skipped."""
    expected = [sign_v1(secret, signed) for secret in secrets]
    return _are_equal(signatures[0].split(" "), expected)


def _are_equal(given: Sequence[str], expected: Sequence[str]) -> Sequence[bool]:
    """Whether each expected one is given. Compares each with each, so that the time does not tell
    which one was right.
    """
    shown = [value.encode("utf-8", "replace") for value in given]
    return [
        any([hmac.compare_digest(right.encode(), value) for value in shown])  # noqa: C419 - each
        for right in expected
    ]
