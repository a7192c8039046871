"""The click in Spark becomes a one-time code: one transaction."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from app.accounts.enlist import find_or_create_account
from app.accounts.students import AccountRules, Student
from app.activity.record_event import record_event
from app.database import FAILURES, Sessions, retried
from app.learning.course_enrolment import enrol_in_courses
from app.sso.authorization_codes import issue_code, new_code
from app.sso.launch_token import LEEWAY_SECONDS, LaunchClaims

LEEWAY = timedelta(seconds=LEEWAY_SECONDS)


@retried
async def sign_in(
    sessions: Sessions,
    claims: LaunchClaims,
    *,
    now: datetime,
    new_id: Callable[[], UUID],
    rules: AccountRules,
) -> tuple[UUID, str]:
    """Find or make the account and issue a code for it; on any error nothing has happened.

    It may be done again, with a code of its own each time: a roster locks the same student's rows
    in another order, and a cut COMMIT may have left a code, which the next one then supersedes.

    Raises AccountInactiveError, AccountErasedError, AccountLinkForbiddenError or
    LaunchTokenReplayedError.
    """
    code, unreadable = new_code(), claims.unreadable_courses
    async with sessions() as session, session.begin():
        account = await find_or_create_account(
            session, student_of(claims), now=now, new_id=new_id, rules=rules
        )
        await issue_code(
            session,
            code,
            user_id=account.user_id,
            replay_key=claims.replay_key,
            launch_expires_at=claims.expires_at,
        )
        happened = ["spark_account_linked"] if account.linked else []
        for event_type in (*happened, "spark_sso_success"):
            await record_event(
                session,
                event_type,
                user_id=account.user_id,
                session_id=new_id(),
                data={
                    "spark_user_id": claims.spark_user_id,
                    "jwt_issued_at": int(claims.issued_at.timestamp()),
                    "user_created": account.created,
                }
                | ({"unreadable_courses": unreadable} if unreadable else {}),
                page_url="/spark/sso",
            )
    return account.user_id, code


def student_of(claims: LaunchClaims) -> Student:
    return Student(
        claims.spark_user_id,
        claims.email,
        claims.given_name,
        claims.family_name,
        clicked_at=claims.issued_at - LEEWAY,  # at the earliest: Spark's clock may be ahead
    )


async def enrol_claimed(
    sessions: Sessions,
    account_id: UUID,
    claims: LaunchClaims,
    *,
    enrol_all: bool,
    now: datetime,
    new_id: Callable[[], UUID],
) -> None:
    """Enrol in exactly the courses that are claimed; without a claim in all, or in none.

    Whatever goes wrong is an event and never the end of a sign-in.
    """
    courses = claims.courses
    if not courses and not (courses is None and enrol_all):
        return
    try:
        async with sessions() as session, session.begin():
            await enrol_in_courses(session, account_id, courses, now=now)
    except FAILURES as failure:
        with suppress(*FAILURES):
            async with sessions() as session, session.begin():
                await record_event(
                    session,
                    "spark_enrolment_failed",
                    user_id=account_id,
                    session_id=new_id(),
                    data={"error_type": "enrolment_error", "error_message": type(failure).__name__},
                    page_url="/spark/sso",
                )
