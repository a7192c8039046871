"""A student whose sign-in fails sees a page that says what to do; programs get the problem."""

import asyncio
import os
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.settings import Settings
from tests.support.chromium import assert_readable, open_chromium
from tests.support.elsewhere import run_elsewhere
from tests.support.patience import patient
from tests.support.problems import assert_problem
from tests.support.programs import needs_front_end
from tests.support.running import run_app
from tests.support.spark import Spark

SCREENSHOTS = os.environ.get("SCREENSHOTS")
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
    assert f"<dd>{page.headers['x-request-id'][-8:]}</dd>" in page.text
    assert token not in page.text


AGAIN, LATER, ASK = "Go back to Spark and click", "Wait a minute.", "Ask your teacher, and show"
EXPIRED = {"iat": 1_700_000_000, "exp": 1_700_000_600}


@pytest.mark.parametrize(
    ("changes", "status", "told"),
    [
        pytest.param(EXPIRED, 401, AGAIN, id="INTEGRATOR 22 too slow"),
        pytest.param({"exp": "soon"}, 401, ASK, id="INTEGRATOR 22 Spark's fault"),
        pytest.param(None, 400, AGAIN, id="INTEGRATOR 22 no link"),
        pytest.param(
            {"role": "teacher"}, 403, "with your own account", id="INTEGRATOR 22 no student"
        ),
    ],
)
async def test_a_student_is_told_one_thing_to_do(
    browser: httpx.AsyncClient, spark: Spark, changes: dict[str, Any] | None, status: int, told: str
) -> None:
    token = {} if changes is None else {"token": spark.launch_token(**changes)}
    page = await browser.get("/spark/sso", params=token, headers=BROWSER)
    assert page.status_code == status
    assert [text for text in (AGAIN, LATER, ASK, "with your own account") if text in page.text] == [
        told
    ]


async def test_a_link_that_was_used_is_to_be_clicked_anew(
    browser: httpx.AsyncClient, spark: Spark
) -> None:
    token = spark.launch_token()
    await spark.exchange(await spark.launch_code(token))
    page = await browser.get("/spark/sso", params={"token": token}, headers=BROWSER)
    assert page.status_code == 401
    assert AGAIN in page.text


async def test_who_comes_too_often_is_told_to_wait(settings: Settings) -> None:
    async with run_elsewhere(settings, rate_limit_sso=1) as elsewhere:
        ask = partial(elsewhere.spark.browser.get, "/spark/sso", headers=BROWSER)
        pages = [await ask(), await ask()]
    assert [page.status_code for page in pages] == [400, 429]
    assert LATER in pages[-1].text


@pytest.mark.parametrize(
    ("came_from", "way_back"),
    [
        ("https://spark.example/courses/7?student=42", 'href="https://spark.example"'),
        ("https://spark.example.evil.test/", None),
        ("javascript://spark.example/", None),
        ("//spark.example", None),
    ],
    ids=["INTEGRATOR 22 named", "alike", "scheme", "none"],
)
async def test_the_way_back_may_be_whence_the_browser_came_if_that_was_named(
    settings: Settings, came_from: str, way_back: str | None
) -> None:
    named = ("https://spark.example/optio/chosen",)
    async with run_elsewhere(settings, spark_return_urls=named) as elsewhere:
        headers = BROWSER | {"Referer": came_from}
        page = await elsewhere.spark.browser.get("/spark/sso", headers=headers)
    assert re.findall(r'href="[^"]+"', page.text) == ([way_back] if way_back else [])


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


@needs_front_end
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everybody_can_read_it(settings: Settings, scheme: Any) -> None:
    portal = "https://spark.example.com/"
    async with (
        run_app(settings.model_copy(update={"spark_portal_url": portal})) as running,
        open_chromium() as chromium,
    ):
        page = await chromium.new_page(viewport={"width": 320, "height": 700}, color_scheme=scheme)
        await page.goto(f"{running.url}/spark/sso?token=x.y.z")
        if SCREENSHOTS:
            await page.screenshot(path=Path(SCREENSHOTS) / f"sign-in-failed-{scheme}.png")
        await assert_readable(page)
