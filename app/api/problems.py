"""RFC 9457 problem documents: one shape for every failure, made from the classes of `errors`.

The body is flat and has the old clients' `error` string beside the standard members. The same
classes document each operation, so the contract names exactly what is raised.
"""

from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from app import metrics
from app.api.described import REFERENCE, headers_of, occurrence, type_of
from app.api.failures import note_failure
from app.api.field_hints import refused_fields
from app.api.sign_in_page import render_page, wants_page
from app.database import OUTAGES, explain_outage, sqlstate_of
from app.errors import (
    CourseSyncFailedError,
    FieldInvalidError,
    FieldMissingError,
    HeaderTooLargeError,
    MethodNotAllowedError,
    OverloadedError,
    RequestInvalidError,
    RosterFailedError,
    RouteNotFoundError,
    ServiceError,
    SignInFailedError,
    SubmissionFailedError,
    TokenExchangeFailedError,
    UnauthorizedError,
)
from app.fields import UUID_EXAMPLE, ProblemCode
from app.logs import warn_each_minute

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
EXTENSIONS = ("file_size", "max_size", "received", "references")  # members that some problems have

# What the edge answers on any route, and the router on any path.
EVERYWHERE: tuple[type[ServiceError], ...] = (
    RequestInvalidError,
    MethodNotAllowedError,
    HeaderTooLargeError,
)

# What an unexpected failure of a route says to its old clients.
UNEXPECTED: dict[str, type[ServiceError]] = {
    "/spark/sso": SignInFailedError,
    "/spark/token": TokenExchangeFailedError,
    "/spark/webhook/submission": SubmissionFailedError,
    "/spark/webhook/course": CourseSyncFailedError,
    "/spark/webhook/roster": RosterFailedError,
}

# A HEAD here would spend a launch token, and nobody would get the code (DESIGN R32).
WITHOUT_HEAD = ("/spark/sso", "/spark/deep-link")

# Routes whose old clients read `success` (CONTRACT 9.2, 11), by how their paths begin.
SAY_SUCCESS = ("/internal/v1/activity", "/internal/v1/evidence/")


class Fault(BaseModel):
    """What is wrong with one file or field."""

    file: str | None = Field(
        None, description="The sender's name for the file.", examples=["notes.zip"]
    )
    pointer: str | None = Field(
        None,
        description="The field: a JSON pointer into the body (RFC 6901), or to a parameter.",
        examples=["#/blocks/0/type"],
    )
    code: ProblemCode = Field(description="A stable code.", examples=["file_type_not_allowed"])
    detail: str = Field(
        description="A sentence for people.", examples=["File type application/zip not allowed"]
    )


class ReceivedText(BaseModel):
    """What the signature was checked over: if it is what you signed, the key is wrong."""

    bytes: int = Field(description="Its length.", examples=[187])
    sha256: str = Field(description="Its SHA-256, in hexadecimal.", examples=["0" * 64])


class Reference(BaseModel):
    """Rows that name a student, and would not go with them."""

    table: str = Field(description="Where.", examples=["public.feed_share_tokens"])
    rows: int = Field(description="How many.", examples=[1])


class Problem(BaseModel):
    """Why a request failed (RFC 9457), and what to do about it."""

    type: str = Field(
        description="Identifies the kind of problem, and leads to its page: `/problems/` and code.",
        examples=["/problems/signature_invalid"],
    )
    title: str = Field(description="The kind of problem in words.", examples=["Signature invalid"])
    status: int = Field(description="The HTTP status again.", examples=[401])
    detail: str = Field(description="This occurrence in words.", examples=["Invalid signature"])
    code: ProblemCode = Field(
        description="A stable code to decide by.", examples=["signature_invalid"]
    )
    error: str = Field(
        description="The text that older clients show; always a string.",
        examples=["Invalid signature"],
    )
    success: bool | None = Field(
        None,
        description="Always false, on the internal routes whose older clients read it.",
        examples=[False],
    )
    hint: str | None = Field(
        None,
        description="What to do.",
        examples=["Sign the exact bytes that are sent."],
    )
    errors: list[Fault] | None = Field(
        None, description="Every file at fault, when there are several; or the fields at fault."
    )
    retry_after: int | None = Field(
        None, description="Seconds after which a retry makes sense.", examples=[5]
    )
    file_size: int | None = Field(
        None,
        description="Of an evidence file that is too large, in bytes, as far as it is known.",
        examples=[12582912],
    )
    max_size: int | None = Field(
        None, description="What an evidence file may have, in bytes.", examples=[10485760]
    )
    received: ReceivedText | None = Field(
        None,
        description=(
            "Of a signature that does not fit: the body as it arrived (multipart: the metadata"
            " field's value)."
        ),
    )
    references: list[Reference] | None = Field(
        None, description="What keeps a student from being erased."
    )
    request_id: str = Field(
        description="Name it when you ask us; also in the X-Request-Id header.",
        examples=[UUID_EXAMPLE],
    )


def render(error: ServiceError, request: Request) -> Response:
    """The response for a failure. Holds nothing of the exception but what `errors` wrote."""
    request.state.problem = error.code
    site = request.app.state.resources.settings.public_url
    problem = _describe(error, request_id_of(request), site)
    if request.url.path.startswith(SAY_SUCCESS):
        problem.success = False
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    if isinstance(error, UnauthorizedError):
        headers["WWW-Authenticate"] = error.scheme
    return JSONResponse(
        problem.model_dump(exclude_none=True),
        status_code=error.status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def _describe(error: ServiceError, request_id: str, site: str | None = None) -> Problem:
    more: dict[str, Any] = {name: error.values.get(name) for name in EXTENSIONS}
    return Problem(
        type=type_of(error.code, site),
        title=error.title,
        status=error.status,
        detail=error.error_text,
        code=error.code,
        error=error.error_text,
        hint=error.hint_text,
        errors=[_fault(fault) for fault in error.faults or _fields(error)] or None,
        retry_after=error.retry_after,
        request_id=request_id,
        **more,
    )


def _fields(error: ServiceError) -> list[ServiceError]:
    """The error itself, if it is about a field that it names."""
    is_of_field = isinstance(error, FieldMissingError | FieldInvalidError)
    return [error] if is_of_field and "name" in error.values else []


def _fault(fault: ServiceError) -> Fault:
    if not _fields(fault):
        return Fault(file=fault.file or "", code=fault.code, detail=fault.error_text)
    place = str(fault.values["name"]).replace("~", "~0").replace("/", "~1").replace(".", "/")
    said = fault.error_text if fault.hint_text == fault.hint else fault.hint_text
    return Fault(pointer=f"#/{place}", code=fault.code, detail=said)


def request_id_of(request: Request) -> str:
    return str(request.state.request_id)


async def on_service_error(request: Request, error: ServiceError) -> Response:
    """The answer to any failure: a page for a student's browser, else the problem document."""
    if isinstance(error, OverloadedError):
        limit = str(error.values.get("limit"))
        metrics.OVERLOADED.labels(limit).inc()
        warn_each_minute("overloaded", limit=limit)
    answered = note_failure(request, error)
    if wants_page(request):
        request.state.problem = answered.code
        return render_page(answered, request)
    return render(answered, request)


async def on_outage(request: Request, error: Exception) -> Response:
    outage = explain_outage(error)
    if outage is None:
        raise error
    log.warning("database_failed", error_class=type(error).__name__, sqlstate=sqlstate_of(error))
    return await on_service_error(request, outage)


async def on_http_exception(request: Request, error: HTTPException) -> Response:
    """What the router itself says: unknown path or method."""
    kinds: dict[int, type[ServiceError]] = {404: RouteNotFoundError, 405: MethodNotAllowedError}
    response = render(kinds.get(error.status_code, RequestInvalidError)(), request)
    if error.headers and "Allow" in error.headers:
        methods = _routed_methods(request).union(error.headers["Allow"].split(", "))
        response.headers["Allow"] = ", ".join(sorted(methods))
    return response


def _routed_methods(request: Request) -> set[str]:
    """Of all routes of this path: the router names those of the first alone."""
    methods = {
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        for route in request.app.routes
        if route.matches({**request.scope, "method": method})[0] is Match.FULL
    }
    has_head = "GET" in methods and request.url.path not in WITHOUT_HEAD
    return methods | {"HEAD"} if has_head else methods


async def on_validation_error(request: Request, error: RequestValidationError) -> Response:
    faults = [*refused_fields(request, error)]
    faults[0].faults = [*faults]
    return await on_service_error(request, faults[0])


HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    ServiceError: on_service_error,
    HTTPException: on_http_exception,
    RequestValidationError: on_validation_error,
    **dict.fromkeys(OUTAGES, on_outage),
}


async def on_unexpected(request: Request) -> Response:
    """A 500 that tells nothing but its request id."""
    return await on_service_error(request, UNEXPECTED.get(request.url.path, ServiceError)())


def problems(*errors: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses for these failures: one entry a status, one example a code."""
    by_status: dict[int, list[type[ServiceError]]] = {}
    for error in dict.fromkeys((*errors, *EVERYWHERE)):
        by_status.setdefault(error.status, []).append(error)
    return {
        status: {
            "description": "; ".join(
                dict.fromkeys(f"`{kind.code}` {kind.title}" for kind in kinds)
            ),
            "headers": headers_of(kinds),
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": REFERENCE.format(model="Problem")},
                    "examples": {kind.code: _example(occurrence(kind)) for kind in kinds},
                }
            },
        }
        for status, kinds in sorted(by_status.items())
    }


def _example(error: ServiceError) -> dict[str, Any]:
    problem = _describe(error, UUID_EXAMPLE)
    return {"summary": error.title, "value": problem.model_dump(exclude_none=True)}
