"""The answer to a submission that is kept: to Spark, and to an operator who replays it."""

from typing import Any, Literal

from pydantic import Field
from starlette.responses import JSONResponse, Response

from app import fields, metrics
from app.submissions.record import SubmissionOutcome


class SubmittedFile(fields.ContractModel):
    """A file as it is kept."""

    name: str = Field(
        description="The display name; the extension of the detected type may be added.",
        examples=["rain-gauge.jpg"],
    )
    size: int | None = Field(
        description="In bytes; null of a file by URL that did not say.", examples=[482113]
    )
    content_type: str | None = Field(
        description="Decided by the content, not by the sender's label; null until it is here.",
        examples=["image/jpeg"],
    )
    sha256: str | None = Field(
        title="SHA-256",
        description="Of the bytes as received, in hexadecimal; null as `size`.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    state: Literal["pending", "stored"] = Field(
        "stored", description="`pending`: a file by URL, still to be fetched.", examples=["stored"]
    )


class SubmissionAnswer(fields.ContractModel):
    """The submission is kept. `completion_id` is the same for every revision and repetition."""

    status: fields.HandedIn = Field(description="Always `success`.", examples=["success"])
    completion_id: fields.Id = Field(description="The student's completion of this task.")
    submission_id: fields.Id = Field(description="This handing-in.")
    revision: int = Field(description="1 for the first handing-in, then counted up.", examples=[1])
    duplicate: bool = Field(
        description="True when this content was there already and nothing has changed.",
        examples=[False],
    )
    quest_id: fields.Id = Field(description="Optio's quest.")
    task_id: fields.TaskId
    xp_awarded: int = Field(
        title="XP awarded", description="By this request; a task pays once.", examples=[100]
    )
    files: list[SubmittedFile] = Field(description="In the order they were received.")
    warnings: fields.Warnings
    request_id: fields.RequestId


REPLAYED: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "Idempotent-Replayed": {
                "description": "`true` on the answer that this message was given before.",
                "schema": {"type": "string", "examples": ["true"]},
            }
        }
    }
}


def answer_submission(recorded: SubmissionOutcome, request_id: str) -> Response:
    """A SubmissionAnswer; a header says whether it is the one that was given before."""
    body = recorded.body
    new = "created" if body["revision"] == 1 else "revised"
    metrics.KEPT["duplicate" if body["duplicate"] else new].inc()
    return JSONResponse(
        body | {"request_id": request_id},
        headers={"Idempotent-Replayed": "true"} if recorded.is_replay else None,
    )
