"""Alive and ready: what hosts and load balancers ask.

Anybody may ask, so what asking costs does not grow with who asks.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app.adoption.watch_schema import SchemaWatch
from app.database import FAILURES
from app.storage.bucket import Bucket

router = APIRouter(tags=["health"])

CHECK_SECONDS = 4
BELIEVED_SECONDS = 1

Health = Literal["ok", "failed"]
Looked = tuple[dict[str, bool], Sequence[str]]  # the checks, and what differs in the schema


class Alive(BaseModel):
    """The process answers."""

    status: Health = Field(description="Always `ok`.", examples=["ok"])


class Readiness(BaseModel):
    """Whether requests can be served, and what fails if not."""

    status: Health = Field(description="`ok` when every check holds.", examples=["ok"])
    checks: dict[Literal["database", "schema", "storage"], bool] = Field(
        description="Each dependency by name; `schema` is true when all migrations are applied and"
        " the tables are as this version needs them.",
        examples=[{"database": True, "schema": True, "storage": True}],
    )
    differences: list[str] = Field(
        description="The tables and columns that are not; looked at once a minute.",
        examples=[[]],
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
        "Asks database, schema and storage; 503 names those that fail in `checks`, and in"
        " `differences` what does not fit. That all hold is true for a second."
    ),
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "At least one check fails."}},
)
async def readyz(request: Request) -> JSONResponse:
    resources = request.app.state.resources
    checks, differences = await resources.readiness.read()
    ready = all(checks.values())
    return JSONResponse(
        {"status": "ok" if ready else "failed", "checks": checks, "differences": differences},
        status_code=200 if ready else 503,
    )


class ReadinessChecks:
    """Those of one process, looked at once for all who ask meanwhile. That all hold is believed for
    BELIEVED_SECONDS; that one fails never, so that who waits for its end sees it at once.
    """

    def __init__(self, schema: SchemaWatch, bucket: Bucket) -> None:
        self._schema, self._bucket = schema, bucket
        self._look: asyncio.Task[Looked] | None = None
        self._believed_until = 0.0

    async def begin(self) -> None:
        """What differs is logged at start, too; a database that is away is asked again later."""
        await _ask(self._schema.fits())

    async def read(self) -> Looked:
        now = asyncio.get_running_loop().time()
        if self._look is None or (self._look.done() and now >= self._believed_until):
            self._look = asyncio.create_task(self._look_at_all(now))
        return await asyncio.shield(self._look)

    async def _look_at_all(self, now: float) -> Looked:
        schema, storage = await asyncio.gather(_ask(self._schema.fits()), _ask(self._bucket.ping()))
        checks = {
            "database": schema is not None,
            "schema": schema is True,
            "storage": storage is not None,
        }
        self._believed_until = now + BELIEVED_SECONDS if all(checks.values()) else now
        return checks, [] if schema is None else self._schema.names


async def _ask(check: Coroutine[Any, Any, bool | None]) -> bool | None:
    """What it says, True for nothing; None if there is no answer."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check is not False
    except FAILURES:
        return None
