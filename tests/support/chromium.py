"""A browser that looks at our pages, and what axe-core has against one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from tests.support.programs import CHROMIUM, FRONT_END

AXE = FRONT_END / "node_modules" / "axe-core" / "axe.min.js"
# By how many pixels the page is wider than its window.
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@asynccontextmanager
async def open_chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        yield browser
        await browser.close()


async def assert_readable(page: Page) -> None:
    """By everybody, and without scrolling to the side."""
    await page.evaluate(AXE.read_text())
    found: Any = await page.evaluate("axe.run({resultTypes: ['violations']})")
    assert [each["id"] for each in found["violations"]] == [], found["violations"]
    assert await page.evaluate(WIDER) <= 0
