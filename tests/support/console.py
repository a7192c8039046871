"""An operator at the console: signs in with a key of its own, as a browser does."""

import html
import re
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import httpx

from app.accounts.service_keys import SCOPES, Scope, create_key
from app.database import Sessions
from tests.support.canaries import CANARIES

SAME_SITE = {"Sec-Fetch-Site": "same-origin"}
# Every page that shows something, by its address: what each must keep is tested over all of them.
PAGES = {
    "overview": "/console",
    "deliveries": "/console/deliveries",
    "replay": "/console/deliveries/replay",
    "explain": "/console/explain",
    "outbound": "/console/outbound",
    "system": "/console/system",
}


@asynccontextmanager
async def at_console(
    url: str, sessions: Sessions, scopes: Collection[Scope] = SCOPES, name: str = "Ada"
) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that is signed in; `key` is among its headers for nobody but the test."""
    key = await create_key(sessions, name, scopes)
    CANARIES.release(key)
    async with httpx.AsyncClient(
        base_url=url, timeout=60, trust_env=False, headers=SAME_SITE
    ) as browser:
        answer = await sign_in(browser, key)
        assert answer.status_code == 303, answer.text
        CANARIES.release(*browser.cookies.values())
        yield browser


async def sign_in(browser: httpx.AsyncClient, key: str, **fields: str) -> httpx.Response:
    return await browser.post("/console/sign-in", data={"key": key, **fields})


def words(page: str) -> str:
    """What is read of it, in one line without the marks."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.replace("<wbr>", ""))).split())
