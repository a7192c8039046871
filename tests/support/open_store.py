"""A store that serves whoever has no key, as it is set: by S3, and as Supabase shows files to all.

It believes every signature, and does of S3 what putting, deleting and looking from outside need.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web

S3 = "/storage/v1/s3"
PUBLIC = "/storage/v1/object/public"
Opening = Literal["read", "list", "public"]


@dataclass
class OpenStore:
    """`opened` is what anybody may do; another's `objects` may be given, as two hosts of one."""

    opened: frozenset[Opening] = frozenset()
    objects: dict[str, bytes] = field(default_factory=dict)
    may_delete: bool = True
    hangs: bool = False
    asked: asyncio.Event = field(default_factory=asyncio.Event)  # by somebody without a key
    ends: asyncio.Event = field(default_factory=asyncio.Event)
    endpoint_url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:
            return await self._obey(request)
        self.asked.set()
        if self.hangs:
            await self.ends.wait()
        return self._show(request.path, request.query)

    async def _obey(self, request: web.Request) -> web.Response:
        if request.method == "PUT":
            self.objects[request.path.removeprefix(S3)] = await request.read()
        elif request.method == "DELETE":
            if not self.may_delete:
                return web.Response(status=403, text="<Error><Code>AccessDenied</Code></Error>")
            self.objects.pop(request.path.removeprefix(S3), None)
        return web.Response(
            text="<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>"
            "</ListMultipartUploadsResult>"
        )

    def _show(self, path: str, query: object) -> web.Response:
        if path.startswith(PUBLIC):
            opening, place = "public", path.removeprefix(PUBLIC)
        else:
            opening, place = ("list" if query else "read"), path.removeprefix(S3)
        if opening not in self.opened:
            return web.Response(status=403, text=f"<Error><Resource>{place}</Resource></Error>")
        if opening == "list":
            keys = (key.removeprefix(f"{place}/") for key in self.objects)
            found = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys)
            return web.Response(text=f"<ListBucketResult>{found}</ListBucketResult>")
        return web.Response(body=self.objects[place])


@asynccontextmanager
async def open_store(store: OpenStore) -> AsyncIterator[OpenStore]:
    """It listens, and `endpoint_url` says where."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", store.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        store.endpoint_url = f"http://{host}:{port}{S3}"
        yield store
    finally:
        store.ends.set()
        await runner.cleanup()
