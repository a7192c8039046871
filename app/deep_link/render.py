"""The picker's two pages: templates that escape what they are given, and the policy."""

from datetime import datetime
from pathlib import Path
from typing import Any

from starlette.responses import HTMLResponse

from app.api.style import open_templates
from app.settings import Settings

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none';"
    " form-action 'self' {origin}; frame-ancestors {frame}"
)


def render(
    settings: Settings, template: str, *, origin: str, status: int = 200, **values: Any
) -> HTMLResponse:
    """`origin` is that of the address to which the answer goes."""
    frame = settings.portal_origin if settings.deep_link_in_frame else None
    headers = {
        "content-security-policy": POLICY.format(origin=origin, frame=frame or "'none'"),
        "referrer-policy": "strict-origin",  # without one a form would name no origin to Spark
    }
    page = _PAGES.get_template(template).render(**values)
    return HTMLResponse(page, status_code=status, headers=headers)


def _day(moment: datetime) -> str:
    return f"{moment:%-d %b %Y}"


_PAGES = open_templates(Path(__file__).parent / "templates")
_PAGES.filters["day"] = _day
