"""The click in Spark becomes a one-time code: one transaction."""

from datetime import datetime
from uuid import UUID

from app.accounts.students import Student, find_or_create_account
from app.activity import record_event
from app.database import Sessions
from app.sso.authorization_codes import IssuedCode, issue_code
from app.sso.launch_token import LaunchClaims


async def sign_in(
    sessions: Sessions,
    claims: LaunchClaims,
    *,
    code: IssuedCode,
    now: datetime,
    new_user_id: UUID,
    link_by_email: bool,
) -> None:
    """Find or make the account and issue `code` for it; on any error nothing has happened.

    Raises AccountInactiveError, AccountLinkForbiddenError or LaunchTokenReplayedError.
    """
    student = Student(claims.spark_user_id, claims.email, claims.given_name, claims.family_name)
    async with sessions() as session, session.begin():
        account = await find_or_create_account(
            session, student, now=now, new_user_id=new_user_id, link_by_email=link_by_email
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
                session_id=new_user_id,
                data={
                    "spark_user_id": claims.spark_user_id,
                    "jwt_issued_at": int(claims.issued_at.timestamp()),
                    "user_created": account.created,
                },
                page_url="/spark/sso",
            )
