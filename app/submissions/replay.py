"""Processing a kept delivery again, for an operator (DESIGN R9): as it arrived, however late."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from app.activity.audit import Action
from app.clock import stopwatch
from app.database import Sessions
from app.deliveries.inbox import SUBMISSION_ROUTE, Entry
from app.deliveries.keep_refusal import remember_refusal
from app.deliveries.payload import beside_if_large, read_subject
from app.deliveries.read_inbox import DeliveryAnswer, open_kept
from app.errors import NotReplayableError
from app.submissions.idempotency import Claim, find_answer
from app.submissions.intake import claim_of, read_entry
from app.submissions.receive import record_text
from app.submissions.record import SubmissionOutcome, record_replay
from app.submissions.work import Intake, Work


async def replay_delivery(
    intake: Intake,
    delivery_id: UUID,
    *,
    caller: str,
    now: datetime,
    new_id: Callable[[], UUID],
) -> SubmissionOutcome:
    """The inbox keeps the new outcome in place of the old one. What was recorded already stays.
    Audited, whatever comes of it.

    A form is only answered again. Raises NotFoundError; NotReplayableError, if its text or its
    answer is not kept; or what handing in raises.
    """
    elapsed = stopwatch()
    kept, entry = await open_homework(intake.sessions, delivery_id, caller, "sensitive_update")
    claim = claim_of(intake, entry, new_id(), idempotency_key=None)
    if not entry.is_json:
        return await _answer_again(intake, entry, claim, was_recorded=bool(kept.submission_id))
    async with remember_refusal(intake.sessions, entry, intake.tombstones.of_student):
        message = await read_entry(intake, entry)
        work = Work(message, entry, claim, now, new_id, elapsed, takes_any_age=True)
        return await record_text(intake, replace(work, was_refused=kept.code is not None))


async def open_homework(
    sessions: Sessions, delivery_id: UUID, caller: str, action: Action
) -> tuple[DeliveryAnswer, Entry]:
    """One of homework, as it arrived. Audited. Raises NotFoundError or NotReplayableError."""
    kept, entry = await open_kept(sessions, delivery_id, caller=caller, action=action)
    if kept.route != SUBMISSION_ROUTE:
        # Courses are whole states: an old one would undo what came since.
        raise NotReplayableError(hint="Only submissions are. Let Spark send the course again.")
    if not entry.text:
        raise NotReplayableError
    return kept, entry


async def _answer_again(
    intake: Intake, entry: Entry, claim: Claim, *, was_recorded: bool
) -> SubmissionOutcome:
    async with intake.sessions() as session, session.begin():
        answer = await find_answer(session, claim)
    if answer is None or not was_recorded:
        raise NotReplayableError
    subject = await beside_if_large(read_subject, entry.text)
    return await record_replay(
        intake.sessions, answer, entry, subject, fingerprint=answer.fingerprint
    )
