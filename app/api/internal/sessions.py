"""Whether a session is alive, and ending one."""

from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.responses import Response

from app.api.dependencies import Now, Opened, require_service_key
from app.api.internal.schemas import Active, Inactive, Introspection
from app.api.problems import problems
from app.errors import (
    CredentialsInvalidError,
    DatabaseUnavailableError,
    FieldInvalidError,
    NotFoundError,
    OverloadedError,
)
from app.sso.sessions import introspect_token, revoke_session

router = APIRouter(
    prefix="/internal/v1/sessions", tags=["sessions"], dependencies=[Depends(require_service_key)]
)

PROBLEMS = (
    CredentialsInvalidError,
    FieldInvalidError,
    DatabaseUnavailableError,
    OverloadedError,
)


@router.post(
    "/introspect",
    name="introspectSession",
    summary="Ask whether an app token is active",
    description="In the manner of RFC 7662: an inactive token is not explained.",
    responses=problems(*PROBLEMS),
)
async def introspect(asked: Introspection, opened: Opened, now: Now) -> Active | Inactive:
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
    description="Its tokens are inactive from now on. Repeating it changes nothing.",
    status_code=204,
    responses=problems(NotFoundError, *PROBLEMS),
)
async def revoke(session_id: UUID, opened: Opened) -> Response:
    await revoke_session(opened.sessions, session_id)
    return Response(status_code=204)
