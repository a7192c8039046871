"""A dry run (DESIGN R7): everything that handing in would check, and nothing written or stored."""

from collections.abc import AsyncIterable, AsyncIterator
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from app.accounts.linked_students import check_student, find_linked
from app.accounts.tombstones import Tombstones, find_erasure
from app.database import Session
from app.deliveries.inbox import Entry
from app.deliveries.open import Delivery, open_json
from app.deliveries.rehearsal import Rehearsal, rehearse_entry
from app.errors import ContentMissingError, IdempotencyConflictError, NotReplayableError
from app.files.store_file import NamedPart, inspect_file
from app.learning.assignments import resolve_assignment
from app.learning.enrolment import find_enrolment
from app.submissions.admit import check_time, course_unknown, refuse_erased
from app.submissions.file_intake import DeclaredFiles, take_files
from app.submissions.idempotency import Answer, find_answer
from app.submissions.intake import claim_of, declared_files, open_form
from app.submissions.message import Message, examine_message
from app.submissions.replay import open_homework
from app.submissions.revisions import Revision, find_current
from app.submissions.work import Intake

NOBODY = UUID(int=0)


async def rehearse_submission(intake: Intake, delivery: Delivery) -> Rehearsal:
    """Raises only what comes before the signature is verified, RateLimitedError, and outages."""
    said: dict[str, Any] = {"now": delivery.now, "idempotency_key": delivery.idempotency_key}
    if delivery.is_json:
        entry = await open_json(intake.settings, delivery)
        return await _rehearse(intake, entry, _no_files(), **said)
    async with open_form(intake, delivery) as (entry, files):
        return await _rehearse(intake, entry, files, **said)


async def rehearse_replay(
    intake: Intake, delivery_id: UUID, *, caller: str, now: datetime
) -> Rehearsal:
    """What `replay_delivery` would do. Audited. Raises NotFoundError, or NotReplayableError also
    for a form: its files are not kept.
    """
    _, entry = await open_homework(intake.sessions, delivery_id, caller, "sensitive_read")
    if not entry.is_json:
        raise NotReplayableError(hint="A form is only answered again: its files are not kept.")
    return await _rehearse(intake, entry, _no_files(), now=now, takes_any_age=True)


async def _no_files() -> AsyncIterator[NamedPart]:
    """What a JSON body brings."""
    nothing: tuple[NamedPart, ...] = ()
    for part in nothing:
        yield part


async def _rehearse(
    intake: Intake,
    entry: Entry,
    files: AsyncIterable[NamedPart],
    *,
    now: datetime,
    idempotency_key: str | None = None,
    takes_any_age: bool = False,
) -> Rehearsal:
    examine = partial(examine_message, settings=intake.settings)
    payload, rehearsal = await rehearse_entry(entry, examine, now=now)
    if payload is None:
        await _inspect(intake, files, DeclaredFiles(None, required=False), rehearsal)
        return rehearsal
    message = Message(payload, entry.digest, entry.attempt.has_own_time, tuple(rehearsal.warnings))
    declared = declared_files(intake.settings, message)
    digests = await _inspect(intake, files, declared, rehearsal)
    has_files = digests or message.remote_files
    if message.text is None and not has_files and not rehearsal.problems:
        rehearsal.add(ContentMissingError())
    claim = claim_of(intake, entry, entry.id, idempotency_key=idempotency_key)
    async with intake.sessions() as session, session.begin():
        answer = await find_answer(session, claim)
        if answer is None and not takes_any_age:
            with rehearsal.going_on():
                await check_time(session, message, now=now)
        before = await _find_before(session, message, rehearsal, intake.tombstones)
    _foresee(rehearsal, answer, before, fingerprint=message.fingerprint(digests))
    return rehearsal


def _foresee(
    rehearsal: Rehearsal, answer: Answer | None, before: Revision | None, *, fingerprint: bytes
) -> None:
    """What would become of it, if nothing is wrong with it."""
    if answer is not None and answer.fingerprint != fingerprint:
        rehearsal.add(IdempotencyConflictError())
    if rehearsal.problems:
        return
    if answer is not None or (before is not None and before.fingerprint == fingerprint):
        rehearsal.foresee("duplicate")
    else:
        rehearsal.foresee("create" if before is None else "revise")


async def _inspect(
    intake: Intake, files: AsyncIterable[NamedPart], declared: DeclaredFiles, rehearsal: Rehearsal
) -> list[bytes]:
    """The digests of all files, as far as the form can be read."""
    digests: list[bytes] = []

    async def take(part: NamedPart) -> tuple[bytes, int]:
        families = intake.settings.allowed_file_types
        sha256, size_bytes = await inspect_file(part, families, intake.scanner)
        digests.append(sha256)
        return sha256, size_bytes

    with rehearsal.going_on():
        await take_files(files, declared, rehearsal.problems, take)
    return digests


async def _find_before(
    session: Session, message: Message, rehearsal: Rehearsal, tombstones: Tombstones
) -> Revision | None:
    """The revision that is shown now. The assignment is looked for even for an unknown student."""
    payload = message.payload
    user_id = NOBODY
    with rehearsal.going_on():
        known = await find_linked(session, payload.spark_user_id)
        erased_at = await find_erasure(session, tombstones, payload.spark_user_id)
        refuse_erased(message, known, erased_at=erased_at)
        user_id = check_student(known, spark_user_id=payload.spark_user_id)
    with rehearsal.going_on():
        match = await resolve_assignment(
            session,
            payload.spark_assignment_id,
            course_id=payload.spark_course_id,
            user_id=user_id,
        )
        rehearsal.warn(*course_unknown(message, match))
        template_id = match.source_id
        enrolment = await find_enrolment(
            session, user_id=user_id, quest_id=match.quest_id, template_id=template_id
        )
        if enrolment is not None:
            return await find_current(session, enrolment, user_id=user_id, template_id=template_id)
    return None
