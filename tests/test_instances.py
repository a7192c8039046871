"""Several instances are one service, also while their signing key changes (OPERATOR 10, 18)."""

import secrets

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.database import create_engine, name_instance
from app.settings import Settings
from tests.support.elsewhere import Elsewhere, run_elsewhere
from tests.support.evidence import body_of

OLD, NEW = (SecretStr(secrets.token_hex(32)) for _ in range(2))
# JWT_SECRET_KEY and JWT_SECRET_KEY_PREVIOUS, from roll to roll.
ROLLS = ((OLD, None), (OLD, NEW), (NEW, OLD), (NEW, None))


def keys(step: int) -> dict[str, SecretStr | None]:
    return dict(zip(("jwt_secret_key", "jwt_secret_key_previous"), ROLLS[step], strict=True))


@pytest.mark.parametrize("step", range(len(ROLLS) - 1), ids="OPERATOR 10 roll {}".format)
async def test_while_the_key_is_rolled_each_instance_takes_what_the_other_made(
    settings: Settings, main_app: dict[str, str], step: int
) -> None:
    async with (
        run_elsewhere(settings, **keys(step)) as before,
        run_elsewhere(settings, **keys(step + 1)) as behind,
    ):
        for maker in (before, behind):
            student = await maker.spark.sign_in()
            page = await maker.spark.browser.get("/internal/v1/events?from=now", headers=main_app)
            for taker in (before, behind):
                assert await is_active(taker, student.access_token, "access_token", main_app)
                assert await is_active(taker, student.refresh_token, "refresh_token", main_app)
                after = {"after": body_of(page)["next_cursor"]}
                body_of(await get_events(taker, after, main_app))


async def is_active(at: Elsewhere, token: str, kind: str, main_app: dict[str, str]) -> bool:
    asked = {"token": token, "token_type_hint": kind}
    path = "/internal/v1/sessions/introspect"
    return bool(body_of(await at.spark.browser.post(path, json=asked, headers=main_app))["active"])


async def get_events(
    at: Elsewhere, query: dict[str, str], main_app: dict[str, str]
) -> httpx.Response:
    return await at.spark.browser.get("/internal/v1/events", params=query, headers=main_app)


@pytest.mark.parametrize(
    ("query", "shown"),
    [("", name_instance()), ("?application_name=mine", "mine")],
    ids=["OPERATOR 18 by default", "as the address says"],
)
async def test_the_server_shows_which_version_and_process_is_connected(
    settings: Settings, query: str, shown: str
) -> None:
    assert settings.database_url
    address = SecretStr(settings.database_url.get_secret_value() + query)
    engine = create_engine(settings.model_copy(update={"database_url": address}))
    async with engine.connect() as connection:
        named = await connection.scalar(text("show application_name"))
    await engine.dispose()
    assert named == shown
