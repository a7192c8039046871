"""The main app asks whether a session is alive, and ends one."""

from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import func, select, update

from app.clock import utc_now
from app.database import Sessions
from app.models import LmsSession
from app.settings import Settings
from app.signing import sign_token, token_key
from app.sso.app_tokens import TokenIssuer
from tests.support.problems import assert_problem
from tests.support.spark import SignedIn, Spark
from tests.support.stored import audited

INTROSPECT = "/internal/v1/sessions/introspect"


async def _introspect(
    browser: httpx.AsyncClient, main_app: dict[str, str], token: str, **more: str
) -> dict[str, object]:
    answer = await browser.post(INTROSPECT, json={"token": token} | more, headers=main_app)
    assert answer.status_code == 200, answer.text
    body: dict[str, object] = answer.json()
    return body


async def _session_of(sessions: Sessions, student: SignedIn) -> UUID:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(LmsSession.id).where(LmsSession.user_id == UUID(student.user_id))
        )
        session_id: UUID = found.scalar_one()
        return session_id


async def test_both_tokens_of_a_session_are_active_and_told_apart(
    browser: httpx.AsyncClient, main_app: dict[str, str], sessions: Sessions, student: SignedIn
) -> None:
    hint = {"token_type_hint": "refresh_token"}
    access = await _introspect(browser, main_app, student.access_token)
    assert await _introspect(browser, main_app, student.access_token, **hint) == access
    refresh = await _introspect(browser, main_app, student.refresh_token, **hint)
    session_id = str(await _session_of(sessions, student))
    for body, use, seconds in ((access, "access", 3600), (refresh, "refresh", 2592000)):
        assert body.pop("exp") == int(str(body.pop("iat"))) + seconds
        assert body == {
            "active": True,
            "token_use": use,
            "sid": session_id,
            "sub": student.user_id,
            "user_id": student.user_id,
        }


@pytest.mark.parametrize("hint", [{}, {"token_type_hint": "access_token"}, {"token_type_hint": ""}])
async def test_a_refresh_token_is_inactive_for_who_does_not_expect_one(
    browser: httpx.AsyncClient, main_app: dict[str, str], student: SignedIn, hint: dict[str, str]
) -> None:
    asked = await _introspect(browser, main_app, student.refresh_token, **hint)
    assert asked == {"active": False}


async def test_a_form_asks_as_json_does(
    browser: httpx.AsyncClient, main_app: dict[str, str], student: SignedIn
) -> None:
    """RFC 7662 section 2.1"""
    access, refresh = student.access_token, student.refresh_token
    form = {"token": refresh, "token_type_hint": "refresh_token", "client_id": "any"}
    for fields in ({"token": access}, form):
        answer = await browser.post(INTROSPECT, data=fields, headers=main_app)
        assert answer.json() == await _introspect(browser, main_app, **fields)
        assert answer.json()["active"] is True
    twice = f"token={access}&token={access}"
    for body, field in (
        (twice, "token"),
        ("x", "token"),
        ("token=x" + "&token_type_hint=" * 2, ""),
    ):
        headers = {"Content-Type": "application/x-www-form-urlencoded"} | main_app
        answer = await browser.post(INTROSPECT, content=body, headers=headers)
        problem = assert_problem(answer, 400, "field_invalid")
        assert problem["error"] == f"Invalid field: {field or 'token_type_hint'}"
    answer = await browser.post(INTROSPECT, content="token=x", headers=main_app)
    assert_problem(answer, 415, "media_type_unsupported")


async def test_a_revoked_session_is_inactive_and_revoking_again_is_fine(
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    sessions: Sessions,
    student: SignedIn,
) -> None:
    session_id = str(await _session_of(sessions, student))
    path = f"/internal/v1/sessions/{session_id}/revoke"
    for _ in range(2):
        assert (await browser.post(path, headers=main_app)).status_code == 204
    ended = ("INTERNAL_API_KEYS[0]", "authn_token_revoked", {"session_id": session_id})
    assert await audited(sessions, student.user_id) == [ended] * 2
    assert await _introspect(browser, main_app, student.access_token) == {"active": False}


async def test_an_expired_session_is_inactive(
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    sessions: Sessions,
    student: SignedIn,
) -> None:
    async with sessions() as session, session.begin():
        await session.execute(
            update(LmsSession)
            .where(LmsSession.user_id == UUID(student.user_id))
            .values(expires_at=func.now() - timedelta(seconds=1))
        )
    assert await _introspect(browser, main_app, student.access_token) == {"active": False}


async def test_a_code_redeemed_twice_ends_its_session(
    browser: httpx.AsyncClient, main_app: dict[str, str], spark: Spark
) -> None:
    """P043"""
    code = await spark.launch_code()
    token = (await spark.exchange(code)).json()["app_access_token"]
    assert (await _introspect(browser, main_app, token))["active"] is True
    assert_problem(await spark.exchange(code), 401, "code_used")
    assert await _introspect(browser, main_app, token) == {"active": False}


@pytest.mark.parametrize("token", ["x", "a.b.c", "", "ey" * 2000])
async def test_garbage_is_inactive_or_refused(
    browser: httpx.AsyncClient, main_app: dict[str, str], token: str
) -> None:
    """P241"""
    answer = await browser.post(INTROSPECT, json={"token": token}, headers=main_app)
    if token and len(token) <= 4096:
        assert answer.json() == {"active": False}
    else:
        assert_problem(answer, 400, "field_invalid")


async def test_a_launch_token_and_an_expired_token_are_inactive(
    browser: httpx.AsyncClient, main_app: dict[str, str], spark: Spark, settings: Settings
) -> None:
    assert settings.jwt_secret_key
    key = token_key(settings.jwt_secret_key)
    old = TokenIssuer(key=key, version="v1", access_seconds=60, refresh_seconds=60).issue(
        user_id=uuid4(), session_id=uuid4(), now=utc_now() - timedelta(minutes=2)
    )
    foreign = sign_token({"sub": "x", "type": "access", "exp": 4_000_000_000}, key=key)
    for token in (spark.launch_token(), old.access, foreign):
        assert await _introspect(browser, main_app, token) == {"active": False}


async def test_an_unknown_session_cannot_be_revoked(
    browser: httpx.AsyncClient, main_app: dict[str, str]
) -> None:
    answer = await browser.post(f"/internal/v1/sessions/{uuid4()}/revoke", headers=main_app)
    assert_problem(answer, 404, "not_found")


@pytest.mark.parametrize("path", [INTROSPECT, f"/internal/v1/sessions/{UUID(int=7)}/revoke"])
async def test_only_a_service_key_may_ask(
    browser: httpx.AsyncClient, student: SignedIn, path: str
) -> None:
    """P234"""
    for headers in ({}, {"Authorization": f"Bearer {student.access_token}"}):
        answer = await browser.post(path, json={"token": "x"}, headers=headers)
        assert_problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_body_is_not_read_before_the_key_is_known(
    browser: httpx.AsyncClient, main_app: dict[str, str]
) -> None:
    """One large body without a key must not fill the memory."""
    for body in (b"{", b"x" * 100_000):
        headers = {"Content-Type": "application/json"}
        answer = await browser.post(INTROSPECT, content=body, headers=headers)
        assert_problem(answer, 401, "unauthorized")
    answer = await browser.post(INTROSPECT, content=b"x" * 100_000, headers=main_app)
    assert_problem(answer, 413, "body_too_large")
    answer = await browser.post(INTROSPECT, content=b"{", headers=headers | main_app)
    assert_problem(answer, 400, "json_invalid")
