"""`/problems` and `/problems/{code}`: where the `type` of a failure leads, for people and machines.

All of it is made from the classes of `errors` and from what routes say that they answer.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import HTMLResponse, JSONResponse, Response

from app.api.dependencies import Opened, Resources
from app.api.described import PROBLEMS, helps_later, occurrence, type_of
from app.api.problems import MEDIA_TYPE
from app.api.style import POLICY, open_templates
from app.errors import (
    BadRequestError,
    ForbiddenError,
    MissingError,
    NotFoundError,
    ServiceError,
    UnauthorizedError,
    UnavailableError,
    kinds,
)

FAMILIES: dict[type[ServiceError], str] = {
    BadRequestError: "The request has to change",
    UnauthorizedError: "The sender did not prove who it is",
    ForbiddenError: "The sender is known, and this is not allowed",
    MissingError: "What was asked for is not there",
    UnavailableError: "It works later",
    ServiceError: "The fault is ours",
}
HEADERS = {"content-security-policy": POLICY, "vary": "Accept"}
QUALITY = re.compile(r"q=[01](\.\d*)?")

_TEMPLATES = open_templates()


def create_problem_router(routes: Iterable[Any], places: list[tuple[str, str]]) -> APIRouter:
    """With what these routes say that they answer, among these pages."""
    router = APIRouter(include_in_schema=False)

    @cache
    def described() -> dict[str, dict[str, Any]]:
        return describe_problems(routes)

    @router.get(PROBLEMS)
    async def list_problems(request: Request, opened: Opened) -> Response:
        items = [_located(kind, opened) for kind in described().values()]
        if not _wants_page(request):
            return JSONResponse({"items": items}, headers=HEADERS)
        return _page("problems.html", places, items=items, families=FAMILIES.values())

    @router.get(f"{PROBLEMS}/{{code}}")
    async def read_problem(request: Request, code: str, opened: Opened) -> Response:
        if code not in described():
            raise NotFoundError(hint=f"There is no such code. {PROBLEMS} lists all.")
        kind = _located(described()[code], opened)
        if not _wants_page(request):
            return JSONResponse(kind, headers=HEADERS)
        return _page("problem.html", places, kind=kind)

    return router


def describe_problems(routes: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """By code: what it means, and which of these routes answer it."""
    return {code: _describe(code, *found) for code, found in sorted(_find(routes).items())}


def _located(kind: dict[str, Any], opened: Resources) -> dict[str, Any]:
    return {"type": type_of(kind["code"], opened.settings.public_url)} | kind


def _page(template: str, places: list[tuple[str, str]], **values: Any) -> HTMLResponse:
    page = _TEMPLATES.get_template(template).render(here=PROBLEMS, places=places, **values)
    return HTMLResponse(page, headers=HEADERS)


def _wants_page(request: Request) -> bool:
    """Whoever likes both as much gets JSON."""
    accept = request.headers.get("accept", "")
    return _quality(accept, "text/html") > _quality(accept, "application/json")


def _quality(accept: str, kind: str) -> float:
    """How much this kind is liked (RFC 9110 section 12.5.1); what cannot be read counts as 1."""
    for each in accept.lower().split(","):
        name, *parameters = map(str.strip, each.split(";"))
        if name == kind:
            return next((float(one[2:]) for one in parameters if QUALITY.fullmatch(one)), 1)
    return 0


def _find(routes: Iterable[Any]) -> dict[str, tuple[list[type[ServiceError]], list[str]]]:
    """The kinds of each code, and which routes answer it."""
    found: dict[str, tuple[list[type[ServiceError]], list[str]]] = {}
    for kind in kinds():
        # Those between the first and the named have no code of their own.
        if kind.code != ServiceError.code or kind.status == ServiceError.status:
            found.setdefault(kind.code, ([], []))[0].append(kind)
    for route in routes:
        for code in _codes(route):
            found[code][1].extend(f"{method} {route.path}" for method in sorted(route.methods))
    return found


def _codes(route: Any) -> set[str]:
    if not isinstance(route, APIRoute):
        return set()
    contents = (answer.get("content", {}) for answer in route.responses.values())
    return {code for each in contents for code in each.get(MEDIA_TYPE, {}).get("examples", {})}


def _describe(code: str, kinds: list[type[ServiceError]], routes: list[str]) -> dict[str, Any]:
    first = kinds[0]
    shown = ((kind.status, occurrence(kind).error_text, kind.hint) for kind in kinds)
    return {
        "code": code,
        "title": first.title,
        "meaning": next(text for base, text in FAMILIES.items() if issubclass(first, base)),
        "retry": helps_later(kinds),
        "answers": [
            {"status": status, "error": error, "hint": hint}
            for status, error, hint in dict.fromkeys(shown)
        ],
        "routes": routes,
    }
