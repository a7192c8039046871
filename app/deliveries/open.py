"""Who sent a delivery: its signature is verified before anything else is done with it."""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.deliveries.authenticate import SignatureHeaders, authenticate, check_headers
from app.deliveries.diagnose import describe_received, diagnose
from app.deliveries.hold_body import HeldBody
from app.deliveries.inbox import JSON, Entry
from app.deliveries.keep_refusal import not_remembered
from app.deliveries.pace import PacedBody, read_all
from app.deliveries.payload import beside_if_large
from app.errors import BodyTooLargeError, SignatureMismatchError, WebhookNotConfiguredError
from app.settings import Settings

DIAGNOSED_BYTES = 1024 * 1024  # DESIGN R8


@dataclass(frozen=True)
class Delivery:
    """One request of Spark to a webhook, as it arrives: its body and headers, and the moment and
    ids from the edge.

    `length` is what the client announced, or None if the body is chunked.
    `elapsed` gives the seconds since it came. `count_message` is told of each authentic message and
    raises RateLimitedError for one too many.
    """

    route: str
    body: AsyncIterable[bytes]
    held: HeldBody
    length: int | None
    content_type: str
    signatures: SignatureHeaders
    idempotency_key: str | None
    now: datetime
    request_id: str
    elapsed: Callable[[], float]
    new_id: Callable[[], UUID]
    count_message: Callable[[], Awaitable[None]]

    @property
    def media_type(self) -> str:
        """Lower-case, without parameters."""
        return self.content_type.partition(";")[0].strip().lower()

    @property
    def is_json(self) -> bool:
        return self.media_type == JSON


def begin_body(settings: Settings, delivery: Delivery) -> PacedBody:
    """The body, at a pace; nothing of it is read yet.

    Raises WebhookNotConfiguredError, SignatureMissingError, SignatureMismatchError or
    BodyTooLargeError where that is plain already.
    """
    if settings.spark_webhook_secret is None:
        raise WebhookNotConfiguredError
    check_headers(delivery.signatures, require_v1=settings.webhook_require_v1)
    limit = settings.max_json_bytes if delivery.is_json else settings.max_body_bytes
    if delivery.length is not None and delivery.length > limit:
        raise BodyTooLargeError
    is_form = not delivery.is_json
    return PacedBody(
        delivery.body,
        idle_seconds=settings.body_idle_seconds,
        min_bytes_per_second=settings.body_min_bytes_per_second,
        held=delivery.held,
        keeps_all=is_form and delivery.length is not None and delivery.length <= DIAGNOSED_BYTES,
    )


async def open_json(settings: Settings, delivery: Delivery) -> Entry:
    """Read a JSON body and `open_delivery` it. Raises BodyTooLargeError, BodyTimeoutError or
    OverloadedError too.
    """
    body = begin_body(settings, delivery)
    raw = await read_all(body, delivery.held, max_bytes=settings.max_json_bytes)
    return await open_delivery(settings, delivery, raw, body)


async def open_delivery(
    settings: Settings, delivery: Delivery, text: bytes, body: PacedBody
) -> Entry:
    """An entry for the inbox, of a delivery whose signed `text` is the sender's.

    Raises SignatureMissingError, SignatureMismatchError with a diagnosis, for which the whole
    `body` around the text may be read, or RateLimitedError.
    """
    try:
        attempt = await beside_if_large(
            authenticate,
            text,
            delivery.signatures,
            secrets=settings.webhook_secrets,
            require_v1=settings.webhook_require_v1,
        )
    except SignatureMismatchError as mismatch:
        raise await _explain(settings, delivery, text, body, mismatch) from None
    delivery.held.vouch()
    body.stop_keeping()
    entry = Entry(
        id=delivery.new_id(),
        route=delivery.route,
        media_type=delivery.media_type,
        received_at=delivery.now,
        request_id=delivery.request_id,
        text=text,
        attempt=attempt,
    )
    with not_remembered(entry):
        await delivery.count_message()
    return entry


async def _explain(
    settings: Settings,
    delivery: Delivery,
    text: bytes,
    body: PacedBody,
    mismatch: SignatureMismatchError,
) -> SignatureMismatchError:
    hint = await asyncio.to_thread(
        diagnose,
        text,
        delivery.signatures,
        secrets=settings.webhook_secrets,
        sso_secret=settings.spark_sso_secret,
        whole_body=await body.read_whole(),
    )
    received = await beside_if_large(describe_received, text)
    return SignatureMismatchError(hint=hint or mismatch.hint_text, received=received)
