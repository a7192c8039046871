"""A student whose sign-in fails sees a page that says what to do; programs get the problem."""

import asyncio
import re
import shutil
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from tests.support.patience import patient
from tests.support.problems import assert_problem
from tests.support.running import run_app
from tests.support.spark import Spark

CHROMIUM = shutil.which("chromium")
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def test_a_browser_gets_a_page_with_the_same_status(
    browser: httpx.AsyncClient, spark: Spark
) -> None:
    token = spark.launch_token(iat=1_700_000_000, exp=1_700_000_600)
    page = await browser.get("/spark/sso", params={"token": token}, headers=BROWSER)
    problem = assert_problem(await spark.launch(token), 401, "token_expired")
    assert page.status_code == problem["status"]
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "click the link again" in page.text
    assert page.headers["x-request-id"] in page.text
    assert token not in page.text


async def test_the_page_needs_no_script_and_nothing_from_outside(
    browser: httpx.AsyncClient,
) -> None:
    page = await browser.get("/spark/sso", headers=BROWSER)
    assert page.status_code == 400
    assert not re.search(r"<script|src=|url\(|@import|https?://", page.text)
    assert "script-src" not in page.headers["content-security-policy"]
    assert "unsafe-inline" not in page.headers["content-security-policy"]


async def test_the_way_back_to_spark_is_shown_where_it_is_known(settings: Settings) -> None:
    portal = "https://spark.example.com/portal?a=1&b=2"
    async with (
        run_app(settings.model_copy(update={"spark_portal_url": portal})) as running,
        httpx.AsyncClient(base_url=running.url, trust_env=False) as browser,
    ):
        page = await browser.get("/spark/sso", headers=BROWSER)
    assert 'href="https://spark.example.com/portal?a=1&amp;b=2"' in page.text


async def test_every_other_route_answers_a_browser_with_the_problem(
    browser: httpx.AsyncClient,
) -> None:
    answer = await browser.post("/spark/token", headers=BROWSER)
    assert_problem(answer, 400, "code_missing")


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
async def test_a_real_browser_shows_it_on_a_phone(settings: Settings, tmp_path: Path) -> None:
    """The style must pass its own policy: a refused one would leave the link unpainted."""
    portal = "https://spark.example.com/"
    async with run_app(settings.model_copy(update={"spark_portal_url": portal})) as running:
        screenshot = tmp_path / "page.png"
        process = await asyncio.create_subprocess_exec(
            str(CHROMIUM),
            *["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
            *["--disable-background-networking", "--disable-component-update", "--disable-sync"],
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--window-size=500,900",
            f"--screenshot={screenshot}",
            f"{running.url}/spark/sso?token=x.y.z",
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(patient(90)):
            _, log = await process.communicate()
    assert screenshot.stat().st_size > 5_000
    assert b"Content Security Policy" not in log
