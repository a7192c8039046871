"""Tokens of both applications, of people of 20_rows.sql (#28, #29, #30)."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from app.clock import utc_now
from app.settings import Settings
from app.signing import sign_token, token_key
from tests.support.adopted import Shape
from tests.support.beside import Beside, serve_beside
from tests.support.beside_spark import ESSAY, handed_in
from tests.support.evidence import Desk, body_of, text, texts
from tests.support.people import ANN, ANNS_TASK, DANA, PAT
from tests.support.service_role import Role

ROLES: tuple[Role, ...] = ("optio_owner", "spark_service")
LOGOUT = "select last_logout_at from users where id = :id"


@pytest.fixture(params=ROLES)
async def beside(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Beside]:
    async with serve_beside(settings, request.param) as running:
        yield running


def token(beside: Beside, user_id: str, by: str, kind: str = "access") -> str:
    """As the main app's login, refresh and *act as* make them: without `sid`."""
    key = beside.main_app.jwt_secret_key
    assert key
    now = int(utc_now().timestamp())
    claims = {"sub": user_id, "user_id": by, "type": kind, "version": "v1"}
    return sign_token(claims | {"iat": now - 1, "exp": now + 3600}, key=token_key(key))


async def is_active(beside: Beside, asked: str) -> bool:
    answer = await beside.spark.browser.post(
        "/internal/v1/sessions/introspect", json={"token": asked}, headers=beside.key
    )
    active: bool = body_of(answer)["active"]
    return active


def desk(beside: Beside, asked: str, task_id: str) -> Desk:
    return Desk(beside.spark.browser, {"Authorization": f"Bearer {asked}"}, task_id, {})


async def test_28_what_the_main_app_refreshed_lets_ann_in(beside: Beside) -> None:
    refreshed = token(beside, ANN, ANN)
    assert await is_active(beside, refreshed)
    assert texts(await desk(beside, refreshed, ANNS_TASK).read())[0] == "Written in the app."


async def test_29_a_logout_on_either_side_is_one_on_both(beside: Beside) -> None:
    """`last_logout_at` is what the main app's refresh looks at."""
    refreshed = token(beside, ANN, ANN)
    came = await beside.spark.sign_in(sub="spark_ann", email=None)
    path = f"/internal/v1/students/{ANN}/sessions/revoke"
    assert (await beside.spark.browser.post(path, headers=beside.key)).status_code == 204
    [(moment,)] = await beside.rows(LOGOUT, id=ANN)
    assert moment is not None
    assert [await is_active(beside, each) for each in (refreshed, came.access_token)] == [False] * 2
    again = await beside.spark.sign_in(sub="spark_ann", email=None)
    assert await is_active(beside, again.access_token)
    await beside.rows("update users set last_logout_at = now() where id = :id", id=ANN)
    assert not await is_active(beside, again.access_token)


async def test_30_a_parent_acts_for_a_child(beside: Beside) -> None:
    """Pat for Dana, who has no address and whom a service linked by hand."""
    link = f"/internal/v1/students/{DANA}/link"
    said = {"spark_user_id": "spark_dana"}
    linked = await beside.spark.browser.post(link, json=said, headers=beside.key)
    assert linked.status_code in (200, 201), linked.text
    await beside.spark.sign_in(sub="spark_dana", email="dana@example.test")
    assert await beside.rows("select email from users where id = :id", id=DANA) == [(None,)]
    task = (await handed_in(beside.spark, "dana", ESSAY, submission_text="Dana's."))["task_id"]
    acting = desk(beside, token(beside, DANA, PAT, "acting_as_dependent"), task)
    await acting.saved(text("With Pat."), version=(await acting.read())["version"])
    assert texts(await acting.read()) == ["With Pat."]
    callers = await beside.rows("select caller from spark.audit_log where user_id = :id", id=DANA)
    assert (f"user:{PAT}",) in callers
    assert (
        await acting.ask("GET", f"/internal/v1/evidence/documents/{ANNS_TASK}")
    ).status_code == 404
    assert not await is_active(beside, token(beside, DANA, PAT, "acting_as_dependent"))


@pytest.mark.parametrize("role", ROLES)
async def test_29_so_it_is_in_the_older_shape(settings: Settings, role: Role) -> None:
    shape: Shape = "2025_12"
    async with serve_beside(settings, role, shape) as beside:
        came = await beside.spark.sign_in()
        path = f"/internal/v1/students/{UUID(came.user_id)}/sessions/revoke"
        assert (await beside.spark.browser.post(path, headers=beside.key)).status_code == 204
        [(moment,)] = await beside.rows(LOGOUT, id=came.user_id)
        assert moment is not None
