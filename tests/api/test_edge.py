"""What every request and every response must have, whatever route it asks for."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from app.settings import Settings
from tests.support.databases import empty_database
from tests.support.patience import patient
from tests.support.problems import assert_problem
from tests.support.running import Running, run_app
from tests.support.spark import Spark

ROUTES = ("/spark/sso", "/spark/token", "/spark/webhook/submission", "/healthz", "/nowhere")


@pytest.fixture(scope="module")
async def strict(settings: Settings) -> AsyncIterator[Running]:
    """A service that knows its own name."""
    named = settings.model_copy(update={"allowed_hosts": ("spark.test", "127.0.0.1")})
    async with run_app(named) as running:
        yield running


async def raw(running: Running, request: bytes) -> bytes:
    """The head of the answer to exactly these bytes."""
    host, port = running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(patient(10)):
        head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return head


@pytest.mark.parametrize(
    "hosts",
    [
        pytest.param([], id="P220-missing"),
        pytest.param(["spark.test", "spark.test"], id="P220-twice"),
        pytest.param(["evil.example"], id="P220-unknown"),
        pytest.param(["spark.test:junk"], id="P220-port-junk"),
        pytest.param(["spark.test.evil.example"], id="P220-look-alike"),
    ],
)
async def test_a_request_needs_one_host_that_is_ours(strict: Running, hosts: list[str]) -> None:
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    head = await raw(strict, f"GET /nowhere HTTP/1.1\r\n{lines}\r\n".encode())
    assert head.startswith(b"HTTP/1.1 400")
    assert b"location:" not in head.lower()


async def test_a_host_of_ours_may_have_a_port_and_any_case(strict: Running) -> None:
    head = await raw(strict, b"GET /nowhere HTTP/1.1\r\nHost: SPARK.test:8000\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_is_asked_by_address(strict: Running, path: str) -> None:
    head = await raw(strict, f"GET {path} HTTP/1.1\r\nHost: 10.0.0.7\r\n\r\n".encode())
    assert head.startswith(b"HTTP/1.1 200")


async def test_metrics_are_asked_by_address_with_a_key_row_7(
    strict: Running, main_app: dict[str, str]
) -> None:
    async with httpx.AsyncClient(base_url=strict.url) as prometheus:
        by_address = {"Host": "10.0.0.7"}
        assert (await prometheus.get("/metrics", headers=by_address)).status_code == 401
        answer = await prometheus.get("/metrics", headers=by_address | main_app)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(
            b"POST /spark/token HTTP/1.1\r\nHost: a\r\n"
            b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
            id="P222-two-lengths",
        ),
        pytest.param(
            b"POST /spark/token HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
            id="P222-negative-length",
        ),
        pytest.param(
            b"POST /spark/token HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="P222-length-and-chunked",
        ),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: b\x00c\r\n\r\n", id="P222-nul"),
    ],
)
async def test_an_ambiguous_request_is_refused(server: Running, request_bytes: bytes) -> None:
    assert (await raw(server, request_bytes)).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("method", ["TRACE", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ROUTES[:4])
async def test_other_methods_are_refused(
    browser: httpx.AsyncClient, path: str, method: str
) -> None:
    """P223"""
    assert_problem(await browser.request(method, path), 405, "method_not_allowed")


@pytest.mark.parametrize("path", [*ROUTES, "/docs", "/openapi.json", "/metrics"])
async def test_every_answer_carries_the_security_headers(
    browser: httpx.AsyncClient, path: str
) -> None:
    """P224"""
    headers = (await browser.get(path)).headers
    assert headers["strict-transport-security"].startswith("max-age=")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


async def test_the_redirect_carries_them_too_and_no_cookie(spark: Spark) -> None:
    """P031, P224"""
    token = spark.launch_token()
    answer = await spark.launch(token)
    assert answer.status_code == 302
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    assert token not in str(answer.headers) + answer.text


@pytest.mark.parametrize("published", [True, False])
async def test_the_page_and_the_contract_are_published_by_setting(
    settings: Settings, *, published: bool
) -> None:
    """P225, as DESIGN R22 has it"""
    async with (
        run_app(settings.model_copy(update={"publish_contract": published})) as running,
        httpx.AsyncClient(base_url=running.url, timeout=60, trust_env=False) as browser,
    ):
        for path in ("/docs", "/openapi.json"):
            assert (await browser.get(path)).status_code == (200 if published else 404)
        assert_problem(await browser.get("/redoc"), 404, "route_not_found")
        assert (await browser.get("/healthz")).json() == {"status": "ok"}


@pytest.mark.parametrize(
    "path", ["/spark//sso", "/SPARK/SSO", "/spark/sso/", "/spark/%2e/sso", "/spark/sso%00"]
)
async def test_another_spelling_of_a_path_is_another_path(
    browser: httpx.AsyncClient, path: str
) -> None:
    """P231, P032"""
    answer = await browser.get(f"{path}?token=x")
    assert "slash" in str(assert_problem(answer, 404, "route_not_found")["hint"])
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"X-Long": "a" * 20_000}, id="P157-20-KB"),
        pytest.param({f"X-{number}": "a" for number in range(150)}, id="P157-150-headers"),
    ],
)
async def test_too_many_header_bytes_are_refused(
    browser: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    assert_problem(await browser.get("/healthz", headers=headers), 431, "header_too_large")


@pytest.mark.parametrize("given", ["a" * 10_000, "x\ty", "short", "ünïcode-id-1234"])
async def test_an_odd_request_id_is_replaced(browser: httpx.AsyncClient, given: str) -> None:
    """P255"""
    answer = await browser.get("/nowhere", headers=[(b"X-Request-Id", given.encode())])
    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 36


async def test_a_good_request_id_is_kept(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/nowhere", headers={"X-Request-Id": "trace-0123456789"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "trace-0123456789"


async def test_the_unexpected_is_a_500_that_tells_nothing(
    settings: Settings, spark: Spark, caplog: pytest.LogCaptureFixture
) -> None:
    """P251, P252: tables are missing; the statement and its values stay inside."""
    async with (
        empty_database(settings) as empty,
        run_app(empty) as running,
        httpx.AsyncClient(base_url=running.url, timeout=60, trust_env=False) as browser,
    ):
        answer = await browser.get("/spark/sso", params={"token": spark.launch_token()})
        problem = assert_problem(answer, 500, "internal_error")
        assert problem["error"] == "Failed to create user account"
        origin = {"Origin": settings.frontend_url}
        answer = await browser.post("/spark/token", json={"code": "x"}, headers=origin)
        assert assert_problem(answer, 500, "internal_error")["error"] == "Token exchange failed"
        assert answer.headers["access-control-allow-origin"] == settings.frontend_url
    assert "unexpected_failure" in caplog.text
    assert "spark_auth_codes" not in caplog.text


ALLOWED = {
    "/spark/sso": "GET, POST",
    "/spark/deep-link": "GET, POST",
    "/spark/token": "POST",
    "/spark/webhook/submission": "POST",
    "/healthz": "GET, HEAD",
    "/docs": "GET, HEAD",
    "/docs/samples/submit.mjs": "GET, HEAD",
    "/internal/v1/deliveries": "GET, HEAD",
    "/internal/v1/evidence/documents/0193b5a2-7a5c-7c3e-8d1f-2f4e6a8b0c1d": "GET, HEAD, POST, PUT",
}


@pytest.mark.parametrize("path", ALLOWED)
async def test_a_405_names_every_method_that_the_path_has(
    browser: httpx.AsyncClient, path: str
) -> None:
    """RFC 9110 section 15.5.6"""
    answer = await browser.request("PATCH", path)
    assert "Allow" in str(assert_problem(answer, 405, "method_not_allowed")["hint"])
    assert answer.headers["allow"] == ALLOWED[path]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/docs/samples/submit.mjs"])
async def test_head_is_answered_as_get_is(browser: httpx.AsyncClient, path: str) -> None:
    whole, head = await browser.get(path), await browser.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))
    assert head.headers["content-type"] == whole.headers["content-type"]


async def test_head_of_what_is_refused_has_its_status(browser: httpx.AsyncClient) -> None:
    assert (await browser.head("/internal/v1/deliveries")).status_code == 401
    assert (await browser.head("/nowhere")).status_code == 404
    assert (await browser.head("/spark/token")).headers["allow"] == "POST"


async def test_head_of_a_sign_in_spends_no_token(spark: Spark) -> None:
    token = spark.launch_token()
    answer = await spark.browser.head("/spark/sso", params={"token": token})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, POST"
    assert (await spark.exchange(await spark.launch_code(token))).status_code == 200
