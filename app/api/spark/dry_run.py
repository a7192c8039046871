"""How a dry run is answered (DESIGN R7), whatever was sent."""

from typing import Literal

from pydantic import Field
from starlette.responses import JSONResponse, Response

from app import fields
from app.deliveries.rehearsal import Rehearsal
from app.errors import ServiceError


class DryRunProblem(fields.ContractModel):
    """Why the request would be refused."""

    code: fields.ProblemCode = Field(
        description="As in the answer that refuses it.", examples=["assignment_not_found"]
    )
    error: str = Field(
        description="As in the answer that refuses it.",
        examples=["Quest not found for assignment: essay_1"],
    )
    hint: str | None = Field(
        None,
        description="What to do.",
        examples=["Sync the course first, then send the submission again."],
    )
    file: str | None = Field(None, description="The file at fault.", examples=["notes.html"])


class DryRunAnswer(fields.ContractModel):
    """What handing in would do. Nothing was kept, and no key was taken."""

    status: fields.HandedIn = Field(description="Always `dry_run`.", examples=["dry_run"])
    would: Literal["create", "revise", "duplicate", "refuse"] = Field(
        description="`refuse`: it would not be answered 200.", examples=["create"]
    )
    problems: list[DryRunProblem] = Field(description="Every one that was found.", examples=[[]])
    warnings: fields.Warnings
    request_id: fields.RequestId


def describe_problem(problem: ServiceError) -> DryRunProblem:
    return DryRunProblem(
        code=problem.code, error=problem.error_text, hint=problem.hint_text, file=problem.file
    )


def describe_rehearsal(rehearsal: Rehearsal, request_id: str) -> Response:
    answer = DryRunAnswer(
        status="dry_run",
        would=rehearsal.would,
        problems=[describe_problem(problem) for problem in rehearsal.problems],
        warnings=rehearsal.warnings,
        request_id=request_id,
    )
    return JSONResponse(answer.model_dump(exclude_none=True))
