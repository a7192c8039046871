"""What Spark sends and reads, beside the submission's own model (`submissions.message`)."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

UUID_EXAMPLE = "0193b5a2-7a5c-7c3e-8d1f-2f4e6a8b0c1d"


class CodeExchange(BaseModel):
    """The one-time code from the redirect."""

    code: str = Field(
        title="Authorization code",
        description="The `code` of the redirect; valid for 60 s, once.",
        min_length=1,
        max_length=512,
        examples=["Wq3ZtY0mB1nC5vX8kLpR2sT4uV6wE7aG9hJ0dF1iK3o"],
    )


class TokenAnswer(BaseModel):
    """The app tokens of a new session. The same tokens are set as cookies."""

    user_id: UUID = Field(
        title="User id", description="The student's Optio user id.", examples=[UUID_EXAMPLE]
    )
    app_access_token: str = Field(
        title="Access token",
        description="JWT for the main app's API, 1 hour by default.",
        examples=["eyJhbGciOiJIUzI1NiJ9.eyJ0eXBlIjoiYWNjZXNzIn0.c2lnbmF0dXJl"],
    )
    app_refresh_token: str = Field(
        title="Refresh token",
        description="JWT for the main app's refresh route, 30 days by default.",
        examples=["eyJhbGciOiJIUzI1NiJ9.eyJ0eXBlIjoicmVmcmVzaCJ9.c2lnbmF0dXJl"],
    )
    message: Literal["Authentication successful"] = Field(
        title="Message", description="For people.", examples=["Authentication successful"]
    )


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
        title="Would", description="`refuse` exactly if there are problems.", examples=["create"]
    )
    problems: list[DryRunProblem] = Field(title="Problems", description="Every one that was found.")
    request_id: str = Field(
        title="Request id", description="Name it when you ask us.", examples=[UUID_EXAMPLE]
    )
