"""The job that processes a delivery again: early homework (DESIGN R41), or one of many (R9)."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, select

from app.database import Sessions
from app.deliveries.read_inbox import IS_OUTDATED
from app.errors import ServiceError, UnavailableError
from app.jobs.lease import Lease
from app.jobs.settle import Outcome, settle_alone
from app.models import InboxDelivery
from app.submissions.replay import replay_delivery
from app.submissions.work import Intake

CALLER = "early"  # in the audit log

_FIND_OUTDATED = select(InboxDelivery.id).where(
    InboxDelivery.id == bindparam("delivery_id"), IS_OUTDATED
)


async def do_replay(
    intake: Intake, lease: Lease, *, now: datetime, new_id: Callable[[], UUID]
) -> None:
    """May be done again: what was recorded stays as it is.

    What refuses it for good is told by the inbox, and so the job is done. Raises LeaseLostError.
    """
    delivery_id, caller = UUID(lease.key), lease.payload.get("caller")
    outcome = Outcome("done", "replayed")
    try:
        if caller is None and await _is_outdated(intake.sessions, delivery_id):
            outcome = Outcome("done", "outdated")
        else:
            await replay_delivery(
                intake, delivery_id, caller=caller or CALLER, now=now, new_id=new_id
            )
    except ServiceError as refusal:
        may_pass = isinstance(refusal, UnavailableError)
        outcome = Outcome("again" if may_pass else "done", refusal.code)
    await settle_alone(intake.sessions, lease, outcome)


async def _is_outdated(sessions: Sessions, delivery_id: UUID) -> bool:
    async with sessions() as session, session.begin():
        found = await session.execute(_FIND_OUTDATED, {"delivery_id": delivery_id})
        return found.first() is not None
