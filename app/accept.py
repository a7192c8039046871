"""Each connection from its first byte, bounded before anybody reads it, also without a proxy.

uvicorn's protocol, which bounds neither a head nor the time it takes nor the connections, and
leaves the body of a request unread that offers `Upgrade`. What is refused here is answered by the
application, so it has the shape and the headers of every other answer (DESIGN R32).
"""

import asyncio
from collections import Counter
from typing import Any

import httptools
from typing_extensions import override
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.errors import (
    BodyTimeoutError,
    HeaderTooLargeError,
    OverloadedError,
    RequestInvalidError,
    ServiceError,
)
from app.limits import holder_of

MAX_HEAD_BYTES = 32 * 1024
HEAD_SECONDS = 10
MAX_CONNECTIONS = 500
SHARES = 4


class Connection(HttpToolsProtocol):
    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.peer = ""
        self.waits_since = self.loop.time()
        self._head_bytes: int | None = 0  # None while a body is read
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_refused = False

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.peer = holder_of(self.client[0]) if self.client else ""
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )
        if len(self.connections) > MAX_CONNECTIONS:
            self._make_room()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        rest = b""
        if self._head_bytes is not None:
            left = MAX_HEAD_BYTES - self._head_bytes
            data, rest = data[:left], data[left:]
            self._head_bytes += len(data)
        self._unset_keepalive_if_required()
        self._feed(data)
        if self._head_bytes == MAX_HEAD_BYTES:
            self._refuse(HeaderTooLargeError())
        elif self._head_bytes and self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._end_slow_head)
        if rest:
            self.data_received(rest)

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as pause:
            if self.parser.get_method() == b"CONNECT":
                self._refuse(RequestInvalidError())
            else:
                self._feed(self._head_without_upgrade() + data[pause.args[0] :])
        except httptools.HttpParserError:
            self._refuse(RequestInvalidError(hint="The request is not HTTP/1.1 (RFC 9112)."))

    def _head_without_upgrade(self) -> bytes:
        """The parser stops behind a head that offers another protocol, and is given it again."""
        words = (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([b"%s %s HTTP/%s" % words, *kept, b"", b""])

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value.strip(b" \t"))

    @override
    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._head_bytes = None
        if self.parser.should_upgrade():
            return
        if not self.url.startswith(b"/"):
            self._take_host_of_target()
        self.waits_since = self.loop.time()
        is_one_too_many = len(self.connections) > MAX_CONNECTIONS
        if is_one_too_many:
            self.scope["state"]["refusal"] = OverloadedError(limit="connections")
        super().on_headers_complete()
        self.cycle.keep_alive = self.cycle.keep_alive and not is_one_too_many

    def _take_host_of_target(self) -> None:
        """A target with a host goes before the header Host (RFC 9112 section 3.2.2)."""
        target = httptools.parse_url(self.url)
        host = b"[%s]" % target.host if b":" in target.host else target.host
        authority = b"%s:%d" % (host, target.port) if target.port else host
        self.headers[:] = [
            (name, authority if name == b"host" else value) for name, value in self.headers
        ]
        self.url = (target.path or b"/") + (b"?" + target.query if target.query else b"")

    @override
    def on_body(self, body: bytes) -> None:
        """What comes alone is handed on as it is: uvicorn would copy it twice."""
        cycle: Any = self.cycle  # its body may be bytes as well
        if not cycle.body:
            cycle.body, body = body, b""
        elif isinstance(cycle.body, bytes):
            cycle.body = bytearray(cycle.body)
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        self._head_bytes = 0
        if not self.parser.should_upgrade():
            super().on_message_complete()

    @override
    def on_response_complete(self) -> None:
        self.waits_since = self.loop.time()
        super().on_response_complete()

    def _end_slow_head(self) -> None:
        self._refuse(BodyTimeoutError(hint="The head of the request came too slowly."))

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, refusal: ServiceError) -> None:
        """What still comes is thrown away; an answer that is on its way already is the last one."""
        self._is_refused = True
        self._stop_timer()
        if not self.is_idle:
            if self.cycle.response_started or not self.cycle.more_body:
                self.cycle.keep_alive = False
                return
            self.cycle.disconnected = True  # it waits for a body that is no HTTP
            self.cycle.message_event.set()
        self.on_message_begin()
        self.headers.append((b"transfer-encoding", b"chunked"))  # so the application lingers
        self.scope["method"], self.scope["query_string"] = "GET", b""
        self.scope["path"], self.scope["raw_path"] = "", b""
        self.scope["state"]["refusal"] = refusal
        self.cycle = RequestResponseCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
        self._start_asgi_task(self.cycle, self.app)

    @property
    def is_idle(self) -> bool:
        """Between requests, or before the end of a head."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    @property
    def brings_body(self) -> bool:
        return not self.is_idle and self.cycle.more_body

    def _make_room(self) -> None:
        """Of an address that has more than a quarter of all connections, those beyond it that wait
        for their client are ended, the longest waiting first; of others than the newcomer's also
        those that still bring a body. Where there is no such address, one of who has most is.
        """
        others = [
            one for one in self.connections if isinstance(one, Connection) and one is not self
        ]
        waiting = sorted((one for one in others if one.is_idle), key=lambda one: one.waits_since)
        bringing = (one for one in others if one.brings_body and one.peer != self.peer)
        held = Counter(one.peer for one in others)
        ended = []
        for one in (*waiting, *bringing):
            if held[one.peer] > MAX_CONNECTIONS // SHARES:
                held[one.peer] -= 1
                ended.append(one)
        if waiting and not ended:
            ended = [max(waiting, key=lambda one: held[one.peer])]
        for one in ended:
            one.transport.close()
            self.connections.discard(one)
        if not ended and len(others) >= 2 * MAX_CONNECTIONS:
            self.transport.abort()
