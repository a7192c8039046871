"""Whether a message may be handed in, by whom and for what."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, true

from app.accounts.students import LINKED, Known, check_student
from app.database import Session, Sessions, retried
from app.deliveries.inbox import was_seen_in_time
from app.errors import TimestampTooOldError
from app.learning.assignments import Match, choose_match, matches_for
from app.submissions.idempotency import Claim, take_claim, was_claimed_in_time
from app.submissions.message import Message


@dataclass(frozen=True)
class Place:
    """Whose submission it is, and for which work."""

    user_id: UUID
    match: Match


# One statement for both, because every submission asks: the student, and each match beside.
_STUDENT = LINKED.cte("student")
_MATCH = select(matches_for(_STUDENT.c.user_id).subquery()).lateral("match")
_PLACE = select(_STUDENT, _MATCH).select_from(_STUDENT.outerjoin(_MATCH, true()))


@retried
async def claim_submission(
    sessions: Sessions, message: Message, claim: Claim, *, now: datetime | None
) -> Place:
    """Claim a message whose files take longer than a transaction. Raises what `take_claim` and
    `admit` raise; then nothing is claimed.
    """
    async with sessions() as session, session.begin():
        await take_claim(session, claim)
        return await admit(session, message, now=now)


async def admit(session: Session, message: Message, *, now: datetime | None) -> Place:
    """Reads only. Judged by the moment `now`; None admits a message of any age.

    Raises TimestampTooOldError, TimestampInFutureError, StudentNotFoundError, AccountInactiveError,
    AssignmentNotFoundError or AssignmentAmbiguousError.
    """
    if now is not None:
        await check_time(session, message, now=now)
    payload = message.payload
    found = await session.execute(
        _PLACE,
        {
            "spark_user_id": payload.spark_user_id,
            "assignment_id": payload.spark_assignment_id,
        },
    )
    rows = found.all()
    split = len(Known._fields)
    known = Known(*rows[0][:split]) if rows else None
    user_id = check_student(known, spark_user_id=payload.spark_user_id)
    matches = [Match(*row[split:]) for row in rows if row.quest_id is not None]
    match = await choose_match(
        session, matches, payload.spark_assignment_id, course_id=payload.spark_course_id
    )
    return Place(user_id, match)


async def check_time(session: Session, message: Message, *, now: datetime) -> None:
    """A stale message that arrived in time before is no replay but a retry (SECURITY D8).

    A delivery that was killed left no row in the inbox, but perhaps its claim.
    """
    try:
        message.check_fresh(now=now)
    except TimestampTooOldError:
        digest, said_at = message.digest, message.payload.submitted_at
        if not (
            await was_seen_in_time(session, digest, said_at=said_at)
            or await was_claimed_in_time(session, digest, said_at=said_at)
        ):
            raise
