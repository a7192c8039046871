"""What Spark sends and reads, beside a submission and its answer."""

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
