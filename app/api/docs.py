"""The contract: OpenAPI 3.1 documents made from the routes, and the page that shows them.

The public document holds what Spark sees, the internal one what the main app sees. Both are
written to openapi/ and compared in `make check`; the page needs nothing from outside.
"""

import json
import re
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, JSONResponse
from starlette.staticfiles import StaticFiles

from app.api.problems import Problem

STATIC = Path(__file__).parent / "static"
REFERENCE = "#/components/schemas/"
MENTION = re.compile(f'"{REFERENCE}(\\w+)"')
CONTRACT_VERSION = "1.0.0"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)
PUBLIC_DESCRIPTION = """\
Students enter Optio from Spark with one click, and homework handed in at Spark becomes evidence,
a completed task and XP at Optio.

Every failure is `application/problem+json` (RFC 9457) with a stable `code`, the old `error`
string, often a `hint`, and a `request_id` to name when you ask us."""
INTERNAL_DESCRIPTION = "For the main Optio app, with a service key."


def public_contract(app: FastAPI) -> dict[str, Any]:
    return _contract(app, "Spark integration", PUBLIC_DESCRIPTION, internal=False)


def internal_contract(app: FastAPI) -> dict[str, Any]:
    return _contract(app, "Spark integration, internal", INTERNAL_DESCRIPTION, internal=True)


def _contract(app: FastAPI, title: str, description: str, *, internal: bool) -> dict[str, Any]:
    document = get_openapi(
        title=title, version=CONTRACT_VERSION, description=description, routes=app.routes
    )
    document["paths"] = {
        path: operations
        for path, operations in document["paths"].items()
        if path.startswith("/internal/") is internal
    }
    for operations in document["paths"].values():
        for operation in operations.values():
            _settle(operation)
    problem = Problem.model_json_schema(ref_template=REFERENCE + "{model}")
    document["components"]["schemas"] |= problem.pop("$defs") | {"Problem": problem}
    _drop_unused(document)
    return document


def _drop_unused(document: dict[str, Any]) -> None:
    """Components that no operation of this document mentions belong to the other one."""
    paths, components = json.dumps(document["paths"]), document["components"]
    schemas, needed, seen = components["schemas"], set(MENTION.findall(paths)), set[str]()
    while needed:
        name = needed.pop()
        seen.add(name)
        needed |= set(MENTION.findall(json.dumps(schemas[name]))) - seen
    components["schemas"] = {name: schemas[name] for name in sorted(seen)}
    components["securitySchemes"] = {
        name: scheme
        for name, scheme in components["securitySchemes"].items()
        if f'"{name}"' in paths
    }


def _settle(operation: dict[str, Any]) -> None:
    """Say that an open operation is open, and leave out the 422 that we answer as 400."""
    operation.setdefault("security", [])
    if "HTTPValidationError" in str(operation["responses"].get("422")):
        del operation["responses"]["422"]


def create_docs_router(app: FastAPI) -> APIRouter:
    """`/docs` and the public document; the internal one is not served."""
    router = APIRouter(include_in_schema=False)

    @router.get("/openapi.json")
    async def openapi() -> JSONResponse:
        return JSONResponse(public_contract(app))

    @router.get("/docs")
    async def docs() -> FileResponse:
        return FileResponse(STATIC / "docs.html", headers={"content-security-policy": PAGE_POLICY})

    router.mount("/static", StaticFiles(directory=STATIC))
    return router
