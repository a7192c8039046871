"""Why a homework is missing: what is asked and what is answered."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.api.internal.schemas import MOMENT_EXAMPLE, UUID_EXAMPLE, DeliveryAnswer, SparkId
from app.api.internal.submission_schemas import SubmissionFacts


class ExplainQuery(BaseModel):
    """Whose homework, for what. Unknown parameters are refused."""

    model_config = ConfigDict(extra="forbid")

    spark_user_id: SparkId = Field(
        title="Spark user id", description="The student.", examples=["student_42"]
    )
    spark_assignment_id: SparkId = Field(
        title="Spark assignment id",
        description="The assignment.",
        examples=["test_assignment_001"],
    )
    spark_course_id: SparkId | None = Field(
        None,
        title="Spark course id",
        description="Where several courses use the assignment id.",
        examples=["test_course_001"],
    )


class LinkAnswer(BaseModel):
    """Whose account it is."""

    found: bool = Field(title="Found", description="Whether the student is known.", examples=[True])
    user_id: UUID | None = Field(
        title="User id", description="The student's account.", examples=[UUID_EXAMPLE]
    )
    active: bool = Field(
        title="Active", description="Whether homework is taken from it.", examples=[True]
    )
    reason: (
        Literal["user_not_found", "erased", "paused", "deletion_pending", "not_a_student"] | None
    ) = Field(title="Reason", description="Why it is not active.", examples=["paused"])
    erased: bool = Field(
        title="Erased", description="Whether the student was ever erased.", examples=[False]
    )


class AssignmentAnswer(BaseModel):
    """What the assignment means here."""

    found: bool = Field(title="Found", description="Whether that is known.", examples=[True])
    code: str | None = Field(
        title="Code", description="Why it is not.", examples=["assignment_ambiguous"]
    )
    quest_id: UUID | None = Field(
        title="Quest id", description="Its quest.", examples=[UUID_EXAMPLE]
    )
    quest_title: str | None = Field(
        title="Quest title", description="The quest's title.", examples=["Weather"]
    )
    task_template_id: UUID | None = Field(
        title="Task template id",
        description="Null where the quest's first task is meant.",
        examples=[UUID_EXAMPLE],
    )
    retired: bool = Field(
        title="Retired", description="Whether Spark no longer names it.", examples=[False]
    )


class EnrolmentAnswer(BaseModel):
    """The student in that quest."""

    enrolled: bool = Field(title="Enrolled", description="Whether they are.", examples=[True])
    active: bool = Field(
        title="Active", description="Whether they have not left it.", examples=[True]
    )
    started_at: datetime | None = Field(
        title="Started at", description="When they enrolled.", examples=[MOMENT_EXAMPLE]
    )
    completed_at: datetime | None = Field(
        title="Completed at", description="When all was done.", examples=[MOMENT_EXAMPLE]
    )


class TaskAnswer(BaseModel):
    """The student's own copy of the task."""

    task_id: UUID | None = Field(
        title="Task id", description="Null before the enrolment.", examples=[UUID_EXAMPLE]
    )
    title: str | None = Field(title="Title", description="The task's.", examples=["Research"])
    completed: bool = Field(title="Completed", description="Whether it is.", examples=[True])
    completion_id: UUID | None = Field(
        title="Completion id", description="Its completion.", examples=[UUID_EXAMPLE]
    )
    completed_at: datetime | None = Field(
        title="Completed at", description="When it was first handed in.", examples=[MOMENT_EXAMPLE]
    )
    xp_awarded: int = Field(ge=0, title="XP awarded", description="For the task.", examples=[100])


class ShownAnswer(SubmissionFacts):
    """The current revision, and how much of it readers of the portfolio see."""

    blocks_shown: int = Field(
        ge=0, title="Blocks shown", description="Of it that readers see.", examples=[2]
    )
    blocks_private: int = Field(
        ge=0, title="Private blocks", description="Of it that the student hid.", examples=[0]
    )
    confidential: bool = Field(
        title="Confidential", description="Whether the whole evidence is.", examples=[False]
    )


class ExplainAnswer(BaseModel):
    """What is known of this homework, without its text."""

    spark_user_id: str = Field(
        max_length=255, title="Spark user id", description="As asked.", examples=["student_42"]
    )
    spark_assignment_id: str = Field(
        max_length=255,
        title="Spark assignment id",
        description="As asked.",
        examples=["test_assignment_001"],
    )
    summary: list[str] = Field(
        title="Summary",
        description="What was found, in order: student, assignment, deliveries, evidence.",
        examples=[["The student is known.", "The assignment is known."]],
    )
    next: str = Field(
        title="Next",
        description="What to do.",
        examples=["Let Spark sync the course, then let Spark send it again."],
    )
    link: LinkAnswer = Field(title="Link", description="The student's account.")
    assignment: AssignmentAnswer = Field(title="Assignment", description="What it means here.")
    enrolment: EnrolmentAnswer = Field(title="Enrolment", description="In its quest.")
    task: TaskAnswer = Field(title="Task", description="What is to be done.")
    deliveries: list[DeliveryAnswer] = Field(
        max_length=20,
        title="Deliveries",
        description="The newest of this student and assignment, newest first.",
    )
    submission: ShownAnswer | None = Field(
        title="Submission", description="What evidence shows; null if nothing was handed in."
    )
