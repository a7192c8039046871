"""How a dry run is answered (DESIGN R7), whatever was sent."""

from typing import Literal

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from app.api.spark.schemas import UUID_EXAMPLE
from app.deliveries.rehearsal import Rehearsal


class DryRunProblem(BaseModel):
    """Why the request would be refused."""

    code: str = Field(
        title="Code",
        description="As in the answer that refuses it.",
        examples=["assignment_not_found"],
    )
    error: str = Field(
        title="Error",
        description="As in the answer that refuses it.",
        examples=["Quest not found for assignment: essay_1"],
    )
    hint: str | None = Field(
        None,
        title="Hint",
        description="What to do.",
        examples=["Sync the course first, then send the submission again."],
    )
    file: str | None = Field(
        None, title="File", description="The file at fault.", examples=["notes.html"]
    )


class DryRunAnswer(BaseModel):
    """What handing in would do. Nothing was kept, and no key was taken."""

    status: Literal["dry_run"] = Field(
        title="Status", description="Always `dry_run`.", examples=["dry_run"]
    )
    would: Literal["create", "revise", "duplicate", "refuse"] = Field(
        title="Would", description="`refuse`: it would not be answered 200.", examples=["create"]
    )
    problems: list[DryRunProblem] = Field(title="Problems", description="Every one that was found.")
    request_id: str = Field(
        title="Request id", description="Name it when you ask us.", examples=[UUID_EXAMPLE]
    )


def describe_rehearsal(rehearsal: Rehearsal, request_id: str) -> Response:
    problems = [
        DryRunProblem(
            code=fault.code, error=fault.error_text, hint=fault.hint_text, file=fault.file
        )
        for fault in rehearsal.problems
    ]
    answer = DryRunAnswer(
        status="dry_run", would=rehearsal.would, problems=problems, request_id=request_id
    )
    return JSONResponse(answer.model_dump(exclude_none=True))
