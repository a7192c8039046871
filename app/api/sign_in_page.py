"""What a browser shows when signing in, or choosing work, fails: what happened, and what to do.

No script and nothing from outside; the policy allows this one style by its digest. The status is
the problem's own.
"""

import base64
import hashlib
import html
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from app.errors import (
    AccountInactiveError,
    AccountLinkForbiddenError,
    LaunchTokenExpiredError,
    LaunchTokenMissingError,
    LaunchTokenReplayedError,
    RateLimitedError,
    RoleNotAllowedError,
    ServiceError,
    SsoNotConfiguredError,
)
from app.fields import REFERENCE_CHARACTERS

SIGN_IN, DEEP_LINK = PATHS = ("/spark/sso", "/spark/deep-link")
PAGES = Path(__file__).parent / "pages"
PAGE = Template((PAGES / "sign_in_failed.html").read_text())
STYLE = (PAGES / "sign_in_failed.css").read_text()
STYLE_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{STYLE_DIGEST}'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)

# What to do: three texts for students, whatever went wrong.
AGAIN = "Go back to Spark and click the link again."
LATER = "Wait a minute. Then go back to Spark and click the link again."
ASK = "Ask your teacher, and show this page: the reference says what is wrong."

OLD = ("This link has been used or is too old", AGAIN)
BUSY = ("Optio is busy right now", LATER)
OURS = ("Something went wrong at Optio", LATER)
REFUSED = ("We could not sign you in", ASK)
ADVICE: dict[type[ServiceError], tuple[str, str]] = {
    LaunchTokenMissingError: ("The way to Optio is a link in Spark", AGAIN),
    LaunchTokenExpiredError: OLD,
    LaunchTokenReplayedError: OLD,
    RateLimitedError: BUSY,
    SsoNotConfiguredError: REFUSED,
    AccountInactiveError: ("Your Optio account is not active", ASK),
    AccountLinkForbiddenError: ("Your e-mail address belongs to another Optio account", ASK),
    RoleNotAllowedError: (  # whoever reads this is no student
        "Only students enter Optio from Spark",
        "Sign in at Optio itself, with your own account.",
    ),
}
OF_CHOICE: dict[type[ServiceError], tuple[str, str]] = {
    LaunchTokenExpiredError: OLD,
    LaunchTokenReplayedError: OLD,
    RateLimitedError: BUSY,
    RoleNotAllowedError: ("Only teachers choose work for an assignment", "Go back to Spark."),
}
CHOICE = (
    "We could not open the choice of work",
    "Go back to Spark and try again. If it happens again, show this page to whoever runs Spark.",
)


def wants_page(request: Request) -> bool:
    return request.url.path in PATHS and "text/html" in request.headers.get("accept", "")


def render_page(error: ServiceError, request: Request) -> Response:
    title, advice = _say(error, request.url.path)
    portal = _find_portal(request)
    page = PAGE.substitute(
        title=title,
        advice=advice,
        style=STYLE,
        way_back=f'<p><a href="{html.escape(portal)}">Back to Spark</a></p>' if portal else "",
        code=error.code,
        reference=html.escape(request.state.request_id[-REFERENCE_CHARACTERS:]),
    )
    return HTMLResponse(page, status_code=error.status, headers={"content-security-policy": POLICY})


def _say(error: ServiceError, path: str) -> tuple[str, str]:
    """The narrowest kind that has a text of its own."""
    texts = OF_CHOICE if path == DEEP_LINK else ADVICE
    if found := next((texts[kind] for kind in type(error).__mro__ if kind in texts), None):
        return found
    if error.status == 503:  # noqa: PLR2004 - Service Unavailable
        return BUSY
    if path == DEEP_LINK:
        return CHOICE
    return OURS if error.status == 500 else REFUSED  # noqa: PLR2004 - Internal Server Error


def _find_portal(request: Request) -> str | None:
    """Where the operator says that it is; else whence the browser came, if that is an origin which
    the operator named: anybody else's page would be a way for us to send people there.
    """
    settings = request.app.state.resources.settings
    came_from = urlsplit(request.headers.get("referer", ""))
    origin = f"{came_from.scheme}://{came_from.netloc}".lower()
    named = {f"{url.scheme}://{url.netloc}" for url in map(urlsplit, settings.return_urls)}
    return settings.spark_portal_url or (origin if origin in named else None)
