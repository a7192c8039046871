"""The outermost layer, pure ASGI: what every request and every response must have.

`Edge` gives each request an id, refuses what is no proper request before anybody reads it (SECURITY
D16), puts the security headers on every response (D17), and writes one log line that holds no
query, address, name or token. `HeadAsGet` gives every GET its HEAD. `LastResort`, the innermost,
turns the unexpected into a 500 that tells nothing; what stands between the two adds its headers to
that as well.
"""

import hashlib
import re
import time
from typing import Any

import structlog
from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import metrics
from app.api.failures import SERVER_ERRORS
from app.api.problems import WITHOUT_HEAD, on_service_error, on_unexpected
from app.clock import new_id
from app.errors import HeaderTooLargeError, RequestInvalidError, ServiceError
from app.fields import REQUEST_ID_PATTERN
from app.limits import holder_of

MAX_HEADERS = 100
MAX_HEADER_BYTES = 16 * 1024
HEALTH_PATHS = ("/healthz", "/readyz")
BY_ADDRESS = (*HEALTH_PATHS, "/metrics")  # asked of one instance, not by name
HOST = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")  # name or address, and port
REQUEST_ID = re.compile(REQUEST_ID_PATTERN)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
SECURITY_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "x-content-type-options": "nosniff",
}
DAY_SECONDS = 86_400

log = structlog.get_logger()


class Edge:
    def __init__(
        self,
        app: ASGIApp,
        *,
        allowed_hosts: tuple[str, ...],
        trusted_proxy_hops: int,
        pseudonym_key: SecretStr,
    ) -> None:
        self._app = app
        self._hosts = {host.lower() for host in allowed_hosts}
        self._hops = trusted_proxy_hops
        self._pseudonym_key = pseudonym_key.get_secret_value().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        scope["state"]["client_address"] = self._client_address(scope, exchange.headers)
        with structlog.contextvars.bound_contextvars(request_id=exchange.request_id):
            try:
                self._check(scope, exchange.headers)
                await self._app(scope, receive, exchange.send)
            except ServiceError as refusal:
                response = await on_service_error(Request(scope), refusal)
                await response(scope, receive, exchange.send)
            except ClientDisconnect:
                log.info("client_left")
            exchange.log(_pseudonym(scope["state"]["client_address"], self._pseudonym_key))

    def _client_address(self, scope: Scope, headers: Headers) -> str:
        """As `holder_of` has it. Counted from the right: what stands further left is the client's
        own invention.
        """
        peer = scope["client"][0] if scope.get("client") else "unknown"
        chain = [
            address.strip()
            for value in headers.getlist("x-forwarded-for")
            for address in value.split(",")
        ]
        return holder_of(chain[-self._hops] if 0 < self._hops <= len(chain) else peer)

    def _check(self, scope: Scope, headers: Headers) -> None:
        if scope["state"].get("refusal") and scope["path"] not in HEALTH_PATHS:
            raise scope["state"]["refusal"]  # of the connection
        raw = scope["headers"]
        size = sum(len(name) + len(value) for name, value in raw)
        if len(raw) > MAX_HEADERS or size > MAX_HEADER_BYTES:
            raise HeaderTooLargeError
        hosts = headers.getlist("host")
        if scope["path"] in BY_ADDRESS:
            return
        host = HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        if host is None or (self._hosts and host[1] not in self._hosts):
            raise RequestInvalidError(hint="Send one Host header with a name of this service.")


class LastResort:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except ClientDisconnect:
            raise
        except Exception as failure:
            # The text of it may hold anything, so it is not logged.
            log.error("unexpected_failure", error_class=type(failure).__name__)  # noqa: TRY400
            if has_begun or scope["type"] != "http":
                raise  # only closing the connection can show it
            await (await on_unexpected(Request(scope)))(scope, receive, send)


class HeadAsGet:
    """HEAD is answered as GET is; the server itself keeps the body back."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope.get("method")

        async def send_as_asked(message: Message) -> None:
            scope["method"] = method
            await send(message)

        if method == "HEAD" and scope["path"] not in WITHOUT_HEAD:
            scope["method"] = "GET"  # in place, so that the outer layers learn the route
            await self._app(scope, receive, send_as_asked)
        else:
            await self._app(scope, receive, send)


class _Exchange:
    """One request and its response: the id, the headers, and whether an answer has begun."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.headers = Headers(scope=scope)
        given = self.headers.get("x-request-id", "")
        self.request_id = given if REQUEST_ID.fullmatch(given) else str(new_id())
        scope.setdefault("state", {})["request_id"] = self.request_id
        self._scope = scope
        self._send = send
        self._status: int | None = None
        self._began = time.perf_counter()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            headers["x-request-id"] = self.request_id
        await self._send(message)

    def log(self, client: str) -> None:
        template: Any = self._scope.get("route")
        route, method = getattr(template, "path", "none"), self._scope["method"]
        method = method if method in METHODS else "other"  # any token may be sent as one
        seconds = time.perf_counter() - self._began
        kind = self._scope["state"].get("kind", "other")
        requests, took = metrics.of_request(method, route, self._status, kind)
        requests.inc()
        took.observe(seconds)
        # A refused message that was signed has its `webhook_id` and `digest` beside these.
        say = log.warning if (self._status or 0) >= SERVER_ERRORS else log.info
        say(
            "request",
            method=method,
            route=route,
            status=self._status,
            code=self._scope["state"].get("problem"),
            ms=round(seconds * 1000, 1),
            client=client,
            # How many addresses the proxies named, so that TRUSTED_PROXY_HOPS can be checked.
            forwarded=sum(it.count(",") + 1 for it in self.headers.getlist("x-forwarded-for")),
        )


def _pseudonym(address: str, key: bytes) -> str:
    """Tells clients apart for a day (UTC), on all instances alike, and nobody who they are."""
    on_day = f"{time.time() // DAY_SECONDS:.0f} {address}"
    return hashlib.blake2b(on_day.encode(), key=key, digest_size=6).hexdigest()
