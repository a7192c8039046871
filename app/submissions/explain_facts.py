"""What is known of one student's homework for one assignment: where it may have got stuck."""

from typing import Literal

from pydantic import ConfigDict, Field

from app import fields
from app.deliveries.read_inbox import DeliveryAnswer
from app.submissions.list_submissions import SubmissionFacts


class ExplainQuery(fields.ContractModel):
    """Whose homework, for what. Unknown parameters are refused."""

    model_config = ConfigDict(extra="forbid")

    spark_user_id: fields.SparkId = Field(description="The student.", examples=["student_42"])
    spark_assignment_id: fields.SparkId = Field(
        description="The assignment.", examples=["test_assignment_001"]
    )
    spark_course_id: fields.SparkId | None = Field(
        None,
        description="Where several courses use the assignment id.",
        examples=["test_course_001"],
    )


class LinkAnswer(fields.ContractModel):
    """Whose account it is."""

    found: bool = Field(description="Whether the student is known.", examples=[True])
    user_id: fields.NullableId = Field(description="The student's account.")
    active: bool = Field(description="Whether homework is taken from it.", examples=[True])
    reason: (
        Literal["user_not_found", "erased", "paused", "deletion_pending", "not_a_student"] | None
    ) = Field(description="Why it is not active.", examples=["paused"])
    erased: bool = Field(description="Whether the student was ever erased.", examples=[False])


class AssignmentAnswer(fields.ContractModel):
    """What the assignment means here."""

    found: bool = Field(description="Whether that is known.", examples=[True])
    code: str | None = Field(description="Why it is not.", examples=["assignment_ambiguous"])
    quest_id: fields.NullableId = Field(description="Its quest.")
    quest_title: str | None = Field(description="The quest's title.", examples=["Weather"])
    task_template_id: fields.NullableId = Field(
        description="Null where the quest's first task is meant."
    )
    retired: bool = Field(description="Whether Spark no longer names it.", examples=[False])


class EnrolmentAnswer(fields.ContractModel):
    """The student in that quest."""

    enrolled: bool = Field(description="Whether they are.", examples=[True])
    active: bool = Field(description="Whether they have not left it.", examples=[True])
    started_at: fields.NullableMoment = Field(description="When they enrolled.")
    completed_at: fields.NullableMoment = Field(description="When all was done.")


class TaskAnswer(fields.ContractModel):
    """The student's own copy of the task."""

    task_id: fields.NullableId = Field(description="Null before the enrolment.")
    title: str | None = Field(description="The task's.", examples=["Research"])
    completed: bool = Field(description="Whether it is.", examples=[True])
    completion_id: fields.NullableId = Field(description="Its completion.")
    completed_at: fields.NullableMoment = Field(description="When it was first handed in.")
    xp_awarded: fields.Experience = Field(description="For the task.")


class ShownAnswer(SubmissionFacts):
    """The current revision, and how much of it readers of the portfolio see."""

    blocks_shown: int = Field(ge=0, description="Of it that readers see.", examples=[2])
    blocks_private: int = Field(
        ge=0, title="Private blocks", description="Of it that the student hid.", examples=[0]
    )
    confidential: bool = Field(description="Whether the whole evidence is.", examples=[False])


class HomeworkFacts(fields.ContractModel):
    """What is looked at, before anything is said of it."""

    link: LinkAnswer = Field(description="The student's account.")
    assignment: AssignmentAnswer = Field(description="What it means here.")
    enrolment: EnrolmentAnswer = Field(description="In its quest.")
    task: TaskAnswer = Field(description="What is to be done.")
    deliveries: list[DeliveryAnswer] = Field(
        max_length=20, description="The newest of this student and assignment, newest first."
    )
    submission: ShownAnswer | None = Field(
        description="What evidence shows; null if nothing was handed in."
    )


class Verdict(fields.ContractModel):
    """What is said of it."""

    spark_user_id: fields.SparkUserId[str] = Field(description="As asked.")
    spark_assignment_id: fields.SparkAssignmentId[str] = Field(description="As asked.")
    summary: list[str] = Field(
        description="What was found, in order: student, assignment, deliveries, evidence.",
        examples=[["The student is known.", "The assignment is known."]],
    )
    next: str = Field(
        description="What to do.",
        examples=["Let Spark sync the course, then let Spark send it again."],
    )


class ExplainAnswer(HomeworkFacts, Verdict):
    """What is known of this homework, without its text."""
