"""What a student has completed, and one completion with its evidence, for the main app."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from app.api.callers import Reader
from app.api.dependencies import Now, Opened
from app.api.paging import LINKED, ListPage, PageQuery, Pages
from app.api.problem_groups import INTERNAL_PROBLEMS
from app.api.problems import problems
from app.errors import NotFoundError
from app.evidence.completions import CompletionAnswer, CompletionFacts, get_completion
from app.evidence.list_completions import CompletionFilter, list_completions

router = APIRouter(prefix="/internal/v1/completions", tags=["completions"])


class CompletionQuery(CompletionFilter, PageQuery):
    """Whose completions; the filters narrow together."""


class CompletionList(ListPage[CompletionFacts]):
    """A page of completions."""


@router.get(
    "",
    name="listCompletions",
    summary="List a student's completions",
    description=(
        "Handed in from Spark, or completed in the main app; without texts and files. Those from"
        " Spark come newest first; native ones have no order of time, as their ids have none."
    ),
    responses=LINKED | problems(*INTERNAL_PROBLEMS),
)
async def read_completions(
    query: Annotated[CompletionQuery, Query()], opened: Opened, pages: Pages, caller: Reader
) -> CompletionList:
    return CompletionList(
        **await pages.read(
            query, partial(list_completions, opened.sessions, query, caller=caller.name)
        )
    )


@router.get(
    "/{completion_id}",
    name="getCompletion",
    summary="Read a completion",
    description=(
        "Evidence blocks in the editor's shapes, and files with signed links. Each reading is kept"
        " in the audit log."
    ),
    responses=problems(NotFoundError, *INTERNAL_PROBLEMS),
)
async def read_completion(
    completion_id: UUID, opened: Opened, now: Now, caller: Reader
) -> CompletionAnswer:
    return await get_completion(
        opened.sessions, opened.bucket, completion_id, caller=caller.name, now=now
    )
