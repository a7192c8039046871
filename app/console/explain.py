"""Explain: why a homework is missing, step by step, and what to do next."""

from typing import Any

from fastapi import Request
from starlette.responses import Response

from app.accounts.mask_addresses import mask_addresses
from app.api.callers import Caller
from app.api.dependencies import Opened, Resources, read_fields
from app.console.deliveries import read_query
from app.console.render import console_router, render
from app.console.visit import Reader
from app.errors import FieldInvalidError
from app.fields import ContractModel, OfRequest, SparkId
from app.grades.list_grades import GradeFilter, list_grades
from app.submissions.explain import explain_homework
from app.submissions.explain_facts import ExplainAnswer, Homework
from app.submissions.explain_request import explain_request
from app.submissions.list_downloads import DownloadFilter, list_downloads

FILES, GRADES = 20, 5  # at most

router = console_router()


class Question(ContractModel):
    """Whose homework, for what; or which request."""

    student: SparkId | None = None
    assignment: SparkId | None = None
    course: SparkId | None = None
    request: OfRequest = None


@router.get("/explain")
async def explain(request: Request, opened: Opened, caller: Reader) -> Response:
    asked = read_query(request.query_params, Question.model_fields)
    answer = await _answer(opened, read_fields(Question, asked), caller)
    more = await _look_further(opened, answer, caller) if answer else {}
    return render(request, "explain.html", asked=asked, answer=answer, **more)


async def _answer(opened: Resources, asked: Question, caller: Caller) -> ExplainAnswer | None:
    """None before anything is asked. Raises FieldInvalidError for half a question."""
    tombstones = opened.account_rules.tombstones
    if asked.request:
        return await explain_request(opened.sessions, tombstones, asked.request, caller=caller.name)
    if asked.student is None and asked.assignment is None:
        return None
    if asked.student is None or asked.assignment is None:
        missing = "student" if asked.student is None else "assignment"
        raise FieldInvalidError(name=missing, hint="Name both a student and an assignment.")
    homework = Homework(
        spark_user_id=asked.student,
        spark_assignment_id=asked.assignment,
        spark_course_id=asked.course,
    )
    return await explain_homework(opened.sessions, tombstones, homework, caller=caller.name)


async def _look_further(opened: Resources, answer: ExplainAnswer, caller: Caller) -> dict[str, Any]:
    """The steps of each topic, and what happens behind the answer: files by URL, the grade."""
    user_id = answer.link.user_id if answer.link else None
    downloads, grades = [], []
    if answer.submission:
        of_it = DownloadFilter(submission_id=answer.submission.id)
        downloads = await list_downloads(opened.sessions, of_it, None, FILES, caller=caller.name)
    if user_id and answer.spark_assignment_id:
        of_them = GradeFilter(user_id=user_id, spark_assignment_id=answer.spark_assignment_id)
        grades = await list_grades(opened.sessions, of_them, None, GRADES, caller=caller.name)
    newest = answer.delivery or next(iter(answer.deliveries), None)
    return {
        "newest": newest,
        "downloads": downloads,
        "grades": grades,
        "addresses": await mask_addresses(opened.sessions, [user_id]),
    }
