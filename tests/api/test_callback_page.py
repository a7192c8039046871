"""Where nobody has a front end yet, a sign-in ends on a page with the code and its exchange."""

import asyncio
import html
import json
import os
import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from app.settings import Settings
from tests.support.chromium import assert_readable, open_chromium
from tests.support.elsewhere import run_elsewhere
from tests.support.problems import assert_problem
from tests.support.programs import needs_front_end, run_program
from tests.support.spark import Spark

CALLBACK = "/auth/callback"
CODE = "a" * 43
SCREENSHOTS = os.environ.get("SCREENSHOTS")


@pytest.fixture(scope="module")
def alone(settings: Settings) -> Settings:
    """In development, without a FRONTEND_URL."""
    made = settings.model_copy()
    made.model_fields_set.remove("frontend_url")
    return made


@pytest.fixture(scope="module")
async def newcomer(alone: Settings) -> AsyncIterator[Spark]:
    async with run_elsewhere(alone) as elsewhere:
        yield elsewhere.spark


async def test_a_sign_in_ends_on_a_page_whose_command_redeems_the_code(newcomer: Spark) -> None:
    """INTEGRATOR 12"""
    answer = await newcomer.launch(newcomer.launch_token())
    page = await newcomer.browser.get(urljoin(str(answer.url), answer.headers["location"]))
    assert page.status_code == 200
    [command] = re.findall(r"<pre[^>]*><code>(.*?)</code>", page.text, re.DOTALL)
    words = shlex.split(html.unescape(command))
    ended = await run_program(*words, env={})
    assert json.loads(ended.output)["message"] == "Authentication successful"


async def test_the_page_is_never_kept_and_runs_nothing(newcomer: Spark) -> None:
    page = await newcomer.browser.get(CALLBACK, params={"code": CODE})
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script|<style|style=|https?://(?!127\.0\.0\.1|localhost)", page.text)


@pytest.mark.parametrize(
    "code",
    ["", "x", f"{CODE}a", f"{CODE[:-1]}'", f"{CODE[:-1]}é", f"{CODE}\n"],
    ids=["none", "short", "long", "quote", "letter", "line"],
)
async def test_of_what_is_no_code_no_command_is_made(newcomer: Spark, code: str) -> None:
    """Whoever copies it runs it."""
    answer = await newcomer.browser.get(CALLBACK, params={"code": code})
    assert_problem(answer, 400, "field_invalid")


@pytest.mark.parametrize("environment", ["development", "production"])
async def test_with_a_front_end_there_is_no_such_page(settings: Settings, environment: str) -> None:
    async with run_elsewhere(settings, environment=environment) as elsewhere:
        answer = await elsewhere.spark.launch(elsewhere.spark.launch_token())
        assert answer.headers["location"].startswith(f"{settings.frontend_url}{CALLBACK}?code=")
        page = await elsewhere.spark.browser.get(CALLBACK, params={"code": CODE})
        assert_problem(page, 404, "route_not_found")


async def test_production_has_none_whatever_is_set(alone: Settings) -> None:
    async with run_elsewhere(alone, environment="production") as elsewhere:
        page = await elsewhere.spark.browser.get(CALLBACK, params={"code": CODE})
        assert_problem(page, 404, "route_not_found")


@needs_front_end
@pytest.mark.parametrize(("size", "scheme"), [((320, 800), "dark"), ((1280, 900), "light")])
async def test_everybody_can_read_it(newcomer: Spark, size: tuple[int, int], scheme: Any) -> None:
    heard: list[str] = []
    async with asyncio.timeout(120), open_chromium() as chromium:
        width, height = size
        page = await chromium.new_page(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        page.on("console", lambda said: heard.append(said.text))
        token = newcomer.launch_token()
        await page.goto(f"{newcomer.browser.base_url}/spark/sso?token={token}")
        await page.get_by_role("heading", name="Signed in").wait_for()
        if SCREENSHOTS:
            file = Path(SCREENSHOTS) / f"callback-{scheme}-{width}.png"
            await page.screenshot(path=file, full_page=True)
        await assert_readable(page)
    assert heard == []
