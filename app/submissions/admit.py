"""Whether a message may be handed in, by whom and for what."""

from datetime import datetime
from uuid import UUID

from app.accounts.linked_students import LinkedStudent, check_student
from app.adoption.people import DELETION_SQL, IS_STUDENT_SQL, LINK_IS_ON_SQL, LINK_STATUS_SQL
from app.database import Session, Statement, read_as, retried
from app.errors import StudentErasedError, TimestampTooOldError
from app.fields import AnswerWarning
from app.learning.assignments import Match, choose_match, matches_sql
from app.learning.enrolment import turn_sql
from app.models import PLATFORM
from app.submissions.idempotency import CLAIMED_SQL, came_in_time, refuse_claimed
from app.submissions.message import Message
from app.submissions.work import Intake, Work

# One statement for all, because every submission asks: which keys are ours, the student, each match
# beside, and when the student was erased. The lock is that of a foreign key to the user: an erasure
# waits for who was admitted before it, and nobody is admitted after it; so does who moves the
# link. The student's turn comes with it, if the message is ours.
ADMIT = Statement(
    f"""
    with {CLAIMED_SQL},
    student as (
      select users.id as user_id, users.email, {IS_STUDENT_SQL} as is_student,
        {DELETION_SQL} as deletion_status, {LINK_IS_ON_SQL} as sync_enabled,
        {LINK_STATUS_SQL} as sync_status
      from users join lms_integrations on lms_integrations.user_id = users.id
      where lms_integrations.lms_platform = '{PLATFORM}'
        and lms_integrations.lms_user_id = :spark_user_id
      for key share of users, lms_integrations)
    select claim.is_ours, erased.erased_at, student.*, match.*,
      case when claim.is_ours then {turn_sql("student.user_id")} end
    from (select count(*) = cardinality(:keys) as is_ours from claimed) claim
    cross join (
      select max(requested_at) as erased_at from spark.erasures
      where subject_hash = :subject_hash) erased
    left join student on true
    left join lateral ({matches_sql("student.user_id")}) match on true
    """  # noqa: S608 - of our own pieces
)


@retried
async def claim_submission(intake: Intake, work: Work) -> UUID:
    """Claim a message whose files take longer than a transaction: the student.

    Raises what `admit` raises; then nothing is claimed.
    """
    async with intake.sessions() as session, session.begin():
        user_id, _ = await admit(session, intake, work)
        return user_id


async def admit(session: Session, intake: Intake, work: Work) -> tuple[UUID, Match]:
    """Claim a message: whose submission it is, and for which work. Takes the student's turn.

    Raises AnsweredError or RunningError when the message is another handler's, and
    TimestampTooOldError, TimestampInFutureError, StudentErasedError, StudentNotFoundError,
    AccountInactiveError, AssignmentNotFoundError or AssignmentAmbiguousError.
    """
    message, payload = work.message, work.message.payload
    asked = {
        **work.claim.values,
        "spark_user_id": payload.spark_user_id,
        "assignment_id": payload.spark_assignment_id,
        "subject_hash": await intake.tombstones.of_student(session, payload.spark_user_id),
    }
    found = await ADMIT.send(session, asked)
    if found[0]["is_ours"] and not found[0]["user_id"]:
        found = await ADMIT.send(session, asked)  # the link was moved while this waited for it
    if not found[0]["is_ours"]:
        await refuse_claimed(session, work.claim)
    if not work.takes_any_age:
        await check_time(session, message, now=work.now)
    known = read_as(LinkedStudent, found[0]) if found[0]["user_id"] else None
    refuse_erased(message, known, erased_at=found[0]["erased_at"])
    user_id = check_student(known, spark_user_id=payload.spark_user_id)
    matches = [read_as(Match, row) for row in found if row["quest_id"] is not None]
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
    """A stale message that arrived in time before is no replay but a retry (SECURITY D8)."""
    try:
        message.check_fresh(now=now)
    except TimestampTooOldError:
        said_at = message.payload.submitted_at
        if not await came_in_time(session, message.digest, said_at=said_at):
            raise
