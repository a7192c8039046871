"""The click in Spark becomes a one-time code: one transaction."""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.accounts.enlist import REFUSALS, enlist
from app.accounts.linked_students import LINK_IS_ACTIVE_SQL, STUDENT_IS_ACTIVE_SQL
from app.accounts.students import AccountRules, Student, StudentAccount, take_address
from app.activity.record_event import CATEGORY, record_event
from app.database import FAILURES, Columns, Session, Sessions, Statement, retried
from app.errors import AccountInactiveError
from app.learning.course_enrolment import enrol_in_courses
from app.sso.authorization_codes import CODE_LIFE, hash_code, new_code, supersede
from app.sso.launch_token import LEEWAY_SECONDS, LaunchClaims

LEEWAY = timedelta(seconds=LEEWAY_SECONDS)
ROUTE = "/spark/sso"

# All of the sign-in of a student who is known; without an active one no row comes back, and nothing
# is issued. Names follow Spark on accounts that Spark made: their link is of the same moment, as
# both are rows of one transaction. Clicks of one student take turns at the link.
ENTER = Statement(
    f"""
    with link as (
      update lms_integrations set last_sync_at = :now::timestamptz, updated_at = :now::timestamptz
      where lms_user_id = :spark_user_id::text and {LINK_IS_ACTIVE_SQL}
      returning user_id, created_at),
    student as (
      update users set last_active = :now::timestamptz,
        first_name = coalesce(
          case when users.created_at = link.created_at then :given_name::text end,
          users.first_name),
        last_name = coalesce(
          case when users.created_at = link.created_at then :family_name::text end,
          users.last_name),
        display_name = coalesce(
          case when users.created_at = link.created_at then :display_name::text end,
          users.display_name)
      from link where users.id = link.user_id and {STUDENT_IS_ACTIVE_SQL}
      returning users.id, lower(users.email collate "C") as email),
    first_use as (
      insert into spark.sso_replays (key, code_hash, expires_at)
      select :replay_key::bytea, :code::text, :expires_at::timestamptz from student
      on conflict do nothing returning key),
    code as (
      insert into spark.spark_auth_codes (code, user_id, expires_at)
      select :code::text, id, now() + interval '{CODE_LIFE.seconds} seconds' from student),
    event as (
      insert into user_activity_events
        (id, user_id, session_id, event_type, event_category, event_data, page_url)
      select :event_id::uuid, id, :session_id::uuid, 'spark_sso_success', '{CATEGORY}',
        :said::jsonb, '{ROUTE}'
      from student returning id),
    followed as (insert into spark.events (event_id) select id from event)
    select id, email, exists (select from first_use) as is_first from student
    """  # noqa: S608 - of our own pieces
)


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
    Raises as `enter`.
    """
    code = new_code()
    async with sessions() as session, session.begin():
        account = await enter(session, claims, code, now=now, new_id=new_id, rules=rules)
    return account.user_id, code


async def enter(
    session: Session,
    claims: LaunchClaims,
    code: str,
    *,
    now: datetime,
    new_id: Callable[[], UUID],
    rules: AccountRules,
) -> StudentAccount:
    """One statement for who is known. The first time the account is made or linked (DESIGN R42).

    Raises AccountInactiveError, AccountErasedError, AccountLinkForbiddenError or
    LaunchTokenReplayedError; then nothing may be committed.
    """
    known = await _enter(session, claims, code, now=now, new_id=new_id)
    if known:
        await _follow_address(session, known, claims, rules)
        return StudentAccount(known["id"])
    student = student_of(claims)
    [account] = (await enlist(session, [student], now=now, new_id=new_id, rules=rules)).values()
    if isinstance(account, REFUSALS):
        raise account
    if account.linked:
        await record_event(
            session,
            "spark_account_linked",
            user_id=account.user_id,
            session_id=new_id(),
            data=_said(claims, created=False),
            page_url=ROUTE,
        )
    entered = await _enter(session, claims, code, now=now, new_id=new_id, created=account.created)
    if entered is None:  # changed at this moment
        raise AccountInactiveError
    if not account.created:
        await _follow_address(session, entered, claims, rules)
    return account


async def _enter(
    session: Session,
    claims: LaunchClaims,
    code: str,
    *,
    now: datetime,
    new_id: Callable[[], UUID],
    created: bool = False,
) -> Columns | None:
    """The row of ENTER, if there is one."""
    student, code_hash = student_of(claims), hash_code(code)
    rows = await ENTER.send(
        session,
        {
            "spark_user_id": student.spark_user_id,
            "now": now,
            "given_name": student.given_name or None,
            "family_name": student.family_name or None,
            "display_name": student.display_name or None,
            "replay_key": claims.replay_key,
            "code": code_hash,
            "expires_at": claims.expires_at,  # and a day, by retention: clocks may differ
            "event_id": new_id(),
            "session_id": new_id(),
            "said": json.dumps(_said(claims, created=created)),
        },
    )
    row = rows[0] if rows else None
    if row and not row["is_first"]:
        await supersede(session, code_hash, replay_key=claims.replay_key)
    return row


async def _follow_address(
    session: Session, known: Columns, claims: LaunchClaims, rules: AccountRules
) -> None:
    """The main app gives a parent's child no address, and lets it have none: it stays without."""
    student = student_of(claims)
    if known["email"] and student.own_address not in (None, known["email"]):
        await take_address(session, known["id"], student, rules)


def _said(claims: LaunchClaims, *, created: bool) -> dict[str, Any]:
    """Of the events of a sign-in."""
    unreadable = claims.unreadable_courses
    return {
        "spark_user_id": claims.spark_user_id,
        "jwt_issued_at": int(claims.issued_at.timestamp()),
        "user_created": created,
    } | ({"unreadable_courses": unreadable} if unreadable else {})


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
        # In a task of its own: a course that somebody holds is no database that hangs.
        await asyncio.create_task(_enrol(sessions, account_id, courses, now=now))
    except FAILURES as failure:
        with suppress(*FAILURES):
            async with sessions() as session, session.begin():
                await record_event(
                    session,
                    "spark_enrolment_failed",
                    user_id=account_id,
                    session_id=new_id(),
                    data={"error_type": "enrolment_error", "error_message": type(failure).__name__},
                    page_url=ROUTE,
                )


async def _enrol(
    sessions: Sessions, account_id: UUID, courses: Sequence[str] | None, *, now: datetime
) -> None:
    async with sessions() as session, session.begin():
        await enrol_in_courses(session, account_id, courses, now=now)
