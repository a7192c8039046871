"""The look of all pages for people: one stylesheet, and the script of the developer's pages, under
addresses that change with them, and the templates that use them.
"""

import hashlib
from itertools import zip_longest
from pathlib import Path

from fastapi import APIRouter
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import Response

PAGES = Path(__file__).parent / "pages"
STYLE = (PAGES / "style.css").read_bytes() + (PAGES / "docs.css").read_bytes()
ICON = (PAGES / "icon.svg").read_bytes()
SCRIPT = (PAGES / "docs.js").read_bytes()
DIGEST = hashlib.sha256(STYLE + ICON + SCRIPT).hexdigest()[:16]
POLICY = (  # of a page that neither runs nor sends anything
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
FOR_GOOD = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False)


@router.get("/style/{digest}.css")
async def read_style(digest: str) -> Response:
    return _answer(STYLE, "text/css", digest)


@router.get("/style/{digest}.svg")
async def read_icon(digest: str) -> Response:
    return _answer(ICON, "image/svg+xml", digest)


@router.get("/style/{digest}.js")
async def read_script(digest: str) -> Response:
    return _answer(SCRIPT, "text/javascript", digest)


def open_templates(*folders: Path) -> Environment:
    """They escape what they are given, and may extend `page.html`."""
    templates = Environment(
        loader=FileSystemLoader([*folders, PAGES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["ticks"] = _ticks
    templates.globals |= {
        name: f"/style/{DIGEST}.{kind}"
        for name, kind in (("style", "css"), ("icon", "svg"), ("script", "js"))
    }
    return templates


def _ticks(text: str) -> Markup:
    """What stands between backticks is code."""
    parts = text.split("`")
    codes = [Markup("<code>{}</code>").format(part) for part in parts[1::2]]
    return Markup("").join(
        part for pair in zip_longest(map(escape, parts[::2]), codes, fillvalue="") for part in pair
    )


def _answer(content: bytes, media_type: str, digest: str) -> Response:
    """While versions change, a page of one may ask an instance of the other: nobody keeps that."""
    kept = {"cache-control": FOR_GOOD if digest == DIGEST else "no-store"}
    return Response(content, media_type=media_type, headers=kept)
