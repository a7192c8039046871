"""How a delivery of homework is opened: its signed message, and the files of a form."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import timedelta
from uuid import UUID

from app.deliveries.hold_body import HeldBody
from app.deliveries.inbox import Entry
from app.deliveries.keep_refusal import not_remembered
from app.deliveries.open import Delivery, begin_body, open_delivery
from app.deliveries.pace import read_all
from app.deliveries.payload import beside_if_large
from app.files.form_headers import parse_boundary
from app.files.multipart import FormPart, MultipartLimits, read_parts
from app.files.spool import SpooledPart, SpoolShare
from app.files.store_file import NamedPart
from app.settings import Settings
from app.submissions.file_intake import DeclaredFiles, form_files, is_metadata, take_named_metadata
from app.submissions.idempotency import Claim, keys_of
from app.submissions.message import Message, read_message
from app.submissions.work import Intake


@asynccontextmanager
async def open_form(
    intake: Intake, delivery: Delivery
) -> AsyncIterator[tuple[Entry, AsyncIterable[NamedPart]]]:
    """The delivery, opened, and its files in the order they come.

    Raises OverloadedError, MetadataMissingError, and what reading a form and `open_delivery` raise.
    """
    settings = intake.settings
    body = begin_body(settings, delivery)
    boundary = parse_boundary(delivery.content_type)
    parts = read_parts(body, boundary=boundary, limits=form_limits(settings))
    stay = intake.waiting_room.stay(delivery.held.holder, lambda: body.received_bytes)
    async with AsyncExitStack() as spooled, aclosing(parts):
        async with stay as waiting:
            share = spooled.enter_context(intake.spool.open(waiting))
            early, raw = await _read_metadata(parts, share, delivery.held, settings.max_json_bytes)
            entry = await open_delivery(settings, delivery, raw, body)
        with not_remembered(entry):
            await spooled.enter_async_context(intake.places.take())
        yield entry, form_files(early, parts, entry.tally)


async def _read_metadata(
    parts: AsyncGenerator[FormPart, None], share: SpoolShare, held: HeldBody, max_bytes: int
) -> tuple[list[SpooledPart], bytes]:
    early: list[SpooledPart] = []
    async for part in parts:
        if is_metadata(part):
            return early, await read_all(part, held, max_bytes=max_bytes)
        if part.filename:
            early.append(await share.keep(part))
    metadata = take_named_metadata(early)
    return early, await read_all(metadata, held, max_bytes=max_bytes)


async def read_entry(intake: Intake, entry: Entry) -> Message:
    """What a delivery says. Raises as `read_message`."""
    return await beside_if_large(
        read_message,
        entry.text,
        intake.settings,
        digest=entry.digest,
        has_own_time=entry.attempt.has_own_time,
    )


def claim_of(intake: Intake, entry: Entry, owner: UUID, *, idempotency_key: str | None) -> Claim:
    keys = keys_of(
        entry.digest, webhook_id=entry.attempt.webhook_id, idempotency_key=idempotency_key
    )
    return Claim(keys, owner, timedelta(seconds=intake.settings.delivery_lease_seconds))


def form_limits(settings: Settings) -> MultipartLimits:
    return MultipartLimits(
        max_parts=settings.max_parts,
        max_files=settings.max_files,
        max_body_bytes=settings.max_body_bytes,
        max_file_bytes=settings.max_file_bytes,
        max_total_file_bytes=settings.max_total_file_bytes,
        max_field_bytes=settings.max_json_bytes,
    )


def declared_files(settings: Settings, message: Message) -> DeclaredFiles:
    """A signature with its own time covers the files, or there must be none (SECURITY D7)."""
    required = settings.require_file_digests or message.has_own_time
    return DeclaredFiles(message.payload.files, required=required)
