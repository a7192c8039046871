"""A delivery from Spark, from its first byte to its answer.

Short read, then stream, then short write: no transaction is open while bytes arrive. Nothing of
an unauthenticated body reaches the store or the database. What was stored for a delivery that is
not recorded is removed again; what a crash leaves, the sweep finds.
"""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar
from uuid import UUID

from app.deliveries.inbox import Entry
from app.deliveries.keep_refusal import remember_refusal
from app.deliveries.open import Delivery, open_json
from app.errors import (
    ContentMissingError,
    FileMissingError,
    RequestInProgressError,
    RequestStillRunningError,
    UrlNotAllowedError,
)
from app.files.store_file import NamedPart, digest_file
from app.storage.kept_file import KeptFile
from app.submissions.admit import claim_submission
from app.submissions.file_intake import FileIntake
from app.submissions.idempotency import Answer, AnsweredError, Claim, RunningError
from app.submissions.intake import claim_of, declared_files, open_form, read_entry
from app.submissions.record import SubmissionOutcome, record_replay, record_submission
from app.submissions.work import Intake, Work

TWIN_WAIT_SECONDS = 25
TWIN_POLL_SECONDS = 0.2

T = TypeVar("T")


async def receive_submission(intake: Intake, delivery: Delivery) -> SubmissionOutcome:
    """Raises the errors of section "submission" in `errors`; then nothing has changed."""
    if delivery.is_json:
        entry = await open_json(intake.settings, delivery)
        return await _handle(intake, delivery, entry)
    async with open_form(intake, delivery) as (entry, files):
        return await _handle(intake, delivery, entry, files)


async def _handle(
    intake: Intake,
    delivery: Delivery,
    entry: Entry,
    files: AsyncIterable[NamedPart] | None = None,
) -> SubmissionOutcome:
    """Whatever goes wrong with an authentic delivery is kept in the inbox."""
    async with remember_refusal(intake.sessions, entry, intake.tombstones.of_student):
        message = await read_entry(intake, entry)
        entry.attempt.check_fresh(now=delivery.now)
        owner, key = delivery.new_id(), delivery.idempotency_key
        work = Work(
            message=message,
            entry=entry,
            claim=claim_of(intake, entry, owner, idempotency_key=key),
            now=delivery.now,
            new_id=delivery.new_id,
            elapsed=delivery.elapsed,
        )
        if files is None:
            return await record_text(intake, work)
        return await _record_form(intake, work, files)


async def _record_form(
    intake: Intake, work: Work, files: AsyncIterable[NamedPart]
) -> SubmissionOutcome:
    if work.message.remote_files:
        raise UrlNotAllowedError(hint="A form brings its files itself: leave submission_files out.")
    try:
        user_id = await _in_turn(partial(claim_submission, intake, work), work.claim)
    except AnsweredError as answered:
        fingerprint = await _fingerprint(answered.answer, work, files)
        return await _answer_again(intake, work, answered.answer, fingerprint)
    return await _take_in(intake, work, files, user_id=user_id)


async def _fingerprint(answer: Answer, work: Work, files: AsyncIterable[NamedPart]) -> bytes:
    """Of a message that was answered: by the digests that were signed if they fit, else by reading
    the files (DESIGN R1).
    """
    declared = work.message.payload.files
    if declared is not None:
        fingerprint = work.message.fingerprint([file.digest for file in declared])
        if fingerprint == answer.fingerprint:
            return fingerprint
    count = work.entry.tally.add_bytes
    return work.message.fingerprint([await digest_file(part, count) async for part in files])


async def _take_in(
    intake: Intake, work: Work, files: AsyncIterable[NamedPart], *, user_id: UUID
) -> SubmissionOutcome:
    """Store the files, then record. On any exit but success nothing of it stays."""
    declared = declared_files(intake.settings, work.message)
    file_intake = FileIntake(intake.destination(user_id), work, declared)
    try:
        stored = await file_intake.store_all(files)
        if work.message.text is None and not stored:
            raise ContentMissingError
        recorded = await _record_once(intake, work, stored)
    except BaseException as failure:
        await asyncio.shield(file_intake.give_up(failure))
        raise
    if not recorded.keeps_files:
        await file_intake.discard()
    return recorded


async def record_text(intake: Intake, work: Work) -> SubmissionOutcome:
    """Record a message that comes alone. Raises ContentMissingError, FileMissingError, and what
    recording raises.
    """
    if work.message.text is None and not work.message.remote_files:
        raise ContentMissingError
    if work.message.payload.files:
        raise FileMissingError
    return await _record_once(intake, work, ())


async def _record_once(intake: Intake, work: Work, files: Sequence[KeptFile]) -> SubmissionOutcome:
    """Record, or give the answer that the message was given before."""
    try:
        return await _in_turn(partial(record_submission, intake, work, files), work.claim)
    except AnsweredError as answered:
        fingerprint = work.message.fingerprint([file.sha256 for file in files])
        return await _answer_again(intake, work, answered.answer, fingerprint)


async def _answer_again(
    intake: Intake, work: Work, answer: Answer, fingerprint: bytes
) -> SubmissionOutcome:
    return await record_replay(
        intake.sessions,
        answer,
        work.entry,
        work.message.subject,
        fingerprint=fingerprint,
        remote_files=work.message.remote_files,
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
