"""System: whether it can work, what it runs on, who may call, and how long what is kept."""

from typing import Annotated

from fastapi import Request
from starlette.responses import Response

from app.api.callers import Caller
from app.console.render import console_router, render
from app.console.visit import READ

router = console_router()


@router.get("/system")
async def show_system(request: Request, _: Annotated[Caller, READ]) -> Response:
    return render(request, "system.html")
