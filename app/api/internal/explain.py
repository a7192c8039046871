"""Why is this homework missing?"""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.callers import READ
from app.api.dependencies import Opened
from app.api.internal.explain_schemas import ExplainAnswer, ExplainQuery
from app.api.problems import problems
from app.errors import INTERNAL_PROBLEMS
from app.submissions.explain import explain_homework
from app.submissions.explain_facts import Asked
from app.submissions.findings import judge

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
    asked = Asked(query.spark_user_id, query.spark_assignment_id, query.spark_course_id)
    facts = await explain_homework(opened.sessions, opened.account_rules.tombstones, asked)
    summary, step = judge(facts)
    said = vars(asked) | vars(facts) | {"summary": summary, "next": step}
    return ExplainAnswer.model_validate(said, from_attributes=True)
