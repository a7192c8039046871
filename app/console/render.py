"""Pages: templates that escape what they are given, the policy, and failures as pages, too."""

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.responses import HTMLResponse, RedirectResponse, Response
from typing_extensions import override

from app.api.dependencies import resources_of
from app.api.style import open_templates
from app.clock import utc_now
from app.console.visit import cookie_name, refuse_other_sites, set_cookie
from app.database import OUTAGES, explain_outage
from app.errors import FieldInvalidError, ServiceError, UnauthorizedError

HOME = "/console"
SAID_SECONDS = 60
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "same-origin",
}
UNITS = (
    (timedelta(minutes=1), "min", "min"),
    (timedelta(hours=1), "h", "h"),
    (timedelta(days=1), "day", "days"),
)


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page of `templates`; what the redirect before it wanted to say is said once."""
    settings = resources_of(request).settings
    said = cookie_name(settings, "said")
    page = _PAGES.get_template(template).render(
        request=request,
        now=utc_now(),
        environment=settings.environment,
        visitor=getattr(request.state, "visitor", None),
        scopes=getattr(request.state, "scopes", ()),
        said=unquote(request.cookies.get(said, "")),
        **values,
    )
    response = HTMLResponse(page, status_code=status)
    if said in request.cookies:
        response.delete_cookie(said, secure=settings.cookies_are_secure)
    return response


def go_on(request: Request, path: str, said: str = "") -> RedirectResponse:
    """After an act: to a page, which says what was done."""
    response = RedirectResponse(path, status_code=303)
    if said:
        settings = resources_of(request).settings
        set_cookie(response, settings, "said", quote(said), seconds=SAID_SECONDS)
    return response


class _Page(APIRoute):
    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                response = await handle(request)
            except RequestValidationError as error:
                name = str(error.errors()[0]["loc"][-1])
                response = _fail(request, FieldInvalidError(name=name))
            except ServiceError as error:
                response = _fail(request, error)
            except OUTAGES as failure:
                outage = explain_outage(failure)
                if outage is None:
                    raise
                response = _fail(request, outage)
            response.headers.update(HEADERS)
            return response

        return answer


def console_router() -> APIRouter:
    """Of a page. Not in the contract."""
    return APIRouter(
        prefix=HOME,
        include_in_schema=False,
        route_class=_Page,
        dependencies=[Depends(refuse_other_sites)],
    )


def _fail(request: Request, error: ServiceError) -> HTMLResponse:
    """Who is not signed in may do so here, and comes back to the page that was asked for."""
    request.state.problem = error.code
    if isinstance(error, UnauthorizedError):
        values = {"wrong": error.hint_text if error.values else None, "target": _asked(request)}
        response = render(request, "sign_in.html", status=error.status, **values)
        response.headers["www-authenticate"] = error.scheme
        return response
    response = render(request, "failure.html", status=error.status, error=error)
    if error.retry_after:
        response.headers["retry-after"] = str(error.retry_after)
    return response


def _asked(request: Request) -> str:
    is_page = request.method == "GET" and request.url.path != f"{HOME}/sign-in"
    query = f"?{request.url.query}" if request.url.query else ""
    return request.url.path + query if is_page else HOME


@pass_context
def _when(context: Context, moment: datetime | None, none: str = "never") -> Markup | str:
    """In words, with the exact moment (UTC) as title."""
    if moment is None:
        return none
    exact = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        moment.isoformat(), exact, in_words(moment, context["now"])
    )


def in_words(moment: datetime, now: datetime) -> str:
    """`4 min ago`, `in 2 days`, and a date beyond a month."""
    distance = abs(now - moment)
    if distance > timedelta(days=30):
        return f"{moment:%-d %b %Y}"
    text = "a moment"
    for size, one, many in UNITS:
        if count := distance // size:
            text = f"{count} {one if count == 1 else many}"
    return f"{text} ago" if moment <= now else f"in {text}"


def _counted(number: int, one: str = "", many: str = "") -> str:
    """With the noun, where there is one: `1,204 students`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}" if one else f"{number:,}"


_PAGES = open_templates(Path(__file__).parent / "templates")
_PAGES.filters |= {"when": _when, "counted": _counted}
_PAGES.globals["home"] = HOME
