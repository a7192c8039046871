"""How a dry run is answered (DESIGN R7), whatever was sent."""

from typing import Literal

from pydantic import Field
from starlette.responses import JSONResponse, Response

from app import fields
from app.deliveries.rehearsal import Rehearsal


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


def describe_rehearsal(rehearsal: Rehearsal, request_id: str) -> Response:
    problems = [
        DryRunProblem(
            code=fault.code, error=fault.error_text, hint=fault.hint_text, file=fault.file
        )
        for fault in rehearsal.problems
    ]
    answer = DryRunAnswer(
        status="dry_run",
        would=rehearsal.would,
        problems=problems,
        warnings=rehearsal.warnings,
        request_id=request_id,
    )
    return JSONResponse(answer.model_dump(exclude_none=True))
