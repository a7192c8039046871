"""Signing in to the console with a service key, and out."""

from fastapi import Request
from starlette.responses import Response

from app.accounts.console_sessions import LONGEST, end_console, open_console
from app.api.dependencies import Opened
from app.console.render import HOME, console_router, go_on, render
from app.console.visit import Reader, cookie_name, read_form, set_cookie
from app.errors import CredentialsInvalidError, RouteNotFoundError

FAILURES_PER_MINUTE = 10  # of an address
WRONG = (
    "That is no key of this service, or it was revoked. Keys of INTERNAL_API_KEYS belong to"
    " services and name nobody: make one for yourself."
)

router = console_router()
rest = console_router()


@router.get("/sign-in")
async def show_form(request: Request) -> Response:
    return render(request, "sign_in.html", wrong=None, target=HOME)


@router.post("/sign-in")
async def sign_in(request: Request, opened: Opened) -> Response:
    form = await read_form(request)
    secret = await open_console(opened.sessions, form.get("key", "").strip())
    if secret is None:
        opened.limits.count_failure(
            f"{HOME}/sign-in", request.state.client_address, per_minute=FAILURES_PER_MINUTE
        )
        raise CredentialsInvalidError(hint=WRONG, key="wrong")
    response = go_on(request, _own_path(form.get("target", "")))
    set_cookie(response, opened.settings, "console", secret, seconds=LONGEST.total_seconds())
    return response


@router.post("/sign-out")
async def sign_out(request: Request, opened: Opened) -> Response:
    name = cookie_name(opened.settings, "console")
    await end_console(opened.sessions, request.cookies.get(name, ""))
    response = go_on(request, f"{HOME}/sign-in", "You are signed out.")
    response.delete_cookie(name, secure=opened.settings.cookies_are_secure)
    return response


@rest.get("/{path:path}")
async def find_nothing(_: Reader) -> Response:
    raise RouteNotFoundError


def _own_path(target: str) -> str:
    """Only of the console: a form may have been given any other."""
    is_own = target == HOME or target.startswith((f"{HOME}/", f"{HOME}?"))
    return target if is_own and target.isascii() and target.isprintable() else HOME
