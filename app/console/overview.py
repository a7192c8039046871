"""Overview: how it goes, what fails and why, and what is left to do before going live."""

from typing import Annotated

from fastapi import Request
from starlette.responses import Response

from app.api.callers import Caller
from app.console.render import console_router, render
from app.console.visit import READ

router = console_router()


@router.get("")
async def show_overview(request: Request, _: Annotated[Caller, READ]) -> Response:
    return render(request, "overview.html")
