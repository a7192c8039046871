"""The page at /docs shows both contracts, and in production the public one alone."""

import asyncio
import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.docs import internal_contract, public_contract
from app.settings import Settings
from tests.support.patience import patient
from tests.support.problems import assert_problem
from tests.support.running import Running, run_app

CHROMIUM = shutil.which("chromium")
PUBLIC, INTERNAL = "/openapi.json", "/openapi-internal.json"


async def _options(browser: httpx.AsyncClient) -> list[str]:
    return re.findall(r'<option value="([^"]+)">', (await browser.get("/docs")).text)


async def test_the_page_offers_both_contracts(browser: httpx.AsyncClient, server: Running) -> None:
    assert await _options(browser) == [PUBLIC, INTERNAL]
    assert (await browser.get(PUBLIC)).json() == _plain(public_contract(server.app))
    assert (await browser.get(INTERNAL)).json() == _plain(internal_contract(server.app))


async def test_production_does_not_serve_the_internal_contract(settings: Settings) -> None:
    """P225, as DESIGN R22 has it"""
    async with (
        run_app(settings.model_copy(update={"environment": "production"})) as running,
        httpx.AsyncClient(base_url=running.url, trust_env=False) as browser,
    ):
        assert await _options(browser) == [PUBLIC]
        assert (await browser.get(PUBLIC)).status_code == 200
        assert_problem(await browser.get(INTERNAL), 404, "route_not_found")


def _plain(document: dict[str, Any]) -> Any:
    return json.loads(json.dumps(document))


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
async def test_a_real_browser_shows_each_of_them(server: Running, tmp_path: Path) -> None:
    """The scripts must pass the page's own policy, and open no document but those it offers."""
    addresses = {
        f"{server.url}/docs?document={INTERNAL}": internal_contract(server.app),
        f"{server.url}/docs?document=https://elsewhere.test": public_contract(server.app),
    }
    pages = await asyncio.gather(
        *(_open(url, tmp_path / str(number)) for number, url in enumerate(addresses))
    )
    for page, contract in zip(pages, addresses.values(), strict=True):
        assert contract["info"]["title"] in page
        for operations in contract["paths"].values():
            for operation in operations.values():
                assert html.escape(operation["summary"], quote=False) in page


async def _open(url: str, profile: Path) -> str:
    """The page as it is once its scripts have run."""
    process = await asyncio.create_subprocess_exec(
        str(CHROMIUM),
        *["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
        *["--disable-background-networking", "--disable-component-update", "--disable-sync"],
        *["--enable-logging=stderr", f"--user-data-dir={profile}"],
        *["--virtual-time-budget=20000", "--dump-dom", url],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(patient(90)):
        page, log = await process.communicate()
    assert b"Content Security Policy" not in log
    return page.decode()
