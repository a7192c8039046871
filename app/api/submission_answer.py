"""The answer to a submission that is kept: to Spark, and to an operator who replays it."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from app.submissions.record import Recorded

UUID_EXAMPLE = "0193b5a2-7a5c-7c3e-8d1f-2f4e6a8b0c1d"


class SubmittedFile(BaseModel):
    """A file as it is kept."""

    name: str = Field(
        title="Name",
        description="The display name; the extension of the detected type may be added.",
        examples=["rain-gauge.jpg"],
    )
    size: int = Field(title="Size", description="In bytes.", examples=[482113])
    content_type: str = Field(
        title="Content type",
        description="Decided by the content, not by the sender's label.",
        examples=["image/jpeg"],
    )
    sha256: str = Field(
        title="SHA-256",
        description="Of the bytes as received, in hexadecimal.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )


class SubmissionAnswer(BaseModel):
    """The submission is kept. `completion_id` is the same for every revision and repetition."""

    status: Literal["success"] = Field(
        title="Status", description="Always `success`.", examples=["success"]
    )
    completion_id: UUID = Field(
        title="Completion id",
        description="The student's completion of this task.",
        examples=[UUID_EXAMPLE],
    )
    submission_id: UUID = Field(
        title="Submission id", description="This handing-in.", examples=[UUID_EXAMPLE]
    )
    revision: int = Field(
        title="Revision", description="1 for the first handing-in, then counted up.", examples=[1]
    )
    duplicate: bool = Field(
        title="Duplicate",
        description="True when this content was there already and nothing has changed.",
        examples=[False],
    )
    quest_id: UUID = Field(title="Quest id", description="Optio's quest.", examples=[UUID_EXAMPLE])
    task_id: UUID = Field(
        title="Task id", description="The student's own copy of the task.", examples=[UUID_EXAMPLE]
    )
    xp_awarded: int = Field(
        title="XP awarded", description="By this request; a task pays once.", examples=[100]
    )
    files: list[SubmittedFile] = Field(
        title="Files", description="In the order they were received."
    )
    request_id: str = Field(
        title="Request id", description="Name it when you ask us.", examples=[UUID_EXAMPLE]
    )


def answer_submission(recorded: Recorded, request_id: str) -> Response:
    """A SubmissionAnswer; a header says whether it is the one that was given before."""
    return JSONResponse(
        recorded.body | {"request_id": request_id},
        headers={"Idempotent-Replayed": "true"} if recorded.is_replay else None,
    )
