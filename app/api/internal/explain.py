"""Why is this homework missing?"""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.callers import READ
from app.api.dependencies import Opened
from app.api.problems import problems
from app.errors import INTERNAL_PROBLEMS
from app.submissions.explain import explain_homework
from app.submissions.explain_facts import ExplainAnswer, ExplainQuery

router = APIRouter(prefix="/internal/v1", tags=["submissions"], dependencies=[READ])


@router.get(
    "/explain",
    name="explainHomework",
    summary="Explain why a homework is missing",
    description=(
        "Whether the student and the assignment are known, what arrived and what became of it, what"
        " readers see, and in one sentence what to do next. No text, name or address is in it."
    ),
    responses=problems(*INTERNAL_PROBLEMS),
)
async def explain(query: Annotated[ExplainQuery, Query()], opened: Opened) -> ExplainAnswer:
    return await explain_homework(opened.sessions, opened.account_rules.tombstones, query)
