"""A delivery from Spark, from its first byte to its answer.

Short read, then stream, then short write: no transaction is open while bytes arrive. Nothing of
an unauthenticated body reaches the store or the database. What was stored for a delivery that is
not recorded is removed again; what a crash leaves, the sweep finds.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import SecretStr

from app import metrics
from app.accounts.students import get_student
from app.database import Sessions
from app.errors import (
    BodyTooLargeError,
    ContentMissingError,
    MetadataMissingError,
    OverloadedError,
    RequestStillRunningError,
    SignatureMissingError,
    WebhookNotConfiguredError,
)
from app.learning.assignments import resolve_assignment
from app.settings import Settings
from app.storage.bucket import Bucket
from app.submissions.file_intake import FileIntake, form_files, is_metadata
from app.submissions.idempotency import Claim, Known, claim_message, find_known
from app.submissions.message import Message, check_fresh, open_message
from app.submissions.multipart import FormPart, MultipartLimits, parse_boundary, read_parts
from app.submissions.pace import keep_pace, read_all
from app.submissions.record import HandedIn, Recorded, Work, record_submission, replay
from app.submissions.spool import Spool, SpooledPart, SpoolShare
from app.submissions.store_file import Destination, NamedPart, inspect_file

TWIN_WAIT_SECONDS = 25
TWIN_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Intake:
    """What receiving needs, opened once per process.

    `count_message` is told of each authentic message; raises RateLimitedError for one too many.
    """

    settings: Settings
    sessions: Sessions
    bucket: Bucket
    spool: Spool
    slots: asyncio.Semaphore
    count_message: Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Delivery:
    """One request: its body and signature headers, and the moment and ids from the edge.

    It came when the event loop's clock was at `began`.
    `length` is what the sender announced, or None if the body is chunked.
    """

    body: AsyncIterable[bytes]
    length: int | None
    content_type: str
    signatures: tuple[str, ...]
    now: datetime
    began: float
    new_id: Callable[[], UUID]


async def receive_submission(intake: Intake, delivery: Delivery) -> Recorded:
    """Raises the errors of section "submission" in `errors`; then nothing has changed."""
    _secrets(intake.settings)
    if not delivery.signatures:
        raise SignatureMissingError
    is_json = delivery.content_type.lower().startswith("application/json")
    limit = intake.settings.max_json_bytes if is_json else intake.settings.max_body_bytes
    if delivery.length is not None and delivery.length > limit:
        raise BodyTooLargeError
    body = keep_pace(
        delivery.body,
        idle_seconds=intake.settings.body_idle_seconds,
        min_bytes_per_second=intake.settings.body_min_bytes_per_second,
    )
    if is_json:
        return await _receive_json(intake, delivery, body)
    if intake.slots.locked():
        raise OverloadedError
    async with intake.slots:
        with metrics.UPLOADS_RUNNING.track_inprogress():
            return await _receive_form(intake, delivery, body)


async def _receive_json(intake: Intake, delivery: Delivery, body: AsyncIterable[bytes]) -> Recorded:
    raw = await read_all(body, max_bytes=intake.settings.max_json_bytes)
    message = await _open(intake, delivery, raw)
    if message.text is None:
        raise ContentMissingError
    begun = await _begin(intake, delivery, message)
    if isinstance(begun, Known):
        return replay(begun, fingerprint=message.fingerprint(()))
    return await record_submission(intake.sessions, HandedIn(message, ()), work=begun)


async def _receive_form(intake: Intake, delivery: Delivery, body: AsyncIterable[bytes]) -> Recorded:
    parts = read_parts(
        body, boundary=parse_boundary(delivery.content_type), limits=_limits(intake.settings)
    )
    with intake.spool.open() as share:
        async with aclosing(parts):
            early, raw = await _read_metadata(parts, share, intake.settings.max_json_bytes)
            message = await _open(intake, delivery, raw)
            begun = await _claim(intake, delivery, message)
            files = form_files(early, parts)
            if isinstance(begun, Known):
                digests = [await inspect_file(part) async for part in files]
                return replay(begun, fingerprint=message.fingerprint(digests))
            return await _take_in(intake, message, work=begun, files=files)


async def _read_metadata(
    parts: AsyncGenerator[FormPart, None], share: SpoolShare, max_bytes: int
) -> tuple[list[SpooledPart], bytes]:
    """The raw metadata, which the signature covers, and the files that came before it."""
    early: list[SpooledPart] = []
    async for part in parts:
        if is_metadata(part):
            return early, await part.read(max_bytes)
        if part.filename:
            early.append(await share.keep(part))
    raise MetadataMissingError


async def _take_in(
    intake: Intake, message: Message, *, work: Work, files: AsyncIterable[NamedPart]
) -> Recorded:
    """Store the files, then record. On any exit but success nothing of it stays."""
    destination = Destination(
        intake.sessions,
        intake.bucket,
        work.user_id,
        timedelta(seconds=intake.settings.upload_lease_seconds),
    )
    file_intake = FileIntake(destination, work)
    try:
        stored = await file_intake.store_all(files)
        if message.text is None and not stored:
            raise ContentMissingError
        recorded = await record_submission(intake.sessions, HandedIn(message, stored), work=work)
    except BaseException as failure:
        await asyncio.shield(file_intake.give_up(failure))
        raise
    if not recorded.keeps_files:
        await file_intake.discard()
    return recorded


async def _claim(intake: Intake, delivery: Delivery, message: Message) -> Known | Work:
    """The right to store and record, or the answer of the twin who has it (DESIGN R2)."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + TWIN_WAIT_SECONDS
    while True:
        begun = await _begin(intake, delivery, message)
        if isinstance(begun, Known) or await claim_message(
            intake.sessions, begun.claim, user_id=begun.user_id
        ):
            return begun
        if loop.time() > give_up_at:
            raise RequestStillRunningError
        await asyncio.sleep(TWIN_POLL_SECONDS)


async def _begin(intake: Intake, delivery: Delivery, message: Message) -> Known | Work:
    """The answer this message was given, or whose work it is. Reads only."""
    payload = message.payload
    async with intake.sessions() as session, session.begin():
        known = await find_known(session, message.digest)
        if known is not None:
            return known
        check_fresh(message, now=delivery.now)
        user_id = await get_student(session, payload.spark_user_id)
        quest_id = await resolve_assignment(
            session,
            payload.spark_assignment_id,
            course_id=payload.spark_course_id,
            user_id=user_id,
        )
    return _work(intake, delivery, message, user_id=user_id, quest_id=quest_id)


def _work(
    intake: Intake, delivery: Delivery, message: Message, *, user_id: UUID, quest_id: UUID
) -> Work:
    lease = timedelta(seconds=intake.settings.delivery_lease_seconds)
    return Work(
        user_id=user_id,
        quest_id=quest_id,
        claim=Claim(message.digest, owner=delivery.new_id(), lease=lease),
        now=delivery.now,
        new_id=delivery.new_id,
        raw_evidence_text=intake.settings.evidence_text_mode == "raw",
        clock=asyncio.get_running_loop().time,
        began=delivery.began,
    )


async def _open(intake: Intake, delivery: Delivery, raw: bytes) -> Message:
    """In a thread: several mebibytes take longer than the event loop may stand still."""
    message = await asyncio.to_thread(
        open_message,
        raw,
        delivery.signatures,
        secrets=_secrets(intake.settings),
        max_text_bytes=intake.settings.max_text_bytes,
    )
    await intake.count_message()
    return message


def _secrets(settings: Settings) -> list[SecretStr]:
    if settings.spark_webhook_secret is None:
        raise WebhookNotConfiguredError
    previous = settings.spark_webhook_secret_previous
    return [settings.spark_webhook_secret, *([previous] if previous else [])]


def _limits(settings: Settings) -> MultipartLimits:
    return MultipartLimits(
        max_parts=settings.max_parts,
        max_files=settings.max_files,
        max_body_bytes=settings.max_body_bytes,
        max_file_bytes=settings.max_file_bytes,
        max_total_file_bytes=settings.max_total_file_bytes,
        max_field_bytes=settings.max_json_bytes,
    )
