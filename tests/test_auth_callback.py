"""docs/samples/AuthCallback.jsx in a browser, under StrictMode, against the real service."""

import html
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from typing_extensions import override

from app.settings import Settings
from tests.support.canaries import CANARIES
from tests.support.patience import patient
from tests.support.programs import CHROMIUM, FRONT_END, needs_front_end, run_program
from tests.support.running import run_app
from tests.support.spark import Spark

pytestmark = [needs_front_end, pytest.mark.timeout(patient(180))]

PAGE = (
    '<!doctype html><body data-api-url="{}"><div id="root"></div><script src="/bundle.js"></script>'
)


class MainApp(ThreadingHTTPServer):
    """The front end at its address, and of the main app's API what the sample calls: all routes
    know the access token that a refresh gives.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.api_url, self.bundle = "", b""
        self.refreshes: list[Any] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: MainApp

    def do_GET(self) -> None:
        if self.path == "/bundle.js":
            self._send(200, "text/javascript", self.server.bundle)
        elif self.path.startswith("/api/"):
            is_new = self.headers["Authorization"] == "Bearer new"
            self._send(200 if is_new else 401, "application/json", b"{}")
        else:
            self._send(200, "text/html", PAGE.format(self.server.api_url).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.refreshes.append(json.loads(body))
        self._send(200, "application/json", b'{"access_token": "new", "refresh_token": "newer"}')

    def _send(self, status: int, media: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Codes are in the addresses."""


@pytest.fixture
def front_end() -> Iterator[MainApp]:
    with MainApp() as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield served
        served.shutdown()


@pytest.fixture
async def bundled(front_end: MainApp, tmp_path: Path) -> MainApp:
    """React in its development build, the only one in which StrictMode mounts twice."""
    out = tmp_path / "bundle.js"
    ended = await run_program(
        *("node_modules/.bin/esbuild", "main.jsx", "--bundle", "--jsx=automatic"),
        f"--outfile={out}",
        env={"NODE_PATH": str(FRONT_END / "node_modules")},
        folder=FRONT_END,
    )
    assert ended.code == 0, ended.errors
    front_end.bundle = out.read_bytes()
    return front_end


async def _visit(url: str, profile: Path) -> str:
    """The page as it is once its scripts have run."""
    ended = await run_program(
        str(CHROMIUM),
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *(f"--user-data-dir={profile}", "--virtual-time-budget=10000", "--dump-dom", url),
        env={"HOME": str(profile)},
        seconds=patient(90),
    )
    return ended.output


async def test_a_click_in_spark_is_one_exchange_and_leaves_no_code(
    bundled: MainApp, settings: Settings, tmp_path: Path, main_app: dict[str, str]
) -> None:
    async with (
        run_app(settings.model_copy(update={"frontend_url": bundled.url})) as running,
        httpx.AsyncClient(base_url=running.url, trust_env=False) as browser,
    ):
        bundled.api_url = running.url
        token = _spark(browser, settings).launch_token()
        CANARIES.release(token)
        page = await _visit(f"{running.url}/spark/sso?token={token}", tmp_path)
        found = re.search(r'<pre id="seen">(.*?)</pre>', page)
        assert found, page
        seen = json.loads(html.unescape(found[1]))
        CANARIES.release(seen["accessToken"])
        CANARIES.release(seen["refreshToken"])
        assert (seen["exchanges"], seen["stored"]) == (1, 0)
        assert seen["address"] == f"{bundled.url}/auth/callback"
        assert "Go back to Spark and click it again" in seen["again"]
        # A second exchange would have ended the session.
        asked = {"token": seen["accessToken"]}
        path = "/internal/v1/sessions/introspect"
        said = (await browser.post(path, headers=main_app, json=asked)).json()
        assert (said["active"], said["user_id"]) == (True, seen["userId"])
    # Two requests at once had a token that ran out: they refreshed once, and both went on.
    assert seen["statuses"] == [200, 200]
    assert bundled.refreshes == [{"refresh_token": seen["refreshToken"]}]


@pytest.mark.parametrize(
    ("query", "advice"),
    [
        ("", "Go back to Spark and click it again"),
        ("?code=no_such_code&lang=en", "does not work any more"),
    ],
    ids=["no-code", "unknown-code"],
)
async def test_a_failure_tells_what_to_do_and_leaves_no_code(
    bundled: MainApp, settings: Settings, tmp_path: Path, query: str, advice: str
) -> None:
    async with run_app(settings.model_copy(update={"frontend_url": bundled.url})) as running:
        bundled.api_url = running.url
        page = await _visit(f"{bundled.url}/auth/callback{query}", tmp_path)
    assert advice in page
    assert "no_such_code" not in page
    left = "?lang=en" if query else ""
    assert f"<title>{bundled.url}/auth/callback{left}</title>" in page
    assert ("name this number" in page) == bool(query)


async def test_a_code_that_was_used_is_told_as_such(
    bundled: MainApp, settings: Settings, tmp_path: Path
) -> None:
    async with (
        run_app(settings.model_copy(update={"frontend_url": bundled.url})) as running,
        httpx.AsyncClient(base_url=running.url, trust_env=False) as browser,
    ):
        bundled.api_url = running.url
        spark = _spark(browser, settings)
        code = await spark.launch_code(spark.launch_token())
        assert (await spark.exchange(code)).status_code == 200
        page = await _visit(f"{bundled.url}/auth/callback?code={code}", tmp_path)
    assert "This link was used already" in page


async def test_a_service_that_does_not_answer_is_told_too(bundled: MainApp, tmp_path: Path) -> None:
    bundled.api_url = "http://127.0.0.1:1"
    page = await _visit(f"{bundled.url}/auth/callback?code=any_code", tmp_path)
    assert "Signing in does not work right now" in page


def _spark(browser: httpx.AsyncClient, settings: Settings) -> Spark:
    assert settings.spark_sso_secret is not None
    assert settings.spark_webhook_secret is not None
    return Spark(browser, settings.spark_sso_secret, settings.spark_webhook_secret)
