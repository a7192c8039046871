"""A delivery from Spark, from its first byte to its answer.

Short read, then stream, then short write: no transaction is open while bytes arrive. Nothing of
an unauthenticated body reaches the store or the database. What was stored for a delivery that is
not recorded is removed again; what a crash leaves, the sweep finds.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from app.deliveries.authenticate import Authentic
from app.deliveries.delivery import Delivery
from app.deliveries.inbox import Entry, remember_refusal
from app.deliveries.open import open_json
from app.errors import (
    ContentMissingError,
    FileMissingError,
    RequestInProgressError,
    RequestStillRunningError,
)
from app.files.store_file import Destination, NamedPart, inspect_file
from app.submissions.admit import claim_submission
from app.submissions.file_intake import FileIntake
from app.submissions.idempotency import AnsweredError, Claim, Known, RunningError
from app.submissions.intake import (
    Intake,
    claim_of,
    declared_files,
    open_form,
    read_entry,
)
from app.submissions.message import Message
from app.submissions.record import HandedIn, Recorded, Work, record_replay, record_submission

TWIN_WAIT_SECONDS = 25
TWIN_POLL_SECONDS = 0.2

T = TypeVar("T")


@dataclass(frozen=True)
class Received:
    """An authentic message, and who handles it."""

    message: Message
    work: Work


async def receive_submission(intake: Intake, delivery: Delivery) -> Recorded:
    """Raises the errors of section "submission" in `errors`; then nothing has changed."""
    if delivery.is_json:
        entry, authentic = await open_json(intake.gate, delivery)
        async with _received(intake, delivery, entry, authentic) as received:
            return await record_text(intake, received.message, work=received.work)
    async with (
        open_form(intake, delivery) as (entry, authentic, files),
        _received(intake, delivery, entry, authentic) as received,
    ):
        return await _record_form(intake, received, files)


@asynccontextmanager
async def _received(
    intake: Intake, delivery: Delivery, entry: Entry, authentic: Authentic
) -> AsyncIterator[Received]:
    """The message of an authentic delivery; whatever goes wrong with it is kept in the inbox."""
    async with remember_refusal(intake.sessions, entry):
        # Even of what is too late it has to be known whose it is: erasing that student ends it.
        message = await read_entry(intake, entry, has_own_time=authentic.has_own_time)
        authentic.check_fresh(now=delivery.now)
        work = Work(
            claim=claim_of(
                intake, entry, delivery.new_id(), idempotency_key=delivery.idempotency_key
            ),
            entry=entry,
            now=delivery.now,
            fresh_at=delivery.now,
            new_id=delivery.new_id,
            raw_evidence_text=intake.raw_evidence_text,
            elapsed=delivery.elapsed,
        )
        yield Received(message, work)


async def _record_form(
    intake: Intake, received: Received, files: AsyncIterable[NamedPart]
) -> Recorded:
    message, work = received.message, received.work
    claim = partial(
        claim_submission,
        intake.sessions,
        message,
        work.claim,
        subject_hashes=work.entry.subject_hashes,
        now=work.fresh_at,
    )
    try:
        place = await _in_turn(claim, work.claim)
    except AnsweredError as answered:
        fingerprint = await _fingerprint(answered.known, received, files)
        return await record_replay(
            intake.sessions, answered.known, fingerprint=fingerprint, work=work
        )
    work.entry.user_id = place.user_id
    return await _take_in(intake, received, user_id=place.user_id, files=files)


async def _fingerprint(known: Known, received: Received, files: AsyncIterable[NamedPart]) -> bytes:
    """Of a known message: by the digests that were signed if they fit, else by reading the files
    (DESIGN R1).
    """
    message, entry = received.message, received.work.entry
    declared = message.payload.files
    if declared is not None:
        fingerprint = message.fingerprint([file.digest for file in declared])
        if fingerprint == known.fingerprint:
            return fingerprint
    digests: list[bytes] = []
    async for part in files:
        seen = await inspect_file(part)
        entry.file_count += 1
        entry.body_bytes += seen.size_bytes
        digests.append(seen.sha256)
    return message.fingerprint(digests)


async def _take_in(
    intake: Intake, received: Received, *, user_id: UUID, files: AsyncIterable[NamedPart]
) -> Recorded:
    """Store the files, then record. On any exit but success nothing of it stays."""
    message, work = received.message, received.work
    lease = timedelta(seconds=intake.settings.upload_lease_seconds)
    destination = Destination(intake.sessions, intake.bucket, user_id, lease)
    file_intake = FileIntake(destination, work, declared_files(intake.settings, message))
    try:
        stored = await file_intake.store_all(files)
        if message.text is None and not stored:
            raise ContentMissingError
        recorded = await record_once(intake, HandedIn(message, stored), work=work)
    except BaseException as failure:
        await asyncio.shield(file_intake.give_up(failure))
        raise
    if not recorded.keeps_files:
        await file_intake.discard()
    return recorded


async def record_text(intake: Intake, message: Message, *, work: Work) -> Recorded:
    """Record a message that comes alone. Raises ContentMissingError, FileMissingError, and what
    `record_once` raises.
    """
    if message.text is None:
        raise ContentMissingError
    if message.payload.files:
        raise FileMissingError
    return await record_once(intake, HandedIn(message, ()), work=work)


async def record_once(intake: Intake, handed_in: HandedIn, *, work: Work) -> Recorded:
    """Record, or give the answer that the message was given before."""
    record = partial(record_submission, intake.sessions, handed_in, work=work)
    try:
        return await _in_turn(record, work.claim)
    except AnsweredError as answered:
        return await record_replay(
            intake.sessions, answered.known, fingerprint=handed_in.content.fingerprint, work=work
        )


async def _in_turn(act: Callable[[], Awaitable[T]], claim: Claim) -> T:
    """Do `act` once the twin who handles the message has ended (DESIGN R2).

    Raises RequestInProgressError after TWIN_WAIT_SECONDS, or RequestStillRunningError for a
    sender without a key of its own.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + TWIN_WAIT_SECONDS
    while True:
        with suppress(RunningError):
            return await act()
        if loop.time() > give_up_at:
            raise RequestInProgressError if len(claim.keys) > 1 else RequestStillRunningError
        await asyncio.sleep(TWIN_POLL_SECONDS)
