"""`/docs`, the developer's pages: what to do first, the guide, a reference that signs, and changes.

All is made of the contract, of `docs/` and of CHANGELOG.md when it is first asked for, and once, in
a thread: the contract alone takes half a second. Production shows the public contract alone.
"""

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from app import __version__
from app.api.described import PROBLEMS
from app.api.docs import internal_contract, public_contract
from app.api.markdown import colour, render_block, render_document, render_line
from app.api.reference import group_operations
from app.api.style import open_templates

PROJECT = Path(__file__).parents[2]
SAMPLES = PROJECT / "docs" / "samples"
SAMPLES_OF = {
    "signIn": "launch",
    "submit": "submit",
    "chooseWork": "deep_link",
    "receiveGrade": "receive",
    "receiveReceipt": "receive",
}
HOME = "/docs"
TEXTS = {
    "guide": "docs/guide.md",
    "receiving": "docs/receiving.md",
    "deep-linking": "docs/deep-linking.md",
    "changes": "CHANGELOG.md",
}
ADDRESSES = {Path(file).stem: f"{HOME}/{name}" for name, file in TEXTS.items()}
PUBLIC_PLACES = [
    (HOME, "Overview"),
    (f"{HOME}/guide", "Quickstart"),
    (f"{HOME}/reference", "Reference"),
    (f"{HOME}/receiving", "What you receive"),
    (f"{HOME}/deep-linking", "Deep linking"),
    (PROBLEMS, "Errors"),
    (f"{HOME}/changes", "Changes"),
]
INTERNAL_PLACE = (f"{HOME}/internal", "For the main app")
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    )
}

_TEMPLATES = open_templates()
_TEMPLATES.filters |= {"block": render_block, "line": render_line}
_TEMPLATES.globals |= {"colour": colour}


def list_places(*, with_internal: bool) -> list[tuple[str, str]]:
    """What all pages lead to."""
    return [*PUBLIC_PLACES, *([INTERNAL_PLACE] * with_internal)]


def create_docs_router(app: FastAPI, *, with_internal: bool) -> APIRouter:
    """The pages, and the documents that they are made of."""
    router = APIRouter(include_in_schema=False)
    places = list_places(with_internal=with_internal)
    contracts = {f"{HOME}/reference": ("/openapi.json", cache(partial(public_contract, app)))}
    if with_internal:
        internal = cache(partial(internal_contract, app))
        contracts[INTERNAL_PLACE[0]] = ("/openapi-internal.json", internal)

    def serve(path: str, make: Callable[[], str], media_type: str = "text/html") -> None:
        made = cache(make)

        def read() -> Response:
            headers = HEADERS if media_type == "text/html" else None
            return Response(made(), media_type=media_type, headers=headers)

        router.add_api_route(path, read)

    serve(HOME, partial(_show_overview, places))
    for path, (document, contract) in contracts.items():
        serve(document, partial(_write, contract), "application/json")
        serve(path, partial(_show_reference, path, document, contract, places))
    for name in TEXTS:
        serve(f"{HOME}/{name}", partial(_show_text, name, places))
    router.mount(f"{HOME}/samples", StaticFiles(directory=SAMPLES, check_dir=False))
    return router


def _write(contract: Callable[[], dict[str, Any]]) -> str:
    return json.dumps(contract(), ensure_ascii=False, separators=(",", ":"))


def _show_overview(places: list[tuple[str, str]]) -> str:
    return _page("overview.html", HOME, places, version=__version__, samples=_samples("*.*"))


def _samples(names: str) -> list[str]:
    return sorted(each.name for each in SAMPLES.glob(names))


def _show_text(name: str, places: list[tuple[str, str]]) -> str:
    html, sections = render_document((PROJECT / TEXTS[name]).read_text(), ADDRESSES)
    title = dict(places)[f"{HOME}/{name}"]
    return _page("text.html", f"{HOME}/{name}", places, html=html, sections=sections, title=title)


def _show_reference(
    path: str,
    document: str,
    contract: Callable[[], dict[str, Any]],
    places: list[tuple[str, str]],
) -> str:
    groups = group_operations(contract())
    sections = [
        (each["operationId"], each["summary"]) for group in groups for each in group["operations"]
    ]
    samples = {name: _samples(f"{stem}.*") for name, stem in SAMPLES_OF.items()}
    values = {"groups": groups, "document": document, "info": contract()["info"]}
    return _page(
        "reference.html",
        path,
        places,
        sections=sections,
        samples=samples,
        problems=PROBLEMS,
        **values,
    )


def _page(template: str, here: str, places: list[tuple[str, str]], **values: Any) -> str:
    return _TEMPLATES.get_template(template).render(here=here, places=places, **values)
