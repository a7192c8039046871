"""What the main app and an operator read."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field

from app.api.paging import NextCursor, PageQuery
from app.text import identifier_text

UUID_EXAMPLE = "0193b5a2-7a5c-7c3e-8d1f-2f4e6a8b0c1d"
LINK_EXAMPLE = "https://files.example.org/evidence-files/0193b5a2/7f3c.png?X-Amz-Signature=…"
MOMENT_EXAMPLE = "2026-11-23T14:30:00Z"
Success = Annotated[
    Literal[True], Field(title="Success", description="Always true.", examples=[True])
]


class Document(BaseModel):
    """The student's evidence document for the task."""

    id: UUID = Field(description="The document.", examples=[UUID_EXAMPLE])
    status: Literal["draft", "completed"] = Field(
        description="A completed document never falls back to draft.", examples=["completed"]
    )


class Block(BaseModel):
    """One evidence block, in the shape of the front end's editor."""

    id: UUID = Field(description="The block.", examples=[UUID_EXAMPLE])
    document_id: UUID = Field(description="Its document.", examples=[UUID_EXAMPLE])
    block_type: Literal["text", "image", "video", "link", "document"] = Field(
        description="Decides the members of `content`.", examples=["image"]
    )
    content: dict[str, Any] = Field(
        description=(
            "text: `text`; image: `url, alt, caption, filename`; video: `url, title, platform`;"
            " link: `url, title, description`; document: `url, title, filename`; every file also"
            " `file_size, content_type`. The `url` of a file is a signed link for 5 minutes."
        ),
        examples=[{"text": "Rain fell on four of seven days."}],
    )
    order_index: int = Field(description="Position, from 0.", examples=[0])
    is_private: bool = Field(description="Hidden from portfolio readers.", examples=[False])
    created_at: datetime = Field(description="When it was written.", examples=[MOMENT_EXAMPLE])
    uploaded_by_user_id: UUID | None = Field(description="By whom.", examples=[UUID_EXAMPLE])
    uploaded_by_role: Literal["student", "advisor", "parent"] = Field(
        description="In which role.", examples=["student"]
    )


class File(BaseModel):
    """A file of a revision."""

    id: UUID = Field(description="The file.", examples=[UUID_EXAMPLE])
    filename: str = Field(description="Its display name.", examples=["rain-gauge.jpg"])
    content_type: str = Field(description="Decided by the content.", examples=["image/jpeg"])
    size_bytes: int = Field(description="In bytes.", examples=[482113])
    sha256: str = Field(
        description="In hexadecimal.", examples=["9f86d081884c7d659a2feaa0c55ad015"]
    )
    url: str = Field(description="A signed link that downloads the file.", examples=[LINK_EXAMPLE])
    url_expires_at: datetime = Field(
        description="Until then the link works.", examples=[MOMENT_EXAMPLE]
    )


class CompletionAnswer(BaseModel):
    """A completed task with its evidence."""

    id: UUID = Field(description="The completion.", examples=[UUID_EXAMPLE])
    user_id: UUID = Field(description="The student.", examples=[UUID_EXAMPLE])
    quest_id: UUID = Field(description="The quest.", examples=[UUID_EXAMPLE])
    task_id: UUID = Field(description="The student's copy of the task.", examples=[UUID_EXAMPLE])
    completed_at: datetime = Field(
        description="When it was first handed in.", examples=[MOMENT_EXAMPLE]
    )
    xp_awarded: int = Field(description="Paid for the task, once.", examples=[100])
    revision: int | None = Field(
        description="The current revision; null if it did not come from Spark.", examples=[1]
    )
    document: Document | None = Field(description="Null when there is no evidence document.")
    blocks: list[Block] = Field(description="In order.")
    files: list[File] = Field(
        description=(
            "As handed in with the current revision, in the order received, also what the student"
            " has hidden or removed since: show others `blocks` that are not private."
        )
    )


class Introspection(BaseModel):
    """An app token to ask about."""

    token: str = Field(
        min_length=1,
        max_length=4096,
        description="An access or refresh token of the main app.",
        examples=["eyJhbGciOiJIUzI1NiJ9.eyJ0eXBlIjoiYWNjZXNzIn0.c2lnbmF0dXJl"],
    )


class Inactive(BaseModel):
    """Not ours, run out, or revoked; which of them is not said."""

    active: Literal[False] = Field(description="Always false.", examples=[False])


class Active(BaseModel):
    """A token whose session is alive."""

    active: Literal[True] = Field(description="Always true.", examples=[True])
    sid: UUID = Field(description="The session.", examples=[UUID_EXAMPLE])
    user_id: UUID = Field(description="The student.", examples=[UUID_EXAMPLE])
    exp: int = Field(description="When the token runs out, Unix seconds.", examples=[1795404874])


SparkId = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(identifier_text)]


class DeliveryQuery(PageQuery):
    """Which deliveries; several filters narrow together."""

    spark_user_id: SparkId | None = Field(
        None, title="Spark user id", description="Of this student.", examples=["student_42"]
    )
    spark_assignment_id: SparkId | None = Field(
        None,
        title="Spark assignment id",
        description="For this assignment.",
        examples=["test_assignment_001"],
    )
    code: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        pattern="^[a-z_]+$",
        title="Code",
        description="Refused with this code.",
        examples=["assignment_not_found"],
    )
    status: Literal["success", "refused"] | None = Field(
        None, title="Status", description="Its outcome.", examples=["refused"]
    )


class DeliveryAnswer(BaseModel):
    """An authentic request of Spark, and what became of it."""

    id: UUID = Field(title="Delivery id", description="The delivery.", examples=[UUID_EXAMPLE])
    route: str = Field(
        title="Route", description="Where it came.", examples=["/spark/webhook/submission"]
    )
    media_type: str = Field(
        title="Media type", description="Of its body.", examples=["application/json"]
    )
    received_at: datetime = Field(
        title="Received at", description="When it came.", examples=[MOMENT_EXAMPLE]
    )
    answered_at: datetime = Field(
        title="Answered at",
        description="When its first outcome was kept.",
        examples=[MOMENT_EXAMPLE],
    )
    replayed_at: datetime | None = Field(
        title="Replayed at",
        description="When it was last processed again; then the outcome is that of the replay.",
        examples=[MOMENT_EXAMPLE],
    )
    status: int = Field(
        ge=200,
        le=599,
        title="Status",
        description="The HTTP status of its outcome.",
        examples=[200],
    )
    code: str | None = Field(
        max_length=64,
        title="Code",
        description="Why it was refused; null for a success.",
        examples=["assignment_not_found"],
    )
    webhook_id: str | None = Field(
        title="Webhook id",
        description="Its `webhook-id`, if it was signed by Standard Webhooks.",
        examples=["msg_2Lh9KRb0pzN4LePd3XiA4v12Axj"],
    )
    body_bytes: int = Field(
        ge=0, title="Body bytes", description="Of its signed text and its files.", examples=[214]
    )
    file_count: int = Field(
        ge=0, title="File count", description="Files that came with it.", examples=[0]
    )
    user_id: UUID | None = Field(
        title="User id",
        description="The student, where that was settled.",
        examples=[UUID_EXAMPLE],
    )
    spark_user_id: str | None = Field(
        max_length=255,
        title="Spark user id",
        description="As it says; null if it could not be read.",
        examples=["student_42"],
    )
    spark_assignment_id: str | None = Field(
        max_length=255,
        title="Spark assignment id",
        description="As it says.",
        examples=["test_assignment_001"],
    )
    spark_course_id: str | None = Field(
        max_length=255,
        title="Spark course id",
        description="As it says.",
        examples=["test_course_001"],
    )
    submission_id: UUID | None = Field(
        title="Submission id",
        description="The handing-in it is part of; null while it was only refused.",
        examples=[UUID_EXAMPLE],
    )
    replayable: bool = Field(
        title="Replayable",
        description=(
            "It is a submission, and its text is kept, and its files if it had any. If not, Spark"
            " must send again."
        ),
        examples=[True],
    )


class DeliveryList(BaseModel):
    """A page of deliveries, newest first."""

    items: list[DeliveryAnswer] = Field(title="Items", description="At most `limit`.")
    next_cursor: NextCursor
