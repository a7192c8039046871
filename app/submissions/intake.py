"""What receiving a submission needs, and how much of a body it takes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from app.accounts.tombstones import Tombstones
from app.database import Sessions
from app.deliveries.authenticate import Authentic
from app.deliveries.delivery import Delivery
from app.deliveries.inbox import Entry
from app.deliveries.open import Gate, begin_body, beside_if_large, open_delivery
from app.errors import BadRequestError, MetadataMissingError
from app.files.multipart import FormPart, MultipartLimits, parse_boundary, read_parts
from app.files.store_file import NamedPart
from app.files.upload_slot import upload_slot
from app.settings import Settings
from app.storage.bucket import Bucket
from app.submissions.declared import DeclaredFiles
from app.submissions.file_intake import form_files, is_metadata
from app.submissions.idempotency import Claim, keys_of
from app.submissions.message import (
    Message,
    Subject,
    SubmissionPayload,
    read_message,
    read_subject,
)
from app.submissions.spool import Spool, SpooledPart, SpoolShare


@dataclass(frozen=True)
class Intake:
    """Opened once per process."""

    settings: Settings
    gate: Gate
    sessions: Sessions
    bucket: Bucket
    spool: Spool
    slots: asyncio.Semaphore
    tombstones: Tombstones

    @property
    def raw_evidence_text(self) -> bool:
        return self.settings.evidence_text_mode == "raw"


@asynccontextmanager
async def open_form(
    intake: Intake, delivery: Delivery
) -> AsyncIterator[tuple[Entry, Authentic, AsyncIterable[NamedPart]]]:
    """The delivery, opened, and its files in the order they come.

    Raises OverloadedError, MetadataMissingError, and what reading a form and `open_delivery` raise.
    """
    body = begin_body(intake.gate, delivery)
    limits = form_limits(intake.settings)
    parts = read_parts(body, boundary=parse_boundary(delivery.content_type), limits=limits)
    with intake.spool.open() as share:
        async with upload_slot(intake.slots), aclosing(parts):
            early, raw = await _read_metadata(parts, share, intake.settings.max_json_bytes)
            entry, authentic = await open_delivery(
                intake.gate, delivery, raw, read_whole=body.read_whole
            )
            yield entry, authentic, form_files(early, parts)


async def _read_metadata(
    parts: AsyncGenerator[FormPart, None], share: SpoolShare, max_bytes: int
) -> tuple[list[SpooledPart], bytes]:
    early: list[SpooledPart] = []
    async for part in parts:
        if is_metadata(part):
            return early, await part.read(max_bytes)
        if part.filename:
            early.append(await share.keep(part))
    raise MetadataMissingError


async def read_entry(intake: Intake, entry: Entry, *, has_own_time: bool) -> Message:
    """What a delivery says; its entry learns whom and what it is about, valid or not."""
    try:
        message = await beside_if_large(
            read_message,
            entry.text,
            digest=entry.digest,
            has_own_time=has_own_time,
            max_text_bytes=intake.settings.max_text_bytes,
        )
    except BadRequestError:
        _learn(intake, entry, await beside_if_large(read_subject, entry.text))
        raise
    _learn(intake, entry, message.payload)
    return message


def _learn(intake: Intake, entry: Entry, subject: SubmissionPayload | Subject) -> None:
    entry.said_at = subject.submitted_at
    entry.spark_user_id = subject.spark_user_id
    entry.spark_assignment_id = subject.spark_assignment_id
    entry.spark_course_id = subject.spark_course_id
    if subject.spark_user_id is not None:
        entry.subject_hashes = intake.tombstones.of_student(subject.spark_user_id)


def claim_of(intake: Intake, entry: Entry, owner: UUID, *, idempotency_key: str | None) -> Claim:
    keys = keys_of(entry.digest, webhook_id=entry.webhook_id, idempotency_key=idempotency_key)
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
