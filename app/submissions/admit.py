"""Whether a message may be handed in, by whom and for what."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, true

from app.accounts.linked_students import LINKED, LinkedStudent, check_student
from app.accounts.tombstones import ERASED_AT
from app.database import Session, read_as, retried
from app.deliveries.inbox import was_seen_in_time
from app.errors import StudentErasedError, TimestampTooOldError
from app.fields import AnswerWarning
from app.learning.assignments import Match, choose_match, matches_for
from app.learning.enrolment import turn_of
from app.models import User
from app.submissions.idempotency import take_claim, was_claimed_in_time
from app.submissions.message import Message
from app.submissions.work import Intake, Work

# One statement for all, because every submission asks: the student, each match beside, and when the
# student was erased. The lock is that of a foreign key to the user: an erasure waits for who was
# admitted before it, and nobody is admitted after it. The student's turn comes with it.
_STUDENT = LINKED.with_for_update(read=True, key_share=True, of=User).cte("student")
_MATCH = select(matches_for(_STUDENT.c.user_id).subquery()).lateral("match")
_ERASED = select(ERASED_AT.label("erased_at")).subquery("erased")
_PLACE = select(_ERASED, _STUDENT, _MATCH, turn_of(_STUDENT.c.user_id)).select_from(
    _ERASED.outerjoin(_STUDENT, true()).outerjoin(_MATCH, true())
)


@retried
async def claim_submission(intake: Intake, work: Work) -> UUID:
    """Claim a message whose files take longer than a transaction: the student.

    Raises what `take_claim` and `admit` raise; then nothing is claimed.
    """
    async with intake.sessions() as session, session.begin():
        await take_claim(session, work.claim)
        user_id, _ = await admit(session, intake, work)
        return user_id


async def admit(session: Session, intake: Intake, work: Work) -> tuple[UUID, Match]:
    """Whose submission it is, and for which work. Takes the student's turn, and writes nothing.

    Raises TimestampTooOldError, TimestampInFutureError, StudentErasedError, StudentNotFoundError,
    AccountInactiveError, AssignmentNotFoundError or AssignmentAmbiguousError.
    """
    message, payload = work.message, work.message.payload
    if not work.takes_any_age:
        await check_time(session, message, now=work.now)
    found = await session.execute(
        _PLACE,
        {
            "spark_user_id": payload.spark_user_id,
            "assignment_id": payload.spark_assignment_id,
            "subject_hash": await intake.tombstones.of_student(session, payload.spark_user_id),
        },
    )
    rows = found.all()
    known = read_as(LinkedStudent, rows[0]) if rows[0].user_id else None
    refuse_erased(message, known, erased_at=rows[0].erased_at)
    user_id = check_student(known, spark_user_id=payload.spark_user_id)
    matches = [read_as(Match, row) for row in rows if row.quest_id is not None]
    match = await choose_match(
        session, matches, payload.spark_assignment_id, course_id=payload.spark_course_id
    )
    return user_id, match


def course_unknown(message: Message, match: Match) -> list[AnswerWarning]:
    """Of a course id that nothing here has, though there is such an assignment: a course that is
    known would have been the only one to look in.
    """
    if message.payload.spark_course_id in (None, match.course_id):
        return []
    detail = "No course has this id; the assignment was found without it."
    return [AnswerWarning(code="course_unknown", detail=detail, field="spark_course_id")]


def refuse_erased(
    message: Message, known: LinkedStudent | None, *, erased_at: datetime | None
) -> None:
    """Raises StudentErasedError unless the student has come back and did this afterwards."""
    payload = message.payload
    if erased_at is None:
        return
    is_back = known is not None and known.deletion_status == "none"
    if not is_back or payload.submitted_at <= erased_at:
        raise StudentErasedError(spark_user_id=payload.spark_user_id)


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
