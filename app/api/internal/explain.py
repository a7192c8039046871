"""Why is this homework missing? What became of this request?"""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.callers import Reader
from app.api.dependencies import Opened
from app.api.problem_groups import INTERNAL_PROBLEMS
from app.api.problems import problems
from app.errors import FieldInvalidError
from app.submissions.explain import explain_homework
from app.submissions.explain_facts import ExplainAnswer, ExplainQuery, Homework
from app.submissions.explain_request import explain_request

router = APIRouter(prefix="/internal/v1", tags=["submissions"])

EITHER = "Send request_id alone, or spark_user_id and spark_assignment_id."


@router.get(
    "/explain",
    name="explainHomework",
    summary="Explain why a homework is missing",
    description=(
        "Whether the student and the assignment are known, what arrived and what became of it, what"
        " readers see, and in one sentence what to do next. With `request_id` alone it says this of"
        " the delivery whose answer named that id; without such a delivery, what is kept of its"
        " failure. No text, name or address is in it."
    ),
    responses=problems(*INTERNAL_PROBLEMS),
)
async def explain(
    query: Annotated[ExplainQuery, Query()], opened: Opened, caller: Reader
) -> ExplainAnswer:
    sessions, tombstones = opened.sessions, opened.account_rules.tombstones
    if query.request_id is None:
        homework = _homework(query)
        return await explain_homework(sessions, tombstones, homework, caller=caller.name)
    if query.model_fields_set != {"request_id"}:
        raise FieldInvalidError(name="request_id", hint=EITHER)
    return await explain_request(sessions, tombstones, query.request_id, caller=caller.name)


def _homework(query: ExplainQuery) -> Homework:
    """Raises FieldInvalidError for the first id that is missing."""
    for name in ("spark_user_id", "spark_assignment_id"):
        if getattr(query, name) is None:
            raise FieldInvalidError(name=name, hint=EITHER)
    return Homework.model_validate(query.model_dump(exclude={"request_id"}))
