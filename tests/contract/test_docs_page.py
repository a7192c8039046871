"""The pages under /docs: made of both contracts, and in production of the public one alone."""

import html
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin

import httpx
import pytest

from app.api.doc_pages import PROJECT, SAMPLES, TEXTS
from app.api.docs import internal_contract, public_contract
from app.api.markdown import render_document
from app.errors import UnavailableError, kinds
from app.settings import Settings
from tests.support.problems import assert_problem
from tests.support.running import Running, run_app

PUBLIC, INTERNAL = "/openapi.json", "/openapi-internal.json"
PAGES = ["", "/guide", "/reference", "/receiving", "/deep-linking", "/changes", "/internal"]
LINK = re.compile(r'(?:href|src)="([^"]+)"')
LATER = {kind.code for kind in kinds(UnavailableError)}


async def test_there_are_both_contracts(browser: httpx.AsyncClient, server: Running) -> None:
    assert (await browser.get(PUBLIC)).json() == _plain(public_contract(server.app))
    assert (await browser.get(INTERNAL)).json() == _plain(internal_contract(server.app))


async def test_production_does_not_serve_the_internal_contract(settings: Settings) -> None:
    """P225, as DESIGN R22 has it"""
    async with (
        run_app(settings.model_copy(update={"environment": "production"})) as running,
        httpx.AsyncClient(base_url=running.url, timeout=60, trust_env=False) as browser,
    ):
        for path in PAGES[:-1]:
            page = await browser.get(f"/docs{path}")
            assert page.status_code == 200
            assert "/docs/internal" not in page.text
        assert (await browser.get(PUBLIC)).status_code == 200
        for path in (INTERNAL, "/docs/internal"):
            assert_problem(await browser.get(path), 404, "route_not_found")


def _plain(document: dict[str, Any]) -> Any:
    return json.loads(json.dumps(document))


@pytest.mark.parametrize("page", PAGES)
async def test_no_page_runs_or_shows_what_is_not_ours(
    browser: httpx.AsyncClient, page: str
) -> None:
    answer = await browser.get(f"/docs{page}")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    for part in ("connect-src 'self'", "form-action 'none'", "frame-ancestors 'none'"):
        assert part in policy
    assert "unsafe" not in policy
    assert " style=" not in answer.text
    assert (
        re.findall(r"<script(?! src=\"/style/[0-9a-f]{16}\.js\" type=\"module\">)", answer.text)
        == []
    )


async def test_every_link_of_every_page_leads_somewhere(browser: httpx.AsyncClient) -> None:
    waiting, seen, named = ["/docs"], dict[str, str](), set[str]()
    while waiting:
        path = waiting.pop()
        answer = await browser.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 200, path
        seen[path] = answer.text
        if not path.startswith(("/docs", "/problems")) or path.startswith("/docs/samples"):
            continue
        links = {urljoin(path, link) for link in LINK.findall(answer.text)}
        named |= {link for link in links if "#" in link}
        inside = {urldefrag(link)[0] for link in links if link.startswith("/")}
        waiting += inside - seen.keys() - set(waiting)
    assert {f"/docs{page}" for page in PAGES} <= seen.keys()
    for link in named:
        path, anchor = urldefrag(link)
        assert f'id="{anchor}"' in seen[path], link


@pytest.mark.parametrize("page", ["reference", "internal"])
async def test_the_reference_says_all_of_each_operation(
    browser: httpx.AsyncClient, server: Running, page: str
) -> None:
    """And its refusals in one table: which status and code, what to do, whether to send again."""
    contract = {"reference": public_contract, "internal": internal_contract}[page](server.app)
    text = html.unescape((await browser.get(f"/docs/{page}")).text)
    parts = text.split('<details class="panel operation" id="')[1:]
    shown = {part.partition('"')[0]: part for part in parts}
    found = contract["paths"] | contract.get("webhooks", {})
    operations = {
        each["operationId"]: each for methods in found.values() for each in methods.values()
    }
    assert shown.keys() == operations.keys()
    for name, operation in operations.items():
        assert operation["summary"] in shown[name]
        for parameter in operation.get("parameters", ()):
            assert f"<code>{parameter['name']}</code>" in shown[name]
        assert _refusals_in(shown[name]) == _refusals_of(operation), name


async def test_who_signs_is_shown_a_sample_in_each_language(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/docs/reference")).text
    for stem in ("launch", "submit", "deep_link", "receive"):
        for language in ("php", "mjs", "py"):
            assert f'href="/docs/samples/{stem}.{language}"' in page


def _refusals_in(shown: str) -> list[tuple[str, str, bool]]:
    row = r'label="Status">(\d+)</td>.*?/problems/(\w+)">.*?again"><span class="badge \w+">(\w+)<'
    return [(status, code, again == "later") for status, code, again in re.findall(row, shown)]


def _refusals_of(operation: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Of the kinds that have several statuses, those of waiting alone help."""
    return [
        (status, code, int(status) >= 500 or (code in LATER and status in {"408", "409", "429"}))
        for status, response in operation["responses"].items()
        for code in response.get("content", {})
        .get("application/problem+json", {})
        .get("examples", {})
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("<script>x</script>", "&lt;script&gt;", id="html"),
        pytest.param("a <b onclick=x>b</b>", "&lt;b onclick=x&gt;", id="html-in-a-line"),
        pytest.param("[a](javascript:alert(1))", "[a](javascript:alert(1))", id="script-address"),
        pytest.param("[a](data:text/html,x)", "[a](data:text/html,x)", id="data-address"),
        pytest.param("```html\n<script>\n```", "&lt;", id="code"),
        pytest.param("[a](operations.md#secrets)", "<span>a</span>", id="a-file-without-a-page"),
        pytest.param("[a](docs/guide.md#files)", 'href="/docs/guide#files"', id="a-file-with-one"),
        pytest.param("[a](samples/submit.php)", 'href="/docs/samples/submit.php"', id="a-sample"),
        pytest.param("| a | |\n|---|---|\n| b | c |", "<td></td>", id="a-column-without-a-name"),
        pytest.param("## A `b`\n\n## A `b`", '<h2 id="a-b-1">', id="the-same-heading-twice"),
    ],
)
def test_what_is_written_stays_text(text: str, shown: str) -> None:
    rendered, _ = render_document(text, {"guide": "/docs/guide"})
    assert shown in rendered
    assert "<script" not in rendered


def test_the_image_holds_what_the_pages_show() -> None:
    copied = re.findall(
        r"^COPY (?!--from)(\S+) ", (PROJECT / "Dockerfile").read_text(), re.MULTILINE
    )
    let_in = re.findall(r"^!(.+)", (PROJECT / ".dockerignore").read_text(), re.MULTILINE)
    for file in (*TEXTS.values(), str(SAMPLES.relative_to(PROJECT))):
        assert Path(file).parts[0] in set(copied) & set(let_in)
