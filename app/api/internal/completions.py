"""One completion with its evidence, for the main app."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from app.api.callers import READ, Caller
from app.api.dependencies import Now, Opened
from app.api.problems import problems
from app.errors import INTERNAL_PROBLEMS, NotFoundError
from app.evidence.completions import CompletionAnswer, get_completion

router = APIRouter(prefix="/internal/v1", tags=["completions"])


@router.get(
    "/completions/{completion_id}",
    name="getCompletion",
    summary="Read a completion",
    description=(
        "Evidence blocks in the editor's shapes, and files with signed links. Each reading is kept"
        " in the audit log."
    ),
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def read_completion(
    completion_id: UUID, opened: Opened, now: Now, caller: Annotated[Caller, READ]
) -> CompletionAnswer:
    return await get_completion(
        opened.sessions, opened.bucket, completion_id, caller=caller.name, now=now
    )
