"""Who comes to the console: with a key of their own, for half an hour, and from our pages alone."""

import secrets
from collections.abc import Callable

import httpx
import pytest
from sqlalchemy import select, text, update

from app.accounts.service_keys import create_key, revoke_key
from app.console.sign_in import FAILURES_PER_MINUTE
from app.database import Sessions
from app.models import AuditEntry, ConsoleSession, ServiceKey
from app.privacy.retention import apply_rule, rules
from app.settings import Settings
from tests.support.canaries import CANARIES
from tests.support.console import PAGES, SAME_SITE, at_console, sign_in
from tests.support.problems import assert_problem
from tests.support.running import Running, run_app

COOKIE = "console"
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)


async def _key(sessions: Sessions) -> str:
    key = await create_key(sessions, "Ada", ["read"])
    CANARIES.release(key)
    return key


async def test_a_key_opens_the_console_and_leads_to_what_was_asked_for(
    browser: httpx.AsyncClient, sessions: Sessions
) -> None:
    async with at_console(str(browser.base_url), sessions) as visitor:
        page = await visitor.get("/console")
    assert page.status_code == 200
    assert "Ada" in page.text
    asked = await browser.get("/console/system?x=1")
    assert asked.status_code == 401
    assert 'name="target" value="/console/system?x=1"' in asked.text
    answer = await browser.post(
        "/console/sign-in",
        data={"key": await _key(sessions), "target": "/console/system?x=1"},
        headers=SAME_SITE,
    )
    assert answer.headers["location"] == "/console/system?x=1"
    browser.cookies.clear()


@pytest.mark.parametrize(
    "target",
    ["https://elsewhere.test/console", "//elsewhere.test", "/consolidate", "/console\r\nx"],
)
async def test_it_leads_nowhere_else(
    browser: httpx.AsyncClient, sessions: Sessions, target: str
) -> None:
    data = {"key": await _key(sessions), "target": target}
    answer = await browser.post("/console/sign-in", data=data, headers=SAME_SITE)
    browser.cookies.clear()
    assert answer.headers["location"] == "/console"


async def test_the_cookie_is_kept_from_scripts_and_other_sites(
    browser: httpx.AsyncClient, settings: Settings, sessions: Sessions
) -> None:
    key = await _key(sessions)
    answer = await browser.post("/console/sign-in", data={"key": key}, headers=SAME_SITE)
    browser.cookies.clear()
    said = answer.headers["set-cookie"]
    assert said.startswith("console=")
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(said.split("; "))
    async with (
        run_app(settings.model_copy(update={"cookie_secure": True})) as running,
        httpx.AsyncClient(base_url=running.url, trust_env=False, headers=SAME_SITE) as secure,
    ):
        said = (await sign_in(secure, key)).headers["set-cookie"]
    assert said.startswith("__Host-console=")
    assert {"HttpOnly", "Path=/", "SameSite=strict", "Secure"} <= set(said.split("; "))
    assert "Domain" not in said


WRONG: dict[str, Callable[[str, Settings], str]] = {
    "nothing": lambda _key, _: "",
    "a key that nobody made": lambda _key, _: f"optio_{secrets.token_hex(8)}.{'a' * 43}",
    "another secret": lambda key, _: f"{key.partition('.')[0]}.{'a' * 43}",
    "a key of the settings": lambda _key, had: had.internal_api_keys[0].get_secret_value(),
}


@pytest.mark.parametrize("what", WRONG)
async def test_whoever_has_no_key_of_their_own_stays_outside(
    settings: Settings, sessions: Sessions, what: str
) -> None:
    key = WRONG[what](await _key(sessions), settings)
    async with (
        run_app(settings) as running,
        httpx.AsyncClient(base_url=running.url, trust_env=False, headers=SAME_SITE) as stranger,
    ):
        answer = await sign_in(stranger, key)
        assert answer.status_code == 401
        assert "That is no key of this service" in answer.text
        assert not stranger.cookies
        if key:
            assert key not in answer.text
        for path in PAGES.values():
            assert (await stranger.get(path)).status_code == 401


async def test_an_address_fails_ten_times_a_minute(settings: Settings, sessions: Sessions) -> None:
    async with (
        run_app(settings) as running,
        httpx.AsyncClient(base_url=running.url, trust_env=False, headers=SAME_SITE) as stranger,
    ):
        answers = [await sign_in(stranger, "x") for _ in range(FAILURES_PER_MINUTE + 1)]
        assert [answer.status_code for answer in answers] == [401] * FAILURES_PER_MINUTE + [429]
        assert 0 < int(answers[-1].headers["retry-after"]) <= 60
        assert (await sign_in(stranger, await _key(sessions))).status_code == 303


ENDS = {
    "half an hour without a click": {"seen_at": text("now() - interval '31 minutes'")},
    "eight hours": {"created_at": text("now() - interval '481 minutes'")},
    "signed out": {"ended_at": text("now()")},
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_session_ends(server: Running, sessions: Sessions, end: str) -> None:
    async with at_console(server.url, sessions) as visitor:
        assert (await visitor.get("/console")).status_code == 200
        async with sessions() as session, session.begin():
            newest = select(ConsoleSession.hash).order_by(ConsoleSession.created_at.desc()).limit(1)
            of_it = ConsoleSession.hash == newest.scalar_subquery()
            await session.execute(update(ConsoleSession).where(of_it).values(ENDS[end]))
        assert (await visitor.get("/console")).status_code == 401


async def test_it_ends_with_its_key(server: Running, sessions: Sessions) -> None:
    async with at_console(server.url, sessions, name="Grace") as visitor:
        assert (await visitor.get("/console")).status_code == 200
        async with sessions() as session, session.begin():
            asked = select(ServiceKey.id).where(ServiceKey.name == "Grace")
            key_ids = (await session.execute(asked)).scalars().all()
        for key_id in key_ids:
            await revoke_key(sessions, key_id)
        assert (await visitor.get("/console")).status_code == 401


async def test_signing_out_ends_it_everywhere(server: Running, sessions: Sessions) -> None:
    async with at_console(server.url, sessions) as visitor:
        kept = dict(visitor.cookies)
        answer = await visitor.post("/console/sign-out")
        assert answer.headers["location"] == "/console/sign-in"
        assert "You are signed out." in (await visitor.get("/console/sign-in")).text
        assert "You are signed out." not in (await visitor.get("/console/sign-in")).text
        visitor.cookies.update(kept)
        assert (await visitor.get("/console")).status_code == 401


async def test_old_sessions_are_forgotten(settings: Settings, sessions: Sessions) -> None:
    key_id = (await _key(sessions)).partition(".")[0]
    row = {"hash": secrets.token_bytes(32), "key_id": key_id}
    async with sessions() as session, session.begin():
        await session.execute(
            text(
                "insert into spark.console_sessions (hash, key_id, created_at)"
                " values (:hash, :key_id, now() - interval '25 hours')"
            ),
            row,
        )
    [rule] = [rule for rule in rules(settings) if rule.name == "console_sessions"]
    assert await apply_rule(sessions, rule) > 0
    async with sessions() as session, session.begin():
        old = select(ConsoleSession).where(ConsoleSession.hash == row["hash"])
        assert (await session.execute(old)).first() is None


async def test_coming_in_is_in_the_audit_log(server: Running, sessions: Sessions) -> None:
    key = await _key(sessions)
    async with httpx.AsyncClient(base_url=server.url, headers=SAME_SITE) as visitor:
        await sign_in(visitor, key)
    async with sessions() as session, session.begin():
        of_key = select(AuditEntry.action).where(AuditEntry.caller == key.partition(".")[0])
        assert (await session.execute(of_key)).scalars().all() == ["authn_login_success"]


FROM = {
    "another site": ({"Sec-Fetch-Site": "cross-site"}, 403),
    "a sibling host": ({"Sec-Fetch-Site": "same-site"}, 403),
    "an address that was typed": ({"Sec-Fetch-Site": "none"}, 403),
    "an older browser elsewhere": ({"Origin": "https://elsewhere.test"}, 403),
    "an older browser in a sandbox": ({"Origin": "null"}, 403),
    "no browser": ({}, 403),
    "both, and one lies": ({"Sec-Fetch-Site": "cross-site", "Origin": "http://here"}, 403),
    "an older browser here": ({"Origin": "http://here"}, 303),
    "our own page": ({"Sec-Fetch-Site": "same-origin"}, 303),
}


@pytest.mark.parametrize("where", FROM)
@pytest.mark.parametrize("path", ["/console/sign-in", "/console/sign-out"])
async def test_a_form_counts_only_from_our_own_pages(
    server: Running, sessions: Sessions, where: str, path: str
) -> None:
    said, status = FROM[where]
    here = server.url.removeprefix("http://")
    headers = {name: value.replace("http://here", f"http://{here}") for name, value in said.items()}
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as anybody:
        answer = await anybody.post(path, data={"key": await _key(sessions)}, headers=headers)
    assert answer.status_code == status
    assert ("set-cookie" in answer.headers) is (status == 303)


@pytest.mark.parametrize("page", [*PAGES, "nowhere", "outside"])
async def test_every_page_has_the_policy_and_is_kept_by_nobody(
    server: Running, sessions: Sessions, page: str
) -> None:
    path = PAGES.get(page, f"/console/{page}")
    async with at_console(server.url, sessions) as visitor:
        if page == "outside":
            visitor.cookies.clear()
        answer = await visitor.get(path)
    assert answer.status_code == {"nowhere": 404, "outside": 401}.get(page, 200)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "<script" not in answer.text
    assert " style=" not in answer.text


async def test_a_key_that_may_not_read_sees_nothing(server: Running, sessions: Sessions) -> None:
    async with at_console(server.url, sessions, ["write"]) as visitor:
        for path in PAGES.values():
            answer = await visitor.get(path)
            assert answer.status_code == 403
            assert "lacks the scope <code>read</code>" in answer.text


async def test_the_stylesheet_is_kept_for_good_under_its_own_address(
    browser: httpx.AsyncClient,
) -> None:
    page = await browser.get("/console/sign-in")
    path = page.text.partition('<link rel="stylesheet" href="')[2].partition('"')[0]
    style = await browser.get(path)
    assert style.headers["content-type"].startswith("text/css")
    assert style.headers["cache-control"] == "public, max-age=31536000, immutable"
    other = await browser.get("/style/0123456789abcdef.css")
    assert (other.text, other.headers["cache-control"]) == (style.text, "no-store")


async def test_it_can_be_left_out(settings: Settings) -> None:
    async with (
        run_app(settings.model_copy(update={"console": False})) as running,
        httpx.AsyncClient(base_url=running.url, trust_env=False) as browser,
    ):
        assert_problem(await browser.get("/console"), 404, "route_not_found")
