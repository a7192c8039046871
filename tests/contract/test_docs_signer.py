"""The pages under /docs in a real browser: they sign, send and show, and keep no secret.

With SCREENSHOTS=<folder> every page is drawn there as well.
"""

import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, FilePayload, Locator, Page, Request

from app.settings import Settings
from tests.support.chromium import WIDER, assert_readable, open_chromium
from tests.support.patience import patient
from tests.support.programs import needs_front_end
from tests.support.running import Running
from tests.support.spark import Assignment, SignedIn, Spark, submission

pytestmark = [needs_front_end, pytest.mark.timeout(patient(180))]

PAGES = ["", "/guide", "/reference", "/receiving", "/deep-linking", "/changes", "/internal"]
SIZES = {"phone": (320, 800), "desktop": (1600, 1000)}
OPEN = "which => document.querySelectorAll(which).forEach(it => it.open = true)"
SCREENSHOTS = os.environ.get("SCREENSHOTS")


@dataclass
class Reader:
    """Somebody at the reference, what the browser complains of, and what leaves it."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)

    async def enter(self, spark: Spark) -> None:
        await self.page.fill("#webhook-secret", spark.webhook_secret.get_secret_value())
        await self.page.fill("#sso-secret", spark.sso_secret.get_secret_value())

    async def open(self, operation: str) -> Locator:
        await self.page.goto(f"{self.page.url.partition('#')[0]}#{operation}")
        form = self.page.locator(f"#{operation} form")
        await form.wait_for()
        return form

    async def send(self, form: Locator) -> str:
        """What the page shows of the answer."""
        result = form.locator(".result")
        await result.evaluate("it => it.replaceChildren()")
        await form.locator("button.primary").click()
        await result.locator("> *").first.wait_for()
        return await result.inner_text()

    async def picture(self, name: str) -> None:
        if SCREENSHOTS:
            await self.page.screenshot(path=Path(SCREENSHOTS) / f"docs-{name}.png", full_page=True)


@pytest.fixture(scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with open_chromium() as browser:
        yield browser


async def _read(page: Page, url: str) -> Reader:
    reader = Reader(page)
    page.on("console", lambda said: reader.complaints.append(said.text))
    page.on("pageerror", lambda error: reader.complaints.append(str(error)))
    page.on("request", lambda asked: reader.asked.append(asked))  # noqa: PLW0108 - it sets attributes
    await page.goto(url)
    return reader


@pytest.fixture
async def reader(chromium: Browser, server: Running) -> AsyncIterator[Reader]:
    page = await chromium.new_page(viewport={"width": 1600, "height": 1000})
    yield await _read(page, f"{server.url}/docs/reference")
    await page.close()


@pytest.mark.parametrize("scheme", ["standard", "spark"])
async def test_homework_is_rehearsed_and_handed_in_from_the_page(
    reader: Reader, spark: Spark, student: SignedIn, assignment: Assignment, scheme: str
) -> None:
    await reader.enter(spark)
    await reader.page.select_option("#scheme", scheme)
    form = await reader.open("submit")
    late = submission(student, assignment, submitted_at="2026-01-01T00:00:00Z")
    await form.get_by_label("Body").fill(json.dumps(late, indent=2))
    rehearsed = await reader.send(form)
    assert '"would": "create"' in rehearsed
    await form.get_by_label("Dry run").uncheck()
    assert '"revision": 1' in await reader.send(form)
    assert '"duplicate": true' in await reader.send(form)
    await assert_readable(reader.page)
    await reader.picture(f"handed-in-{scheme}")
    assert reader.complaints == []


async def test_a_form_with_files_is_signed_with_their_digests(
    reader: Reader, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    await reader.enter(spark)
    form = await reader.open("submit")
    payload = submission(student, assignment)
    await form.get_by_label("Body").fill(json.dumps(payload, indent=2, ensure_ascii=False))
    rain: FilePayload = {"name": "rain.csv", "mimeType": "text/csv", "buffer": b"day,mm\n1,4\n"}
    wind: FilePayload = {"name": "wïnd rose.txt", "mimeType": "text/plain", "buffer": b"N\n"}
    await form.get_by_label("Files").set_input_files([rain, wind])
    assert '"would": "create"' in await reader.send(form)
    await form.get_by_label("Dry run").uncheck()
    shown = await reader.send(form)
    assert '"revision": 1' in shown
    assert '"name": "wïnd rose.txt"' in shown
    await reader.picture("form")
    assert reader.complaints == []


async def test_a_wrong_secret_is_told_what_to_do(reader: Reader, spark: Spark) -> None:
    form = await reader.open("ping")
    assert "Enter the webhook secret at the top of the page." in await reader.send(form)
    assert await reader.page.evaluate("document.activeElement.id") == "webhook-secret"
    await reader.page.fill("#webhook-secret", spark.sso_secret.get_secret_value())
    shown = await reader.send(form)
    assert "Invalid signature" in shown
    assert "The key is the SSO secret: use the webhook secret." in shown
    assert '"sha256":' in shown
    leads = form.get_by_role("link", name="signature_invalid")
    assert await leads.get_attribute("href") == "/problems/signature_invalid"
    await assert_readable(reader.page)
    await reader.picture("refused")
    assert [each for each in reader.complaints if "401" not in each] == []


async def test_what_is_no_json_is_said_before_a_form_is_sent(reader: Reader, spark: Spark) -> None:
    await reader.enter(spark)
    form = await reader.open("submit")
    await form.get_by_label("Body").fill("{")
    assert "json_invalid" in await reader.send(form)
    await form.get_by_label("Files").set_input_files(
        {"name": "a.txt", "mimeType": "text/plain", "buffer": b"a"}
    )
    assert "This is no JSON" in await reader.send(form)


async def test_a_sign_in_is_checked_and_its_link_works(reader: Reader, spark: Spark) -> None:
    await reader.enter(spark)
    claims = spark.claims(iat=1, exp=2)
    form = await reader.open("signInByForm")
    await form.get_by_label("Claims").fill(json.dumps(claims))
    checked = await reader.send(form)
    assert claims["sub"] in checked
    assert '"account": "create"' in checked
    form = await reader.open("signIn")
    await form.get_by_label("Claims").fill(json.dumps(claims))
    await reader.send(form)
    link = str(await form.get_by_role("link", name="Open it").get_attribute("href"))
    token = link.partition("?token=")[2]
    assert (await spark.exchange(await spark.launch_code(token))).status_code == 200
    assert reader.complaints == []


async def test_no_secret_leaves_the_page_or_stays_in_it(
    reader: Reader, spark: Spark, server: Running
) -> None:
    await reader.enter(spark)
    for operation in ("ping", "submit", "signInByForm", "signIn"):
        await reader.send(await reader.open(operation))
    kept = "JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}])"
    sent = [f"{each.url} {each.headers} {each.post_data_buffer!r}" for each in reader.asked]
    everything = "".join(sent) + await reader.page.evaluate(kept) + reader.page.url
    for secret in (spark.sso_secret, spark.webhook_secret):
        assert secret.get_secret_value() not in everything + await reader.page.content()
    assert all(each.url.startswith(server.url) for each in reader.asked)
    await reader.page.reload()
    assert await reader.page.input_value("#webhook-secret") == ""


async def test_all_is_done_by_keyboard(reader: Reader, spark: Spark) -> None:
    page = reader.page
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "Skip to the page"
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"
    await page.locator("#webhook-secret").focus()
    await page.keyboard.type(spark.webhook_secret.get_secret_value())
    await page.locator("#ping summary").first.focus()
    await page.keyboard.press("Enter")
    await page.get_by_label("Send: Try your signature").get_by_label("Body").focus()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.get_by_text('"scheme": "v1"').first.wait_for()


async def test_the_internal_reference_sends_a_key(
    chromium: Browser, server: Running, settings: Settings
) -> None:
    page = await chromium.new_page()
    reader = await _read(page, f"{server.url}/docs/internal")
    form = await reader.open("listDeliveries")
    assert "Enter the service key" in await reader.send(form)
    key = settings.internal_api_keys[0].get_secret_value()
    await page.fill("#service-key", key)
    await form.get_by_label("limit").fill("1")
    shown = await reader.send(form)
    assert '"items":' in shown
    assert "limit=1" in await form.locator(".result details").inner_html()
    assert key not in await page.content()
    form = await reader.open("getStudent")
    await form.get_by_label("user_id").fill("0193b5a2-7a5c-7c3e-8d1f-2f4e6a8b0c1d")
    assert "not_found" in await reader.send(form)
    await page.close()


@pytest.mark.parametrize(
    ("size", "scheme"),
    [
        pytest.param("phone", "light", id="phone"),
        pytest.param("desktop", "dark", id="dark"),
        pytest.param("phone", "dark", id="phone-dark", marks=pytest.mark.soak),
        pytest.param("desktop", "light", id="desktop", marks=pytest.mark.soak),
    ],
)
async def test_every_page_can_be_read_by_everybody(
    chromium: Browser, server: Running, size: str, scheme: Any
) -> None:
    """By axe-core, in the width of the window, and without a word in the browser's console."""
    width, height = SIZES[size]
    page = await chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    reader = await _read(page, f"{server.url}/docs")
    for path in PAGES:
        await page.goto(f"{server.url}/docs{path}")
        await reader.picture(f"{path[1:] or 'overview'}-{scheme}-{size}")
        if path == "/reference":  # closed ones are not read, and all of them take axe-core a minute
            await page.evaluate(OPEN, "details")
            assert await page.evaluate(WIDER) <= 0
            await page.evaluate(
                "document.querySelectorAll('.operation').forEach(it => it.open = 0)"
            )
            await page.evaluate(OPEN, "#submit, #signIn")
            await reader.picture(f"reference-open-{scheme}-{size}")
        await assert_readable(page)
    assert reader.complaints == []
    await page.close()
