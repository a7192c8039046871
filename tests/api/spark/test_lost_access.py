"""A code and a session end with the account's right to come from Spark (finding M2)."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import Row, select

from app.database import Sessions
from app.models import LmsSession, SparkAuthCode
from app.sso.authorization_codes import hash_code
from tests.api.spark.test_sso import account
from tests.support.lost_access import lose_access, losses, win_back
from tests.support.problems import assert_problem
from tests.support.spark import Spark

INTROSPECT = "/internal/v1/sessions/introspect"


async def _code(sessions: Sessions, code: str) -> Row[Any]:
    async with sessions() as session:
        kept = select(SparkAuthCode.__table__).where(SparkAuthCode.code == hash_code(code))
        return (await session.execute(kept)).one()


async def _sessions_of(sessions: Sessions, user_id: object) -> int:
    async with sessions() as session:
        found = await session.execute(select(LmsSession.id).where(LmsSession.user_id == user_id))
        return len(found.all())


@losses
async def test_a_code_is_worth_nothing_once_its_account_has_changed(
    lms: Spark, sessions: Sessions, loss: str
) -> None:
    claims = lms.claims()
    code = await lms.launch_code(**claims)
    made = await account(sessions, claims["sub"])
    assert made
    await lose_access(sessions, made.id, loss)
    for _ in range(2):
        answer = await lms.exchange(code)
        problem = assert_problem(answer, 401, "code_invalid")
        assert problem["error"] == "Invalid authorization code"
        assert "Spark" in str(problem["hint"])
        assert "set-cookie" not in answer.headers
    assert not (await _code(sessions, code)).used
    assert not await _sessions_of(sessions, made.id)


async def test_a_code_is_not_spent_by_a_pause(lms: Spark, sessions: Sessions) -> None:
    """M2"""
    claims = lms.claims()
    code = await lms.launch_code(**claims)
    made = await account(sessions, claims["sub"])
    assert made
    await lose_access(sessions, made.id, "paused")
    assert_problem(await lms.exchange(code), 401, "code_invalid")
    await win_back(sessions, made.id)
    assert (await lms.exchange(code)).status_code == 200


async def test_whoever_is_promoted_while_codes_are_redeemed_has_no_session_that_is_open(
    lms: Spark, sessions: Sessions, main_app: dict[str, str]
) -> None:
    """M2: the exchange came first, and its session ended, or it came second, and there is none."""
    claims = [lms.claims() for _ in range(10)]
    codes = [await lms.launch_code(**each) for each in claims]
    made = [await account(sessions, each["sub"]) for each in claims]
    answers, _ = await asyncio.gather(
        asyncio.gather(*map(lms.exchange, codes)),
        asyncio.gather(*(lose_access(sessions, each.id, "now-an-admin") for each in made if each)),
    )
    for answer in answers:
        if answer.status_code == 200:
            asked = {"token": answer.json()["app_access_token"]}
            told = await lms.browser.post(INTROSPECT, json=asked, headers=main_app)
            assert told.json() == {"active": False}
        else:
            assert_problem(answer, 401, "code_invalid")


@losses
@pytest.mark.parametrize("kind", ["access", "refresh"])
async def test_no_token_is_active_while_its_account_may_not_come_from_spark(
    lms: Spark, sessions: Sessions, main_app: dict[str, str], loss: str, kind: str
) -> None:
    student = await lms.sign_in()
    other = await lms.sign_in()

    async def told(token: str) -> dict[str, object]:
        asked = {"token": token, "token_type_hint": "refresh_token"}
        answer = await lms.browser.post(INTROSPECT, json=asked, headers=main_app)
        body: dict[str, object] = answer.json()
        return body

    token = student.access_token if kind == "access" else student.refresh_token
    before = await told(token)
    assert (before["active"], before["token_use"]) == (True, kind)
    await lose_access(sessions, student.user_id, loss)
    assert await told(token) == {"active": False}
    assert (await told(other.access_token))["active"] is True
    await win_back(sessions, student.user_id)
    assert (await told(token) == before) is (loss != "unlinked")
