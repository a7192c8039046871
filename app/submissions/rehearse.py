"""A dry run (DESIGN R7): everything that handing in would check, and nothing written or stored."""

from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from app.accounts.students import get_student
from app.database import Session
from app.deliveries.delivery import Delivery
from app.deliveries.open import beside_if_large, open_delivery
from app.deliveries.whole_body import WholeBody
from app.errors import (
    BadRequestError,
    ContentMissingError,
    FileMissingError,
    ForbiddenError,
    IdempotencyConflictError,
    MissingError,
    ServiceError,
)
from app.learning.assignments import resolve_assignment
from app.learning.enrolment import find_enrolment
from app.submissions.admit import check_time
from app.submissions.declared import DeclaredFiles
from app.submissions.file_intake import FILE_FAULTS
from app.submissions.idempotency import Known, find_known
from app.submissions.intake import (
    Intake,
    begin_body,
    claim_of,
    declared_files,
    open_form,
    read_entry,
    upload_slot,
)
from app.submissions.message import Message, list_message_faults
from app.submissions.pace import read_all
from app.submissions.revisions import Revision, find_standing
from app.submissions.store_file import NamedPart, inspect_file

Would = Literal["create", "revise", "duplicate", "refuse"]
FAULTS = (BadRequestError, ForbiddenError, MissingError)
NOBODY = UUID(int=0)


@dataclass(frozen=True)
class Problem:
    """Why it would be refused; `file` is the sender's name of the file at fault."""

    fault: ServiceError
    file: str | None = None


@dataclass
class Rehearsal:
    """What handing in would do; with problems it would refuse."""

    would: Would = "refuse"
    problems: list[Problem] = field(default_factory=list)

    def add(self, *faults: ServiceError, file: str | None = None) -> None:
        self.problems += [Problem(fault, file) for fault in faults]

    def foresee(self, known: Known | None, before: Revision | None, *, fingerprint: bytes) -> None:
        """What would become of it, if nothing is wrong with it."""
        if known is not None and known.fingerprint != fingerprint:
            self.add(IdempotencyConflictError())
        if self.problems:
            return
        if known is not None or (before is not None and before.fingerprint == fingerprint):
            self.would = "duplicate"
        else:
            self.would = "create" if before is None else "revise"

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """A fault ends what is inside, and is remembered."""
        try:
            yield
        except FAULTS as fault:
            self.add(fault)


async def rehearse_submission(intake: Intake, delivery: Delivery) -> Rehearsal:
    """Raises only what comes before the signature is verified, RateLimitedError, and outages."""
    body = begin_body(intake, delivery)
    if delivery.is_json:
        raw = await read_all(body, max_bytes=intake.settings.max_json_bytes)
        return await _rehearse(intake, delivery, raw, body, _no_files())
    async with upload_slot(intake), open_form(intake, delivery, body) as (raw, files):
        return await _rehearse(intake, delivery, raw, body, files)


async def _no_files() -> AsyncIterator[NamedPart]:
    """What a JSON body brings."""
    nothing: tuple[NamedPart, ...] = ()
    for part in nothing:
        yield part


async def _rehearse(
    intake: Intake,
    delivery: Delivery,
    raw: bytes,
    body: WholeBody,
    files: AsyncIterable[NamedPart],
) -> Rehearsal:
    entry, authentic = await open_delivery(intake.gate, delivery, raw, read_whole=body.read_whole)
    rehearsal = Rehearsal()
    with rehearsal.going_on():
        authentic.check_fresh(now=delivery.now)
    limit = intake.settings.max_text_bytes
    faults = await beside_if_large(list_message_faults, raw, max_text_bytes=limit)
    rehearsal.add(*faults)
    if faults:
        await _inspect(files, DeclaredFiles(None, required=False), rehearsal)
        return rehearsal
    message = await read_entry(intake, entry, has_own_time=authentic.has_own_time)
    digests = await _inspect(files, declared_files(intake.settings, message), rehearsal)
    if message.text is None and not digests and not rehearsal.problems:
        rehearsal.add(ContentMissingError())
    claim = claim_of(intake, entry, entry.id, idempotency_key=delivery.idempotency_key)
    async with intake.sessions() as session, session.begin():
        known = await find_known(session, claim)
        if known is None:
            with rehearsal.going_on():
                await check_time(session, message, now=delivery.now)
        before = await _find_before(session, message, rehearsal)
    rehearsal.foresee(known, before, fingerprint=message.fingerprint(digests))
    return rehearsal


async def _inspect(
    files: AsyncIterable[NamedPart], declared: DeclaredFiles, rehearsal: Rehearsal
) -> list[bytes]:
    """The digests of all files, as far as the form can be read."""
    digests: list[bytes] = []
    with rehearsal.going_on():
        async for part in files:
            name = part.filename or ""
            try:
                declared.expect(name)
                seen = await inspect_file(part)
                declared.check(name, seen.sha256, seen.size_bytes)
                digests.append(seen.sha256)
            except FILE_FAULTS as fault:
                rehearsal.add(fault, file=name)
        for name in declared.missing():
            rehearsal.add(FileMissingError(), file=name)
    return digests


async def _find_before(session: Session, message: Message, rehearsal: Rehearsal) -> Revision | None:
    """The revision that is shown now. The assignment is looked for even for an unknown student."""
    payload = message.payload
    user_id = NOBODY
    with rehearsal.going_on():
        user_id = await get_student(session, payload.spark_user_id)
    with rehearsal.going_on():
        quest_id = await resolve_assignment(
            session,
            payload.spark_assignment_id,
            course_id=payload.spark_course_id,
            user_id=user_id,
        )
        enrolment = await find_enrolment(session, user_id=user_id, quest_id=quest_id)
        if enrolment is not None:
            standing = await find_standing(
                session,
                enrolment,
                user_id=user_id,
                assignment_id=payload.spark_assignment_id,
            )
            return standing.current
    return None
