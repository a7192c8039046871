"""Who may do what at the console: every page states its visitor as Reader, Writer or Admin.

They raise CredentialsInvalidError, which becomes the page to sign in, or ScopeMissingError.
"""

from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

from fastapi import Depends, Request
from starlette.responses import Response

from app.accounts.console_sessions import see_visitor
from app.accounts.service_keys import SCOPES, Scope
from app.api.callers import Caller
from app.api.dependencies import Opened, read_body
from app.errors import CredentialsInvalidError, FieldInvalidError, ScopeMissingError
from app.settings import Settings

ELSEWHERE = "The form was sent from another site. Nothing was changed."
LACKING = (
    "Your key lacks the scope `{scope}`. Nothing was changed: ask whoever made it for another."
)
MOST_FIELDS = 100


def cookie_name(settings: Settings, what: str) -> str:
    """Without TLS browsers take no cookie with the prefix, which keeps it to this host."""
    return f"__Host-{what}" if settings.cookies_are_secure else what


def set_cookie(
    response: Response, settings: Settings, what: str, value: str, *, seconds: float
) -> None:
    """Sent with what this host's own pages ask for, and shown to no script."""
    response.set_cookie(
        cookie_name(settings, what),
        value,
        max_age=int(seconds),
        httponly=True,
        secure=settings.cookies_are_secure,
        samesite="strict",
    )


def _visitor(scope: Scope) -> Any:
    async def identify(request: Request, opened: Opened) -> Caller:
        secret = request.cookies.get(cookie_name(opened.settings, "console"))
        seen = await see_visitor(opened.sessions, secret) if secret else None
        if seen is None:
            raise CredentialsInvalidError
        key_id, request.state.visitor, scopes = seen
        request.state.scopes = scopes
        if scope not in scopes:
            raise ScopeMissingError(hint=LACKING.format(scope=scope))
        return Caller(key_id, scopes)

    return Depends(identify)


READ, WRITE, ADMIN = map(_visitor, SCOPES)
Reader = Annotated[Caller, READ]
Writer = Annotated[Caller, WRITE]
Admin = Annotated[Caller, ADMIN]


async def refuse_other_sites(request: Request) -> None:
    """A page elsewhere may make a browser post here, with its cookie. Raises ScopeMissingError."""
    if request.method in {"GET", "HEAD"}:
        return
    site = request.headers.get("sec-fetch-site")
    origin = urlsplit(request.headers.get("origin", "")).netloc.lower()
    if site != "same-origin" if site else origin != request.headers["host"].lower():
        raise ScopeMissingError(hint=ELSEWHERE)


async def read_form(request: Request) -> dict[str, str]:
    """The last value of each field. Raises what `read_body` raises, and FieldInvalidError."""
    body = await read_body(request)
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise FieldInvalidError(name="form") from None
