"""The console in a real browser: on a phone, by keyboard, in the dark, and with hostile texts.

With SCREENSHOTS=<folder> (`make screenshots`) every page is drawn there as well.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page

from tests.console.conftest import Console
from tests.support.chromium import AXE, open_chromium
from tests.support.console import PAGES
from tests.support.patience import patient
from tests.support.programs import needs_front_end

pytestmark = [
    needs_front_end,
    pytest.mark.timeout(patient(180)),
    pytest.mark.own_database("a browser draws the same of both"),
]

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SIZES = {"phone": (320, 800), "desktop": (1280, 900)}
WIDTHS = pytest.mark.parametrize("size", ["phone", pytest.param("desktop", marks=pytest.mark.soak)])
SCREENSHOTS = os.environ.get("SCREENSHOTS")
# Cells whose text has no room, because another column's has taken it.
SQUEEZED = """[...document.querySelectorAll('main td')]
  .filter(it => it.clientWidth && it.clientWidth < 60).length"""
Scheme = Literal["light", "dark"]


@dataclass
class Visit:
    """A page, and what it complained of or asked for meanwhile."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def hear(self, said: ConsoleMessage) -> None:
        if said.type in {"error", "warning"}:
            self.complaints.append(said.text)

    async def findings(self) -> list[str]:
        """What axe-core has against it."""
        await self.page.evaluate(AXE.read_text())
        asked = {"runOnly": RULES, "resultTypes": ["violations"]}
        found: Any = await self.page.evaluate("asked => axe.run(asked)", asked)
        return [
            f"{each['id']}: {node['html'][:200]}"
            for each in found["violations"]
            for node in each["nodes"]
        ]

    async def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(
            await self.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
        )


@pytest.fixture(scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with open_chromium() as browser:
        yield browser


@asynccontextmanager
async def _visit(
    chromium: Browser, console: Console, size: str = "desktop", scheme: Scheme = "light"
) -> AsyncIterator[Visit]:
    """Signed in by the form."""
    width, height = SIZES[size]
    context = await chromium.new_context(
        base_url=console.url,
        color_scheme=scheme,
        viewport={"width": width, "height": height},
        reduced_motion="reduce",
    )
    visit = Visit(await context.new_page())
    visit.page.on("console", visit.hear)
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    visit.page.on("dialog", lambda dialog: visit.complaints.append(dialog.message))
    visit.page.on("request", lambda asked: visit.hosts.add(urlsplit(asked.url).netloc))
    await visit.page.goto("/console/sign-in")
    await visit.page.fill("#key", console.key)
    await visit.page.keyboard.press("Enter")
    await visit.page.wait_for_url("**/console")
    yield visit
    await context.close()


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.soak)])
@WIDTHS
async def test_every_page_can_be_read_by_everybody(
    chromium: Browser, lived_in: Console, size: str, scheme: Scheme
) -> None:
    """WCAG 2.2 AA as far as axe-core sees it, in the width of the window, and without a word in
    the browser's console.
    """
    async with _visit(chromium, lived_in, size, scheme) as visit:
        for name, path in (PAGES | {"nowhere": "/console/nowhere"}).items():
            await visit.page.goto(path)
            if SCREENSHOTS:
                file = Path(SCREENSHOTS) / f"{name}-{scheme}-{size}.png"
                await visit.page.screenshot(path=file, full_page=True)
            assert await visit.findings() == [], name
            assert await visit.overflow() <= 0, name
        assert [each for each in visit.complaints if "404" not in each] == []
        assert visit.hosts == {urlsplit(lived_in.url).netloc}


@WIDTHS
async def test_the_form_to_sign_in_can_be_read_by_everybody(
    chromium: Browser, lived_in: Console, size: str
) -> None:
    async with _visit(chromium, lived_in, size) as visit:
        await visit.page.click("text=Sign out")
        await visit.page.wait_for_url("**/console/sign-in")
        await visit.page.fill("#key", "wrong")
        await visit.page.keyboard.press("Enter")
        await visit.page.wait_for_selector("#wrong")
        if SCREENSHOTS:
            await visit.page.screenshot(path=Path(SCREENSHOTS) / f"sign-in-light-{size}.png")
        assert await visit.findings() == []
        assert await visit.overflow() <= 0
        assert [each for each in visit.complaints if "401" not in each] == []


async def test_an_empty_console_says_what_to_do(chromium: Browser, empty: Console) -> None:
    async with _visit(chromium, empty, "phone") as visit:
        for path in PAGES.values():
            await visit.page.goto(path)
            assert await visit.findings() == []
            assert await visit.overflow() <= 0
        await visit.page.goto("/console")
        assert await visit.page.get_by_text("Hand in something in Spark").is_visible()
        assert visit.complaints == []


async def test_everything_is_reached_by_keyboard(chromium: Browser, lived_in: Console) -> None:
    async with _visit(chromium, lived_in) as visit:
        page = visit.page
        await page.goto("/console")
        await page.keyboard.press("Tab")
        assert await _focused(page) == "Skip to the page"
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"
        await page.goto("/console")
        seen = []
        for _ in range(12):
            await page.keyboard.press("Tab")
            seen.append(await _focused(page))
            assert await page.evaluate(
                "getComputedStyle(document.activeElement).outlineStyle !== 'none'"
            ), seen[-1]
        assert seen[2:8] == ["Overview", "Deliveries", "Explain", "Outbound", "System", "Sign out"]
        await page.get_by_role("link", name="System").focus()
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/console/system")


async def _focused(page: Page) -> str:
    return str(await page.evaluate("document.activeElement.textContent.trim()"))


@WIDTHS
async def test_no_text_runs_or_breaks_the_page(
    chromium: Browser, hostile: Console, size: str
) -> None:
    async with _visit(chromium, hostile, size) as visit:
        for name, path in PAGES.items():
            await visit.page.goto(path)
            assert await visit.page.evaluate("window.ran") is None
            assert await visit.overflow() <= 0, name
            assert await visit.page.locator("main h1").is_visible(), name
            assert await visit.page.locator("main").count() == 1
            assert await visit.page.evaluate(SQUEEZED) == 0, name
            if SCREENSHOTS:
                file = Path(SCREENSHOTS) / f"hostile-{name}-{size}.png"
                await visit.page.screenshot(path=file, full_page=True)
        assert visit.complaints == []
        assert visit.hosts == {urlsplit(hostile.url).netloc}


async def test_another_site_cannot_act_with_the_cookie(
    chromium: Browser, lived_in: Console
) -> None:
    """Localhost is another site than 127.0.0.1: the browser says so, and sends no cookie."""
    async with _visit(chromium, lived_in) as visit:
        elsewhere = lived_in.url.replace("127.0.0.1", "localhost")
        await visit.page.goto(f"{elsewhere}/healthz")
        action = f"{lived_in.url}/console/sign-out"
        await visit.page.set_content(
            f'<form method="post" action="{action}"><button>x</button></form>'
        )
        async with visit.page.expect_response("**/console/sign-out") as answered:
            await visit.page.click("button")
        assert (await answered.value).status == 403
        await visit.page.goto("/console")
        assert await visit.page.locator("h1").inner_text() == "Overview"
