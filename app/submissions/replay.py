"""Processing a kept delivery again, for an operator (DESIGN R9): as it arrived, however late."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from app.activity.audit import record_audit
from app.deliveries.inbox import SUBMISSION_ROUTE, get_delivery, remember_refusal
from app.errors import NotReplayableError
from app.submissions.idempotency import find_known
from app.submissions.intake import Intake, claim_of, read_entry
from app.submissions.receive import record_text
from app.submissions.record import Recorded, Work, record_replay


async def replay_delivery(
    intake: Intake,
    delivery_id: UUID,
    *,
    caller: str,
    now: datetime,
    new_id: Callable[[], UUID],
    elapsed: Callable[[], float],
) -> Recorded:
    """The inbox keeps the new outcome in place of the old one. What was recorded already stays.
    Audited, whatever comes of it.

    A form is only answered again. Raises NotFoundError; NotReplayableError, if its text or its
    answer is not kept; or what handing in raises.
    """
    entry = await get_delivery(intake.sessions, delivery_id)
    if entry.route != SUBMISSION_ROUTE:
        # Courses are whole states: an old one would undo what came since.
        raise NotReplayableError(hint="Only submissions are. Let Spark send the course again.")
    if not entry.text:
        raise NotReplayableError
    async with intake.sessions() as session, session.begin():
        about = str(delivery_id)
        await record_audit(
            session, caller, "sensitive_update", user_id=entry.user_id, delivery_id=about
        )
    claim = claim_of(intake, entry, new_id(), idempotency_key=None)
    work = Work(
        claim=claim,
        entry=entry,
        now=now,
        fresh_at=None,
        new_id=new_id,
        raw_evidence_text=intake.raw_evidence_text,
        elapsed=elapsed,
    )
    if not entry.is_json:
        return await _answer_again(intake, work)
    async with remember_refusal(intake.sessions, entry):
        message = await read_entry(intake, entry, has_own_time=entry.webhook_id is not None)
        return await record_text(intake, message, work=work)


async def _answer_again(intake: Intake, work: Work) -> Recorded:
    async with intake.sessions() as session, session.begin():
        known = await find_known(session, work.claim)
    if known is None or not work.entry.was_answered:
        raise NotReplayableError
    return await record_replay(intake.sessions, known, fingerprint=known.fingerprint, work=work)
