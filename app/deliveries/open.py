"""Who sent a delivery: its signature is verified before anything else is done with it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeVar

from pydantic import SecretStr

from app.deliveries.authenticate import Authentic, authenticate, check_headers
from app.deliveries.delivery import Delivery
from app.deliveries.diagnose import diagnose
from app.deliveries.inbox import Entry
from app.deliveries.pace import keep_pace, read_all
from app.deliveries.whole_body import WholeBody
from app.errors import BodyTooLargeError, SignatureMismatchError, WebhookNotConfiguredError
from app.settings import Settings

THREAD_BYTES = 64 * 1024  # what is larger is hashed and parsed beside the event loop

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Gate:
    """Who may deliver. `count_message` is told of each authentic message and raises
    RateLimitedError for one too many.
    """

    settings: Settings
    count_message: Callable[[], Awaitable[None]]

    @property
    def secrets(self) -> Sequence[SecretStr]:
        """The current one first, then the previous one."""
        both = (
            self.settings.spark_webhook_secret,
            self.settings.spark_webhook_secret_previous,
        )
        return [secret for secret in both if secret is not None]

    def check_configured(self) -> None:
        """Raises WebhookNotConfiguredError."""
        if self.settings.spark_webhook_secret is None:
            raise WebhookNotConfiguredError


def begin_body(gate: Gate, delivery: Delivery) -> WholeBody:
    """The body, at a pace; nothing of it is read yet.

    Raises WebhookNotConfiguredError, SignatureMissingError, SignatureMismatchError or
    BodyTooLargeError where that is plain already.
    """
    settings = gate.settings
    gate.check_configured()
    check_headers(delivery.signatures, require_v1=settings.webhook_require_v1)
    limit = settings.max_json_bytes if delivery.is_json else settings.max_body_bytes
    if delivery.length is not None and delivery.length > limit:
        raise BodyTooLargeError
    paced = keep_pace(
        delivery.body,
        idle_seconds=settings.body_idle_seconds,
        min_bytes_per_second=settings.body_min_bytes_per_second,
    )
    return WholeBody(paced, None if delivery.is_json else delivery.length)


async def open_json(gate: Gate, delivery: Delivery) -> tuple[Entry, Authentic]:
    """Read a JSON body and `open_delivery` it. Raises BodyTooLargeError, BodyTimeoutError too."""
    body = begin_body(gate, delivery)
    raw = await read_all(body, max_bytes=gate.settings.max_json_bytes)
    return await open_delivery(gate, delivery, raw, read_whole=body.read_whole)


async def open_delivery(
    gate: Gate,
    delivery: Delivery,
    text: bytes,
    *,
    read_whole: Callable[[], Awaitable[bytes | None]],
) -> tuple[Entry, Authentic]:
    """An entry for the inbox, of a delivery whose signed `text` is the sender's.

    Raises SignatureMissingError, SignatureMismatchError with a diagnosis, for which `read_whole`
    may give the body around the text, or RateLimitedError.
    """
    try:
        authentic = await beside_if_large(
            authenticate,
            text,
            delivery.signatures,
            secrets=gate.secrets,
            require_v1=gate.settings.webhook_require_v1,
        )
    except SignatureMismatchError as mismatch:
        hint = await asyncio.to_thread(
            diagnose,
            text,
            delivery.signatures,
            secret=gate.secrets[0],
            sso_secret=gate.settings.spark_sso_secret,
            whole_body=await read_whole(),
        )
        raise SignatureMismatchError(hint=hint or mismatch.hint_text) from None
    await gate.count_message()
    entry = Entry(
        id=delivery.new_id(),
        route=delivery.route,
        media_type=delivery.media_type,
        received_at=delivery.now,
        text=text,
        webhook_id=authentic.webhook_id,
        body_bytes=len(text),
    )
    return entry, authentic


async def beside_if_large(
    act: Callable[Concatenate[bytes, P], T], content: bytes, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Mebibytes take longer than the event loop may stand still, and a thread longer than a few."""
    if len(content) > THREAD_BYTES:
        return await asyncio.to_thread(act, content, *args, **kwargs)
    return act(content, *args, **kwargs)
