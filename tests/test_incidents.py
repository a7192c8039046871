"""What an operator does when something leaked: who saw what, and nobody stays signed in."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import func, insert, literal, select, text

from app.activity.audit import ENTRIES_PER_PAGE
from app.database import Sessions
from app.models import PLATFORM, AuditEntry, LmsSession
from app.settings import Settings
from app.sso.sessions import BATCH_SESSIONS
from tests.support.commands import Run, run_on
from tests.support.databases import ready_database
from tests.support.elsewhere import Elsewhere, run_elsewhere
from tests.support.problems import assert_problem
from tests.support.spark import SignedIn, Spark
from tests.support.stored import audited


@pytest.fixture
async def own(settings: Settings) -> AsyncIterator[Elsewhere]:
    """A service whose users are this test's alone."""
    async with ready_database(settings) as empty, run_elsewhere(empty) as elsewhere:
        yield elsewhere


@pytest.fixture
def run(settings: Settings) -> Run:
    return run_on(settings)


async def is_signed_in(spark: Spark, student: SignedIn) -> bool:
    """401 for a token whose session is over; this one's task does not exist."""
    answer = await spark.browser.get(
        f"/internal/v1/evidence/documents/{uuid4()}",
        headers={"Authorization": f"Bearer {student.access_token}"},
    )
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        assert_problem(answer, 401, "unauthorized")
    return answer.status_code == httpx.codes.NOT_FOUND


async def test_one_student_is_signed_out_and_may_come_again(
    run: Run, spark: Spark, sessions: Sessions, student: SignedIn
) -> None:
    other = await spark.sign_in()
    waiting = await spark.launch_code(sub=student.spark_user_id)
    done = await run("revoke-sessions", "--user-id", student.user_id)
    assert (done.exit_code, done.stdout) == (0, "1 open sessions were ended.\n")
    assert not await is_signed_in(spark, student)
    assert await is_signed_in(spark, other)
    assert_problem(await spark.exchange(waiting), 401, "code_invalid")
    again = await run("revoke-sessions", "--user-id", student.user_id)
    assert (again.exit_code, again.stdout) == (0, "0 open sessions were ended.\n")
    assert await is_signed_in(spark, await spark.sign_in(sub=student.spark_user_id))
    assert await audited(sessions, student.user_id) == [
        ("command", "authn_token_revoked", {"sessions": 1})
    ]


async def test_everyone_is_signed_out_however_many_they_are(own: Elsewhere) -> None:
    students = [await own.spark.sign_in() for _ in range(2)]
    database: Sessions = own.running.app.state.resources.sessions
    many = select(
        literal(UUID(students[0].user_id)),
        literal(PLATFORM),
        literal("hash"),
        func.now() + text("interval '1 day'"),
    ).select_from(func.generate_series(1, BATCH_SESSIONS))
    async with database() as session, session.begin():
        columns = ["user_id", "lms_platform", "session_token", "expires_at"]
        await session.execute(insert(LmsSession).from_select(columns, many))
    done = await run_on(own.running.settings)("revoke-sessions", "--everyone")
    assert done.stdout == f"{BATCH_SESSIONS + 2} open sessions were ended.\n"
    assert [await is_signed_in(own.spark, student) for student in students] == [False, False]


@pytest.mark.parametrize("words", [(), ("--everyone", "--user-id", str(uuid4()))])
async def test_whose_sessions_end_has_to_be_said(run: Run, words: tuple[str, ...]) -> None:
    refused = await run("revoke-sessions", *words)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == "Give either --user-id or --everyone.\n"


async def test_the_audit_log_is_printed_by_student_and_by_caller(
    run: Run, sessions: Sessions, student: SignedIn
) -> None:
    """More than a page, all of one moment; what is older than asked for is left out."""
    caller, other = f"optio_{uuid4().hex[:16]}", uuid4()
    about = {"caller": caller, "action": "sensitive_read", "detail": {"submission_id": "7"}}
    old = about | {"occurred_at": text("now() - interval '3 days'")}
    async with sessions() as session, session.begin():
        mine = [about | {"user_id": UUID(student.user_id)}] * (ENTRIES_PER_PAGE + 1)
        await session.execute(insert(AuditEntry), mine)
        await session.execute(insert(AuditEntry).values(old))
        listed = about | {"user_ids": [UUID(student.user_id), other]}
        await session.execute(insert(AuditEntry).values(listed))
    lines = await entries(run, "--user-id", student.user_id, "--days", "2")
    assert len(lines) == ENTRIES_PER_PAGE + 2
    [of_many] = [line for line in lines if line["user_id"] is None]
    assert of_many["user_ids"] == [student.user_id, str(other)]
    lines.remove(of_many)
    assert lines[0] == about | {
        "occurred_at": lines[-1]["occurred_at"],
        "user_id": student.user_id,
        "user_ids": None,
    }
    [line] = await entries(run, "--user-id", str(other), "--days", "2")
    assert line == of_many
    assert len(await entries(run, "--caller", caller, "--days", "2")) == ENTRIES_PER_PAGE + 2
    oldest, *_ = await entries(run, "--caller", caller, "--days", "4")
    assert oldest["user_id"] is None
    assert await entries(run, "--caller", caller, "--user-id", str(uuid4())) == []


async def entries(run: Run, *options: str) -> list[dict[str, Any]]:
    printed = await run("audit", *options)
    assert printed.exit_code == 0, printed.stderr
    return [json.loads(line) for line in printed.stdout.splitlines()]
