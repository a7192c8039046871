"""The front end redeems the one-time code for app tokens (CONTRACT 4)."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from app.api.dependencies import parse_json, read_body, resources_of
from app.api.described import json_body
from app.api.failures import is_limited
from app.api.problem_groups import TOKEN_PROBLEMS
from app.api.problems import problems
from app.api.spark.schemas import CodeExchange, TokenAnswer
from app.clock import new_id, utc_now
from app.errors import CodeMissingError, FieldInvalidError, SsoNotConfiguredError
from app.settings import Settings
from app.sso.app_tokens import AppTokens
from app.sso.redeem import redeem_code, refuse_code
from app.text import is_clean

router = APIRouter(tags=["sign-in"])

MAX_CODE_CHARACTERS = 512

COOKIES: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "Set-Cookie": {
                "description": "Twice: `access_token` and `refresh_token`, HttpOnly.",
                "schema": {"type": "string", "examples": ["access_token=eyJ…; HttpOnly; Path=/"]},
            }
        }
    }
}


@router.post(
    "/spark/token",
    name="exchangeCode",
    summary="Exchange the one-time code for app tokens",
    description=(
        "Called by the Optio front end, cross-origin with credentials. The tokens come in the body"
        " and as the HttpOnly cookies `access_token` and `refresh_token`, whose Max-Age is the"
        " token's own life. Of several exchanges of one code exactly one succeeds; a later one"
        " also revokes the session of the first."
    ),
    response_model=TokenAnswer,
    responses=COOKIES | problems(*TOKEN_PROBLEMS),
    openapi_extra=json_body(CodeExchange),
)
async def exchange_code(request: Request) -> Response:
    opened = resources_of(request)
    secret = _parse_code(request, await read_body(request))
    if opened.issuer is None:
        raise SsoNotConfiguredError
    tokens = await redeem_code(
        opened.sessions, secret, issuer=opened.issuer, session_id=new_id(), now=utc_now()
    )
    if tokens is None:
        raise await refuse_code(
            opened.sessions,
            secret,
            revoke_on_reuse=opened.settings.code_reuse_revokes_session,
            visit=new_id(),
            request_id=request.state.request_id,
            leaves_trace=not is_limited(request),
        )
    return _answer(opened.settings, tokens)


def _parse_code(request: Request, body: bytes) -> str:
    if not body:
        raise CodeMissingError
    content = parse_json(request, body)
    code = content.get("code") if isinstance(content, dict) else None
    if code is None or code == "":
        raise CodeMissingError
    if not isinstance(code, str) or len(code) > MAX_CODE_CHARACTERS or not is_clean(code):
        raise FieldInvalidError(name="code")
    return code


def _answer(settings: Settings, tokens: AppTokens) -> Response:
    response = JSONResponse(
        {
            "user_id": str(tokens.user_id),
            "app_access_token": tokens.access,
            "app_refresh_token": tokens.refresh,
            "message": "Authentication successful",
        }
    )
    cookies = (
        ("access_token", tokens.access, settings.access_token_seconds),
        ("refresh_token", tokens.refresh, settings.refresh_token_seconds),
    )
    for name, token, seconds in cookies:
        response.set_cookie(
            name,
            token,
            max_age=seconds,
            path="/",
            httponly=True,
            secure=settings.cookies_are_secure,
            samesite=settings.cookies_same_site,
        )
    return response
