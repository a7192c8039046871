"""What the main app asks and reads of handings-in."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from app.api.internal.activity_schemas import DATE_EXAMPLE, First, Last
from app.api.internal.schemas import MOMENT_EXAMPLE, UUID_EXAMPLE, File, SparkId
from app.api.paging import NextCursor, PageQuery

Outcome = Literal["current", "replaced"]


class SubmissionQuery(PageQuery):
    """Which handings-in; several filters narrow together."""

    user_id: UUID | None = Field(
        None, title="User id", description="Of this student.", examples=[UUID_EXAMPLE]
    )
    spark_user_id: SparkId | None = Field(
        None, title="Spark user id", description="Of this student.", examples=["student_42"]
    )
    spark_assignment_id: SparkId | None = Field(
        None,
        title="Spark assignment id",
        description="For this assignment.",
        examples=["test_assignment_001"],
    )
    quest_id: UUID | None = Field(
        None, title="Quest id", description="In this quest.", examples=[UUID_EXAMPLE]
    )
    received_from: First | None = Field(
        None,
        title="Received from",
        description="ISO 8601 date or moment, UTC unless it says; itself included.",
        examples=[DATE_EXAMPLE],
    )
    received_to: Last | None = Field(
        None,
        title="Received to",
        description="As `received_from`; itself included, a date with its whole day.",
        examples=[DATE_EXAMPLE],
    )
    outcome: Outcome | None = Field(
        None,
        title="Outcome",
        description="`current`: evidence shows it; `replaced`: every other.",
        examples=["current"],
    )


class RevisionFacts(BaseModel):
    """One revision of a completion."""

    id: UUID = Field(title="Submission id", description="This handing-in.", examples=[UUID_EXAMPLE])
    revision: int = Field(
        ge=1,
        title="Revision",
        description="1 for the first handing-in of the completion, then counted up.",
        examples=[1],
    )
    outcome: Outcome = Field(
        title="Outcome",
        description=(
            "`current`: evidence shows it; `replaced`: another is shown, or it came too late to be."
        ),
        examples=["current"],
    )
    submitted_at: datetime = Field(
        title="Submitted at",
        description="When the student handed in, as Spark says, or when it was restored.",
        examples=[MOMENT_EXAMPLE],
    )
    received_at: datetime = Field(
        title="Received at", description="When it was recorded here.", examples=[MOMENT_EXAMPLE]
    )
    replaced_at: datetime | None = Field(
        title="Replaced at",
        description="Since when it is not shown; null for the current one.",
        examples=[MOMENT_EXAMPLE],
    )
    restored_from: UUID | None = Field(
        title="Restored from",
        description="The handing-in whose content it shows again; null for what Spark sent.",
        examples=[UUID_EXAMPLE],
    )


class SubmissionFacts(RevisionFacts):
    """A handing-in, without what the student wrote."""

    completion_id: UUID = Field(
        title="Completion id",
        description="The completion it is a revision of.",
        examples=[UUID_EXAMPLE],
    )
    user_id: UUID = Field(title="User id", description="The student.", examples=[UUID_EXAMPLE])
    quest_id: UUID = Field(title="Quest id", description="The quest.", examples=[UUID_EXAMPLE])
    task_id: UUID = Field(
        title="Task id", description="The student's own copy of the task.", examples=[UUID_EXAMPLE]
    )
    spark_assignment_id: str = Field(
        max_length=255,
        title="Spark assignment id",
        description="What it was handed in for.",
        examples=["test_assignment_001"],
    )
    spark_course_id: str | None = Field(
        max_length=255,
        title="Spark course id",
        description="As Spark named it.",
        examples=["test_course_001"],
    )
    file_count: int = Field(ge=0, title="File count", description="Files it has now.", examples=[2])
    has_text: bool = Field(title="Has text", description="Whether it has a text.", examples=[True])


class SubmissionList(BaseModel):
    """A page of handings-in, newest first."""

    items: list[SubmissionFacts] = Field(title="Items", description="At most `limit`.")
    next_cursor: NextCursor


class Written(BaseModel):
    """What the student wrote, and what Spark said of it."""

    text: str | None = Field(
        title="Text",
        description="What the student wrote.",
        examples=["Rain fell on four of seven days."],
    )
    grade: float | None = Field(
        ge=0,
        title="Grade",
        description="As Spark sent it; never shown as evidence.",
        examples=[95.5],
    )


class RevisionAnswer(RevisionFacts, Written):
    """One revision, with its files."""

    files: list[File] = Field(title="Files", description="In the order received.")


class SubmissionDetail(SubmissionFacts, Written):
    """A handing-in, and every revision of its completion."""

    revisions: list[RevisionAnswer] = Field(
        title="Revisions", description="In the order of their numbers; itself among them."
    )
