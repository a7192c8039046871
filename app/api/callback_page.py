"""The front end's callback, while nobody has a front end yet: the code that a sign-in gave, and the
command that redeems it.

Development alone: with FRONTEND_URL, and in production, the route is not there.
"""

import re

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from app.api.style import POLICY, open_templates
from app.errors import FieldInvalidError
from app.sso.authorization_codes import CODE_LIFE

CALLBACK = "/auth/callback"
CODE = re.compile(r"[\w-]{43}", re.ASCII)  # of anything else no command is made

router = APIRouter(include_in_schema=False)
_PAGE = open_templates().get_template("callback.html")


@router.get(CALLBACK)
async def show_code(request: Request, code: str = "") -> HTMLResponse:
    if not CODE.fullmatch(code):
        raise FieldInvalidError(name="code", hint="A sign-in leads here, with a code.")
    service = str(request.base_url).rstrip("/")
    page = _PAGE.render(code=code, service=service, seconds=CODE_LIFE.seconds)
    return HTMLResponse(page, headers={"content-security-policy": POLICY})
