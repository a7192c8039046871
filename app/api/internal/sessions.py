"""Whether a session is alive, and ending one."""

from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from app.api.callers import READ, Writer
from app.api.dependencies import (
    FORM,
    Now,
    Opened,
    media_type,
    parse_json,
    read_body,
    read_fields,
)
from app.api.described import json_body
from app.api.problem_groups import INTERNAL_PROBLEMS, JSON_PROBLEMS
from app.api.problems import problems
from app.errors import NotFoundError
from app.fields import ContractModel, NullableId
from app.sso.app_tokens import TokenUse
from app.sso.sessions import introspect_token, revoke_session

router = APIRouter(prefix="/internal/v1/sessions", tags=["sessions"])

REFRESH = "refresh_token"


class TokenToIntrospect(ContractModel):
    """An app token to ask about. Unknown fields are ignored."""

    token: str = Field(
        min_length=1,
        max_length=4096,
        description="An access or refresh token of the main app.",
        examples=["eyJhbGciOiJIUzI1NiJ9.eyJ0eXBlIjoiYWNjZXNzIn0.c2lnbmF0dXJl"],
    )
    token_type_hint: str | None = Field(
        None,
        description=(
            "`refresh_token`: it may be a refresh token, which is inactive otherwise. Anything else"
            " changes nothing."
        ),
        examples=["access_token"],
    )


class Introspection(ContractModel):
    """Of a token that is foreign, run out or revoked it says `active` alone, and not which."""

    active: bool = Field(description="Whether it lets its user in.", examples=[True])
    token_use: TokenUse | None = Field(
        None,
        description="What it is for. Only an access token lets somebody in.",
        examples=["access"],
    )
    sid: NullableId = Field(
        None, title="Session id", description="The session; absent for the main app's own."
    )
    sub: NullableId = Field(None, title="Subject", description="The student.")
    user_id: NullableId = Field(None, description="The student again.")
    iat: int | None = Field(
        None, title="Issued at", description="In Unix seconds.", examples=[1795401274]
    )
    exp: int | None = Field(
        None,
        title="Expiry",
        description="When the token runs out, Unix seconds.",
        examples=[1795404874],
    )


@router.post(
    "/introspect",
    name="introspectSession",
    dependencies=[READ],
    response_model_exclude_none=True,
    summary="Ask whether an app token is active",
    description=(
        "As RFC 7662 says, and so by a form as well: an inactive token is not explained. A refresh"
        " token is active only for who asks with `token_type_hint` `refresh_token`."
    ),
    responses=problems(*INTERNAL_PROBLEMS, *JSON_PROBLEMS),
    openapi_extra=json_body(TokenToIntrospect),  # of two bodies generators make bad types
)
async def introspect(request: Request, opened: Opened, now: Now) -> Introspection:
    asked = await _read_question(request)
    claims = await introspect_token(
        opened.sessions,
        asked.token,
        may_be_refresh=asked.token_type_hint == REFRESH,
        keys=opened.app_token_keys,
        now=now,
    )
    if claims is None:
        return Introspection(active=False)
    return Introspection(
        active=True,
        token_use=claims.type,
        sid=claims.sid,
        sub=claims.user_id,
        user_id=claims.user_id,
        iat=claims.iat,
        exp=claims.exp,
    )


async def _read_question(request: Request) -> TokenToIntrospect:
    """Not a parameter: FastAPI would read a body of any size before it asks for the key."""
    body = await read_body(request)
    content = _form(body) if media_type(request) == FORM else parse_json(request, body)
    return read_fields(TokenToIntrospect, content)


def _form(body: bytes) -> dict[str, Any]:
    """A field that comes twice is a list, and so no text."""
    fields = parse_qs(body.decode("latin-1"), keep_blank_values=True)
    return {name: values if len(values) > 1 else values[0] for name, values in fields.items()}


@router.post(
    "/{session_id}/revoke",
    name="revokeSession",
    summary="End a session",
    description=(
        "Its tokens are inactive from now on, and its user is logged out of the main app. It may be"
        " repeated, and is in the audit log."
    ),
    status_code=204,
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def revoke(session_id: UUID, opened: Opened, caller: Writer) -> Response:
    await revoke_session(opened.sessions, session_id, caller=caller.name)
    return Response(status_code=204)
