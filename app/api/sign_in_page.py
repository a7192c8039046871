"""What a browser shows when signing in, or choosing work, fails: what happened, and what to do.

No script and nothing from outside; the policy allows this one style by its digest. The status is
the problem's own.
"""

import base64
import hashlib
import html
from pathlib import Path
from string import Template

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from app.errors import (
    AccountInactiveError,
    AccountLinkForbiddenError,
    LaunchTokenExpiredError,
    LaunchTokenReplayedError,
    RateLimitedError,
    RoleNotAllowedError,
    ServiceError,
)

SIGN_IN, DEEP_LINK = PATHS = ("/spark/sso", "/spark/deep-link")
PAGES = Path(__file__).parent / "pages"
PAGE = Template((PAGES / "sign_in_failed.html").read_text())
STYLE = (PAGES / "sign_in_failed.css").read_text()
STYLE_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{STYLE_DIGEST}'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)

AGAIN = ("This link has been used or is too old", "Go back to Spark and click the link again.")
SORRY = (
    "We could not sign you in",
    "Go back to Spark and try again. If it happens again, tell your teacher.",
)
LATER = ("Optio is busy right now", "Wait a minute, then go back to Spark and try again.")
CLOSED = (
    "Your Optio account is not active",
    "Ask your teacher or your parents: they can have it opened again.",
)
SOMEBODY_ELSES = (
    "This e-mail address belongs to another Optio account",
    "Ask your teacher to check the e-mail address that Spark has for you.",
)
STUDENTS_ONLY = (
    "Only students enter Optio from Spark",
    "Sign in at Optio itself, with your own account.",
)
CHOICE = (
    "We could not open the choice of work",
    "Go back to Spark and try again. If it happens again, tell whoever looks after Spark.",
)
TEACHERS_ONLY = ("Only teachers choose work for an assignment", "Go back to Spark.")
ADVICE: dict[type[ServiceError], tuple[str, str]] = {
    LaunchTokenExpiredError: AGAIN,
    LaunchTokenReplayedError: AGAIN,
    AccountInactiveError: CLOSED,
    AccountLinkForbiddenError: SOMEBODY_ELSES,
    RoleNotAllowedError: STUDENTS_ONLY,
    RateLimitedError: LATER,
}
OF_CHOICE: dict[type[ServiceError], tuple[str, str]] = {
    LaunchTokenExpiredError: AGAIN,
    LaunchTokenReplayedError: AGAIN,
    RateLimitedError: LATER,
    RoleNotAllowedError: TEACHERS_ONLY,
}


def wants_page(request: Request) -> bool:
    return request.url.path in PATHS and "text/html" in request.headers.get("accept", "")


def render_page(
    error: ServiceError, request_id: str, path: str, *, portal_url: str | None
) -> Response:
    title, advice = _say(error, path)
    way_back = f'<p><a href="{html.escape(portal_url)}">Back to Spark</a></p>' if portal_url else ""
    page = PAGE.substitute(
        title=title,
        advice=advice,
        style=STYLE,
        way_back=way_back,
        code=error.code,
        request_id=request_id,
    )
    return HTMLResponse(page, status_code=error.status, headers={"content-security-policy": POLICY})


def _say(error: ServiceError, path: str) -> tuple[str, str]:
    if error.status == 503:  # noqa: PLR2004 - Service Unavailable
        return LATER
    if path == DEEP_LINK:
        return OF_CHOICE.get(type(error), CHOICE)
    return ADVICE.get(type(error), SORRY)
