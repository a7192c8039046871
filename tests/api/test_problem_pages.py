"""Where the `type` of a failure leads: a page for people, JSON for programs."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser

from app.fields import ProblemCode
from app.settings import Settings
from tests.support.chromium import assert_readable, open_chromium
from tests.support.elsewhere import run_elsewhere
from tests.support.patience import patient
from tests.support.problems import assert_problem
from tests.support.programs import needs_front_end
from tests.support.running import Running

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SITE = "https://spark.optio.example"
SIZES = {"phone": (320, 800), "desktop": (1280, 900)}
SCREENSHOTS = os.environ.get("SCREENSHOTS")
CODES: list[str] = ProblemCode.__value__.__metadata__[0].json_schema_extra["x-extensible-enum"]


async def test_every_code_has_a_page_that_says_what_to_do(browser: httpx.AsyncClient) -> None:
    listed = (await browser.get("/problems")).json()["items"]
    assert [each["code"] for each in listed] == CODES
    for each in listed:
        assert (await browser.get(each["type"])).json() == each
        page = await browser.get(each["type"], headers=PAGE)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert f"<code>{each['code']}</code>" in page.text
        assert all(f"Status {answer['status']}" in page.text for answer in each["answers"])
        assert "What to do" in page.text
        assert len(set(each["routes"])) == len(each["routes"])
        waits = [answer["hint"].startswith("Send the same again") for answer in each["answers"]]
        assert each["retry"] or not any(waits), each


async def test_a_refusal_leads_to_what_it_means(browser: httpx.AsyncClient) -> None:
    problem = assert_problem(
        await browser.post("/spark/webhook/submission", json={}), 401, "signature_missing"
    )
    kind = (await browser.get(str(problem["type"]))).json()
    assert kind["title"] == problem["title"]
    assert kind["retry"] is False
    assert [answer["status"] for answer in kind["answers"]] == [401]
    assert kind["answers"][0]["hint"] == problem["hint"]
    assert "POST /spark/webhook/submission" in kind["routes"]
    assert "POST /spark/token" not in kind["routes"]


@pytest.mark.parametrize(
    ("code", "statuses", "retry"),
    [
        ("request_in_progress", [409, 503], True),
        ("internal_error", [500], True),
        ("rate_limited", [429], True),
        ("user_not_found", [404], False),
    ],
)
async def test_it_says_whether_the_same_again_helps(
    browser: httpx.AsyncClient, code: str, statuses: list[int], *, retry: bool
) -> None:
    kind = (await browser.get(f"/problems/{code}")).json()
    assert list(dict.fromkeys(answer["status"] for answer in kind["answers"])) == statuses
    assert kind["retry"] is retry


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("text/html;charset=utf-8;q=0.9, application/json;q=0.2", "text/html"),
        ("application/json, text/html;q=0.5", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("text/html;q=0", "application/json"),
        ("*/*", "application/json"),
        ("", "application/json"),
        ("text/html ; q=0.5, application/json", "application/json"),
        (";;q=,,text/html;q=x", "text/html"),
    ],
)
async def test_a_page_is_for_who_likes_it_most(
    browser: httpx.AsyncClient, accept: str, kind: str
) -> None:
    for path in ("/problems", "/problems/forbidden"):
        answer = await browser.get(path, headers={"Accept": accept})
        assert answer.headers["content-type"].partition(";")[0] == kind
        assert answer.headers["vary"] == "Accept"


async def test_what_is_no_code_is_nowhere(browser: httpx.AsyncClient) -> None:
    for headers in (PAGE, {}):
        answer = await browser.get("/problems/<script>", headers=headers)
        problem = assert_problem(answer, 404, "not_found")
        assert "script" not in str(problem)


async def test_type_is_absolute_where_the_service_knows_its_address(settings: Settings) -> None:
    async with run_elsewhere(settings, public_url=SITE, console=False) as elsewhere:
        refused = await elsewhere.spark.browser.get("/internal/v1/deliveries")
        assert refused.json()["type"] == f"{SITE}/problems/unauthorized"
        kind = (await elsewhere.spark.browser.get("/problems/unauthorized")).json()
        assert kind["type"] == f"{SITE}/problems/unauthorized"
        page = await elsewhere.spark.browser.get("/problems", headers=PAGE)
        style = page.text.partition('stylesheet" href="')[2].partition('"')[0]
        assert (await elsewhere.spark.browser.get(style)).status_code == 200


async def test_production_tells_of_sparks_routes_alone(settings: Settings) -> None:
    """As DESIGN R22 has it of the contract."""
    async with run_elsewhere(settings, environment="production") as elsewhere:
        listed = (await elsewhere.spark.browser.get("/problems")).json()["items"]
    routes = {route for each in listed for route in each["routes"]}
    assert routes
    assert not [route for route in routes if "/internal/" in route]


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with open_chromium() as opened:
        yield opened


@needs_front_end
@pytest.mark.timeout(patient(180))
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_the_pages_can_be_read_by_everybody(
    chromium: Browser, server: Running, size: str, scheme: Any
) -> None:
    """By axe-core, in the width of the window, and without a word in the browser's console."""
    width, height = SIZES[size]
    page = await chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    heard: list[str] = []
    page.on("console", lambda said: heard.append(said.text))
    for path in ("problems", "problems/request_in_progress", "problems/overloaded"):
        answer = await page.goto(f"{server.url}/{path}")
        assert answer
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "script-src" not in policy
        if SCREENSHOTS:
            file = Path(SCREENSHOTS) / f"{path.replace('/', '-')}-{scheme}-{size}.png"
            await page.screenshot(path=file, full_page=True)
        await assert_readable(page)
    assert heard == []
