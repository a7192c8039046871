"""Whether a session is alive, and ending one."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, ValidationError
from starlette.responses import Response

from app.api.callers import READ, WRITE, Caller
from app.api.dependencies import Now, Opened, read_json
from app.api.problems import json_body, problems
from app.errors import INTERNAL_PROBLEMS, JSON_PROBLEMS, FieldInvalidError, NotFoundError
from app.fields import Id, UserId
from app.sso.sessions import introspect_token, revoke_session

router = APIRouter(prefix="/internal/v1/sessions", tags=["sessions"])

MAX_BODY_BYTES = 64 * 1024


class Introspection(BaseModel):
    """An app token to ask about."""

    token: str = Field(
        min_length=1,
        max_length=4096,
        description="An access or refresh token of the main app.",
        examples=["eyJhbGciOiJIUzI1NiJ9.eyJ0eXBlIjoiYWNjZXNzIn0.c2lnbmF0dXJl"],
    )


class Inactive(BaseModel):
    """Not ours, run out, or revoked; which of them is not said."""

    active: Literal[False] = Field(description="Always false.", examples=[False])


class Active(BaseModel):
    """A token whose session is alive."""

    active: Literal[True] = Field(description="Always true.", examples=[True])
    sid: Id = Field(description="The session.")
    user_id: UserId
    exp: int = Field(description="When the token runs out, Unix seconds.", examples=[1795404874])


@router.post(
    "/introspect",
    name="introspectSession",
    dependencies=[READ],
    summary="Ask whether an app token is active",
    description="In the manner of RFC 7662: an inactive token is not explained.",
    responses=problems(*INTERNAL_PROBLEMS, *JSON_PROBLEMS),
    openapi_extra=json_body(Introspection),
)
async def introspect(request: Request, opened: Opened, now: Now) -> Active | Inactive:
    # Not a parameter: FastAPI would read a body of any size before it asks for the key.
    try:
        asked = Introspection.model_validate(await read_json(request, max_bytes=MAX_BODY_BYTES))
    except ValidationError:
        raise FieldInvalidError(name="token") from None
    claims = await introspect_token(
        opened.sessions, asked.token, keys=opened.app_token_keys, now=now
    )
    if claims is None:
        return Inactive(active=False)
    return Active(active=True, sid=claims.sid, user_id=claims.user_id, exp=claims.exp)


@router.post(
    "/{session_id}/revoke",
    name="revokeSession",
    summary="End a session",
    description="Its tokens are inactive from now on. It may be repeated, and is in the audit log.",
    status_code=204,
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def revoke(session_id: UUID, opened: Opened, caller: Annotated[Caller, WRITE]) -> Response:
    await revoke_session(opened.sessions, session_id, caller=caller.name)
    return Response(status_code=204)
