"""The student's browser arrives from Spark with a launch token and leaves with a one-time code."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import JSONResponse, RedirectResponse, Response

from app.api.callback_page import CALLBACK
from app.api.dependencies import (
    FORM,
    Now,
    Opened,
    RequestId,
    Resources,
    read_form,
    resources_of,
)
from app.api.described import request_body
from app.api.problem_groups import BODY_PROBLEMS, SSO_PROBLEMS
from app.api.problems import problems
from app.api.spark.delivery import DryRun
from app.api.spark.launch_dry_run import LaunchDryRun, describe_launch
from app.clock import new_id, utc_now
from app.errors import (
    LaunchTokenInvalidError,
    LaunchTokenMissingError,
    MediaTypeUnsupportedError,
    RequestInvalidError,
    SsoNotConfiguredError,
)
from app.fields import ContractModel
from app.sso.diagnose_launch import diagnose_launch
from app.sso.launch_token import LaunchClaims, verify_launch_token
from app.sso.rehearse_sign_in import rehearse_sign_in
from app.sso.sign_in import enrol_claimed, sign_in

router = APIRouter(tags=["sign-in"])

MAX_QUERY_TOKEN = 16 * 1024

DESCRIPTION = """\
The launch token is a JWT, HS256 only, signed with the SSO secret as literal text; make a new one
for each click.

| claim | | |
|---|---|---|
| `sub` | required | Spark's user id, text or integer |
| `email` | required | may be empty; then the account gets an address that reaches nobody |
| `iat`, `exp` | required | Unix seconds, at most 10 minutes apart |
| `given_name`, `family_name` | | refreshed at every sign-in, if Spark made the account |
| `role` | | absent or `student` |
| `courses` | | Spark course ids |
| `jti` | | makes the token's single use explicit, for this `sub` |

A token may be used again until its code was redeemed; each use replaces the code."""

LAUNCH_EXAMPLE = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl"

# Read by the route itself: a missing one is answered with a page of ours, not by the framework.
TOKEN_PARAMETER = {
    "name": "token",
    "in": "query",
    "required": True,
    "description": "At most 16 KiB; send a longer one by POST.",
    "schema": {
        "type": "string",
        "title": "Launch token",
        "minLength": 1,
        "maxLength": MAX_QUERY_TOKEN,
        "examples": [LAUNCH_EXAMPLE],
    },
}


class LaunchForm(ContractModel):
    """What the student's browser posts."""

    token: str = Field(
        min_length=1,
        title="Launch token",
        description="The body may have 64 KiB.",
        examples=[LAUNCH_EXAMPLE],
    )


REDIRECT: dict[int | str, dict[str, Any]] = {
    302: {
        "description": "To `{FRONTEND_URL}/auth/callback?code=…`; the code lives 60 s, once.",
        "headers": {
            "Location": {
                "description": "The front end's callback with the one-time code.",
                "schema": {"type": "string", "format": "uri"},
                "example": "https://app.example.org/auth/callback?code=Wq3ZtY0mB1nC5vX8",
            }
        },
    }
}


@router.get(
    "/spark/sso",
    name="signIn",
    summary="Sign a student in",
    description=DESCRIPTION,
    status_code=302,
    response_class=RedirectResponse,
    responses={**REDIRECT, **problems(*SSO_PROBLEMS)},
    openapi_extra={"parameters": [TOKEN_PARAMETER]},
)
async def sign_in_by_query(request: Request) -> Response:
    tokens = request.query_params.getlist("token")
    if len(tokens) > 1:
        raise RequestInvalidError(hint="Send one token parameter.")
    if tokens and len(tokens[0]) > MAX_QUERY_TOKEN:
        raise LaunchTokenInvalidError(hint="The token is longer than 16 KiB: send it by POST.")
    return await _redirect(resources_of(request), tokens[0] if tokens else None, utc_now())


@router.post(
    "/spark/sso",
    name="signInByForm",
    summary="Sign a student in, with a long token",
    description=DESCRIPTION,
    status_code=302,
    response_class=RedirectResponse,
    responses={
        200: {"description": "With `dry_run=true`.", "model": LaunchDryRun},
        **REDIRECT,
        **problems(*SSO_PROBLEMS, *BODY_PROBLEMS, MediaTypeUnsupportedError),
    },
    openapi_extra=request_body({FORM: LaunchForm}),
)
async def sign_in_by_form(
    request: Request, opened: Opened, now: Now, request_id: RequestId, *, dry_run: DryRun = False
) -> Response:
    tokens = (await read_form(request)).get("token", [])
    if len(tokens) > 1:
        raise RequestInvalidError(hint="Send one token field.")
    token = tokens[0] if tokens else None
    if dry_run:
        return await _rehearse(opened, token, now, request_id)
    return await _redirect(opened, token, now)


async def _redirect(opened: Resources, token: str | None, now: datetime) -> Response:
    settings = opened.settings
    claims = await _read_launch(opened, token, now)
    user_id, code = await sign_in(
        opened.sessions,
        claims,
        now=now,
        new_id=new_id,
        rules=opened.account_rules,
    )
    await enrol_claimed(
        opened.sessions,
        user_id,
        claims,
        enrol_all=settings.sso_enrol_all,
        now=now,
        new_id=new_id,
    )
    front_end = "" if settings.plays_front_end else settings.frontend_url
    return RedirectResponse(f"{front_end}{CALLBACK}?code={code}", status_code=302)


async def _rehearse(
    opened: Resources, token: str | None, now: datetime, request_id: str
) -> Response:
    claims = await _read_launch(opened, token, now)
    account, refusals, found = await rehearse_sign_in(
        opened.sessions, claims, now=now, new_id=new_id, rules=opened.account_rules
    )
    answer = describe_launch(claims, account, refusals, found, request_id)
    return JSONResponse(answer.model_dump(mode="json"))


async def _read_launch(opened: Resources, token: str | None, now: datetime) -> LaunchClaims:
    settings = opened.settings
    if not opened.launch_keys:
        raise SsoNotConfiguredError
    if not token:
        raise LaunchTokenMissingError
    try:
        claims = verify_launch_token(token, keys=opened.launch_keys, now=now)
    except LaunchTokenInvalidError:
        hint = diagnose_launch(
            token, secrets=settings.sso_secrets, webhook_secrets=settings.webhook_secrets
        )
        raise LaunchTokenInvalidError(hint=hint) from None
    await opened.limits.count_success(
        "/spark/sso", claims.spark_user_id, per_minute=settings.rate_limit_sso
    )
    return claims
