"""Two applications end sessions, and each heeds the other (#28, #29)."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import func, select, update

from app.clock import utc_now
from app.database import Sessions
from app.models import LmsSession, User
from app.settings import Settings
from app.signing import sign_token, token_key
from tests.support.canaries import CANARIES
from tests.support.lost_access import lose_access, losses
from tests.support.problems import assert_problem
from tests.support.spark import SignedIn, Spark
from tests.support.stored import audited

INTROSPECT = "/internal/v1/sessions/introspect"
IsLetIn = Callable[[str], Awaitable[list[bool]]]
Post = Callable[..., Awaitable[httpx.Response]]
IssuedAgo = Callable[..., str]


@pytest.fixture
def post(browser: httpx.AsyncClient, main_app: dict[str, str]) -> Post:
    return partial(browser.post, headers=main_app)


@pytest.fixture
def is_let_in(browser: httpx.AsyncClient, post: Post) -> IsLetIn:
    """By introspection, and by the evidence routes: a task that is not there is 404."""

    async def ask(token: str) -> list[bool]:
        answer = await post(INTROSPECT, json={"token": token})
        assert answer.status_code == 200, answer.text
        headers = {"Authorization": f"Bearer {token}"}
        path = f"/internal/v1/evidence/documents/{uuid4()}"
        read = (await browser.get(path, headers=headers)).status_code
        assert read in (401, 404)
        return [answer.json()["active"], read == 404]

    return ask


@pytest.fixture
def refreshed(settings: Settings, student: SignedIn) -> IssuedAgo:
    """A token as the main app's refresh makes it, without `sid`."""

    def issue(ago: timedelta = timedelta(minutes=2), **more: object) -> str:
        assert settings.jwt_secret_key
        issued_at = int((utc_now() - ago).timestamp())
        whose = {"sub": student.user_id, "user_id": student.user_id, "type": "access"}
        lives = {"version": "v1", "iat": issued_at, "exp": issued_at + 3600}
        token = sign_token(whose | lives | more, key=token_key(settings.jwt_secret_key))
        CANARIES.release(token)
        return token

    return issue


async def _log_out(sessions: Sessions, student: SignedIn, ago: timedelta = timedelta()) -> None:
    """As the main app's logout does."""
    async with sessions() as session, session.begin():
        whose = update(User).where(User.id == UUID(student.user_id))
        await session.execute(whose.values(last_logout_at=func.now() - ago))


async def _last_logout(sessions: Sessions, student: SignedIn) -> object:
    async with sessions() as session, session.begin():
        asked = select(User.last_logout_at).where(User.id == UUID(student.user_id))
        return (await session.execute(asked)).scalar_one()


async def _session_id(sessions: Sessions, student: SignedIn) -> UUID:
    async with sessions() as session, session.begin():
        asked = select(LmsSession.id).where(LmsSession.user_id == UUID(student.user_id))
        session_id: UUID = (await session.execute(asked)).scalar_one()
        return session_id


async def test_what_the_main_app_refreshed_is_active_and_has_no_session(
    post: Post,
    student: SignedIn,
    refreshed: IssuedAgo,
    is_let_in: IsLetIn,
) -> None:
    """#28"""
    assert await is_let_in(refreshed()) == [True, True]
    answer = await post(INTROSPECT, json={"token": refreshed()})
    body = answer.json()
    assert body.keys() == {"active", "token_use", "sub", "user_id", "iat", "exp"}
    assert (body["token_use"], body["sub"]) == ("access", student.user_id)
    for other in (refreshed(type="refresh"), refreshed(type="masquerade")):
        answer = await post(INTROSPECT, json={"token": other})
        assert answer.json() == {"active": False}


@pytest.mark.parametrize(
    ("ago", "is_good"),
    [
        pytest.param(timedelta(minutes=3), [True, True], id="#29-issued since"),
        pytest.param(timedelta(minutes=1), [False, False], id="#29-issued before"),
    ],
)
async def test_the_main_apps_logout_ends_its_tokens_that_are_older(
    sessions: Sessions,
    student: SignedIn,
    refreshed: IssuedAgo,
    is_let_in: IsLetIn,
    ago: timedelta,
    is_good: list[bool],
) -> None:
    await _log_out(sessions, student, ago)
    assert await is_let_in(refreshed()) == is_good
    parent = refreshed(type="acting_as_dependent", user_id=str(uuid4()))
    assert await is_let_in(parent) == [False, True]  # is no token of the child's own


async def test_a_logout_needs_a_time_of_issue_to_be_survived(
    sessions: Sessions, student: SignedIn, refreshed: IssuedAgo, is_let_in: IsLetIn
) -> None:
    timeless = refreshed(iat=None)
    assert await is_let_in(timeless) == [True, True]
    await _log_out(sessions, student)
    assert await is_let_in(timeless) == [False, False]


async def test_the_main_apps_logout_ends_our_sessions_until_the_next_click(
    sessions: Sessions, spark: Spark, student: SignedIn, is_let_in: IsLetIn
) -> None:
    """#29"""
    assert await is_let_in(student.access_token) == [True, True]
    await _log_out(sessions, student)
    assert await is_let_in(student.access_token) == [False, False]
    again = await spark.sign_in(sub=student.spark_user_id)
    assert await is_let_in(again.access_token) == [True, True]


@losses
async def test_a_refreshed_token_is_inactive_with_the_link(
    post: Post,
    sessions: Sessions,
    student: SignedIn,
    refreshed: IssuedAgo,
    loss: str,
) -> None:
    await lose_access(sessions, student.user_id, loss)
    answer = await post(INTROSPECT, json={"token": refreshed()})
    assert answer.json() == {"active": False}


async def test_a_session_that_is_revoked_is_a_logout_once(
    post: Post,
    sessions: Sessions,
    spark: Spark,
    student: SignedIn,
    refreshed: IssuedAgo,
    is_let_in: IsLetIn,
) -> None:
    """#29"""
    path = f"/internal/v1/sessions/{await _session_id(sessions, student)}/revoke"
    assert (await post(path)).status_code == 204
    since = await _last_logout(sessions, student)
    assert since is not None
    assert await is_let_in(refreshed()) == [False, False]
    again = await spark.sign_in(sub=student.spark_user_id)
    assert (await post(path)).status_code == 204
    assert await _last_logout(sessions, student) == since
    assert await is_let_in(again.access_token) == [True, True]


async def test_all_sessions_of_a_user_are_ended_over_http(
    post: Post,
    sessions: Sessions,
    spark: Spark,
    student: SignedIn,
    refreshed: IssuedAgo,
    is_let_in: IsLetIn,
) -> None:
    more = await spark.sign_in(sub=student.spark_user_id)
    waiting = await spark.launch_code(sub=student.spark_user_id)
    other = await spark.sign_in()
    path = f"/internal/v1/students/{student.user_id}/sessions/revoke"
    for _ in range(2):
        assert (await post(path)).status_code == 204
    for token in (student.access_token, more.access_token, refreshed()):
        assert await is_let_in(token) == [False, False]
    assert_problem(await spark.exchange(waiting), 401, "code_invalid")
    assert await is_let_in(other.access_token) == [True, True]
    assert await audited(sessions, student.user_id) == [
        ("INTERNAL_API_KEYS[0]", "authn_token_revoked", {"sessions": count}) for count in (2, 0)
    ]


async def test_whoever_is_not_there_cannot_be_signed_out(
    post: Post,
) -> None:
    path = f"/internal/v1/students/{uuid4()}/sessions/revoke"
    assert_problem(await post(path), 404, "not_found")
