"""The LMS panel of the main app: what is connected, and which variables are missing."""

from typing import Any

import httpx
import pytest

from app.settings import Settings
from tests.support.problems import assert_problem
from tests.support.running import run_app
from tests.support.spark import SignedIn

PATH = "/internal/v1/lms/platforms"
SPARK = {
    "id": "spark",
    "name": "Spark LMS",
    "auth_method": "simple_jwt",
    "configured": True,
    "missing_vars": [],
    "supports_grade_passback": False,
    "supports_roster_sync": True,
    "supports_deep_linking": False,
}


async def test_spark_is_the_one_platform(
    browser: httpx.AsyncClient, main_app: dict[str, str]
) -> None:
    answer = await browser.get(PATH, headers=main_app)
    assert answer.status_code == 200
    assert answer.json() == [SPARK]


@pytest.mark.parametrize(
    "missing",
    [
        ["SPARK_SSO_SECRET"],
        ["SPARK_WEBHOOK_SECRET"],
        ["JWT_SECRET_KEY"],
        ["SPARK_SSO_SECRET", "SPARK_WEBHOOK_SECRET", "JWT_SECRET_KEY"],
    ],
)
async def test_a_missing_secret_is_named(
    settings: Settings, main_app: dict[str, str], missing: list[str]
) -> None:
    without: dict[str, Any] = dict.fromkeys(name.lower() for name in missing)
    async with (
        run_app(settings.model_copy(update=without)) as running,
        httpx.AsyncClient(base_url=running.url, trust_env=False) as browser,
    ):
        answer = await browser.get(PATH, headers=main_app)
    assert answer.json() == [SPARK | {"configured": False, "missing_vars": missing}]


async def test_only_a_service_key_may_read_it(
    browser: httpx.AsyncClient, student: SignedIn
) -> None:
    for headers in ({}, {"Authorization": f"Bearer {student.access_token}"}):
        assert_problem(await browser.get(PATH, headers=headers), 401, "unauthorized")
