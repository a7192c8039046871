"""Alive and ready: what hosts and load balancers ask.

Anybody may ask, so what asking costs does not grow with who asks.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app.database import FAILURES, Sessions, newest_revisions, schema_is_current
from app.storage.bucket import Bucket

router = APIRouter(tags=["health"])

CHECK_SECONDS = 4
BELIEVED_SECONDS = 1

Health = Literal["ok", "failed"]


class Alive(BaseModel):
    """The process answers."""

    status: Health = Field(description="Always `ok`.", examples=["ok"])


class Readiness(BaseModel):
    """Whether requests can be served, and what fails if not."""

    status: Health = Field(description="`ok` when every check holds.", examples=["ok"])
    checks: dict[Literal["database", "schema", "storage"], bool] = Field(
        description="Each dependency by name; `schema` is true when all migrations are applied.",
        examples=[{"database": True, "schema": True, "storage": True}],
    )


@router.get(
    "/healthz",
    name="healthz",
    summary="Is the process alive?",
    description="Answers without any I/O: restart the process when it does not.",
    response_model=Alive,
)
async def healthz() -> JSONResponse:
    return JSONResponse({"status": "ok"})


@router.get(
    "/readyz",
    name="readyz",
    summary="Can requests be served?",
    description=(
        "Asks database, schema and storage; 503 names those that fail in `checks`. That all hold is"
        " true for a second."
    ),
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "At least one check fails."}},
)
async def readyz(request: Request) -> JSONResponse:
    resources = request.app.state.resources
    checks = await resources.readiness.read()
    ready = all(checks.values())
    return JSONResponse(
        {"status": "ok" if ready else "failed", "checks": checks},
        status_code=200 if ready else 503,
    )


class ReadinessChecks:
    """Those of one process, looked at once for all who ask meanwhile. That all hold is believed for
    BELIEVED_SECONDS; that one fails never, so that who waits for its end sees it at once.
    """

    def __init__(self, sessions: Sessions, bucket: Bucket) -> None:
        self._sessions, self._bucket = sessions, bucket
        self._revisions = newest_revisions()
        self._look: asyncio.Task[dict[str, bool]] | None = None
        self._believed_until = 0.0

    async def read(self) -> dict[str, bool]:
        now = asyncio.get_running_loop().time()
        if self._look is None or (self._look.done() and now >= self._believed_until):
            self._look = asyncio.create_task(self._look_at_all(now))
        return await asyncio.shield(self._look)

    async def _look_at_all(self, now: float) -> dict[str, bool]:
        schema, storage = await asyncio.gather(
            _ask(schema_is_current(self._sessions, self._revisions)), _ask(self._bucket.ping())
        )
        checks = {
            "database": schema is not None,
            "schema": schema is True,
            "storage": storage is not None,
        }
        self._believed_until = now + BELIEVED_SECONDS if all(checks.values()) else now
        return checks


async def _ask(check: Coroutine[Any, Any, bool | None]) -> bool | None:
    """What it says, True for nothing; None if there is no answer."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check is not False
    except FAILURES:
        return None
