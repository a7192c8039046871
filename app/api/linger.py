"""An answer that comes before the body has ended must still arrive (DESIGN R4).

A sender that is cut off while it writes sees a reset and not the answer. So the answer goes out
whole, then the rest of the body is read and thrown away, and then the connection is closed. After
a refusal that is done for a while only: nobody keeps a connection by sending a byte now and then;
for a sender whose signature is right and who is not too slow, longer and for all of it. After a
success all of the body is taken, because a sender that misses it would send it again.
"""

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SOME_BYTES = 8 * 1024 * 1024
WHOLE_BYTES = 256 * 1024 * 1024
MAX_SECONDS = 5  # in all after a refusal of strangers, else between two pieces
SIGNED_SECONDS = 60  # in all after another refusal
FIRST_REFUSAL, TOO_SLOW = 400, 408


class Linger:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive)
        seconds: float | None = MAX_SECONDS

        async def send_and_linger(message: Message) -> None:
            nonlocal seconds
            if message["type"] == "http.response.start" and not body.has_ended:
                MutableHeaders(scope=message)["connection"] = "close"
                if message["status"] < FIRST_REFUSAL:
                    seconds = None
                elif message["status"] != TOO_SLOW and scope["state"].get("is_authentic"):
                    seconds = SIGNED_SECONDS
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            if is_last and not body.has_ended:
                await send({**message, "more_body": True})
                await body.discard(seconds)
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self._app(scope, body.receive, send_and_linger)


class _Body:
    """The request's body, and whether all of it has come."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        self.has_ended = length == "0" and "transfer-encoding" not in headers
        self._waits_for_100 = "expect" in headers
        self._receive = receive

    async def receive(self) -> Message:
        self._waits_for_100 = False  # asking for the body sends `100 Continue`
        message = await self._receive()
        self.has_ended = not message.get("more_body", False)
        return message

    async def discard(self, seconds: float | None) -> None:
        """What is still coming, or some of it; nothing from a sender that waits to be asked."""
        if self._waits_for_100:
            return
        whole = seconds != MAX_SECONDS
        left = WHOLE_BYTES if whole else SOME_BYTES
        clock = asyncio.get_running_loop().time
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.timeout(MAX_SECONDS) as pause:
                while left > 0 and not self.has_ended:
                    left -= len((await self.receive()).get("body", b""))
                    if whole:
                        pause.reschedule(clock() + MAX_SECONDS)
