"""A dry run of a sign-in (DESIGN R7): the act itself, undone."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from app.accounts.students import AccountRules
from app.database import Sessions, retried
from app.errors import ForbiddenError, ServiceError, UnauthorizedError
from app.learning.course_enrolment import find_courses
from app.sso.authorization_codes import new_code
from app.sso.launch_token import LaunchClaims
from app.sso.sign_in import enter

AccountOutcome = Literal["create", "link", "known", "refuse"]


@retried
async def rehearse_sign_in(
    sessions: Sessions,
    claims: LaunchClaims,
    *,
    now: datetime,
    new_id: Callable[[], UUID],
    rules: AccountRules,
) -> tuple[AccountOutcome, Sequence[ServiceError], set[str]]:
    """What `sign_in` would do about the account, why it would not, and which of the claimed courses
    there are. Nothing is kept, and the token stays good.
    """
    async with sessions() as session:
        undone = await session.begin()
        try:
            code = new_code()
            account = await enter(session, claims, code, now=now, new_id=new_id, rules=rules)
            found = await find_courses(session, account.user_id, claims.courses or ())
        except (ForbiddenError, UnauthorizedError) as refusal:
            return "refuse", [refusal], set()
        finally:
            await undone.rollback()
    outcome: AccountOutcome = "create" if account.created else "link" if account.linked else "known"
    return outcome, [], set(found.values())
