"""Alive and ready: what hosts and load balancers ask."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app.database import FAILURES, ping, schema_is_current

router = APIRouter(tags=["health"])

CHECK_SECONDS = 4


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
    description="Asks database, schema and storage; 503 names those that fail in `checks`.",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "At least one check fails."}},
)
async def readyz(request: Request) -> JSONResponse:
    resources = request.app.state.resources
    holds = await asyncio.gather(
        _holds(ping(resources.sessions)),
        _holds(schema_is_current(resources.sessions)),
        _holds(resources.bucket.ping()),
    )
    checks = dict(zip(("database", "schema", "storage"), holds, strict=True))
    ready = all(holds)
    return JSONResponse(
        {"status": "ok" if ready else "failed", "checks": checks},
        status_code=200 if ready else 503,
    )


async def _holds(check: Coroutine[Any, Any, bool | None]) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check is not False
    except FAILURES:
        return False
