"""What is known of one student's homework for one assignment: where it may have got stuck."""

from typing import Literal

from pydantic import ConfigDict, Field

from app import fields
from app.activity.log_page import ActivityLogEvent
from app.deliveries.read_inbox import DeliveryAnswer
from app.learning.assignments import Rule
from app.submissions.list_submissions import SubmissionFacts

Topic = Literal["request", "student", "assignment", "enrolment", "delivery", "evidence"]


class Homework(fields.ContractModel):
    """Whose homework, for what."""

    spark_user_id: str
    spark_assignment_id: str
    spark_course_id: str | None


class ExplainQuery(fields.ContractModel):
    """Whose homework, for what; or what became of a request. Unknown parameters are refused."""

    model_config = ConfigDict(extra="forbid")

    spark_user_id: fields.SparkId | None = Field(
        None, description="The student. Needed without `request_id`.", examples=["42"]
    )
    spark_assignment_id: fields.SparkId | None = Field(
        None,
        description="The assignment. Needed without `request_id`.",
        examples=["test_assignment_001"],
    )
    spark_course_id: fields.SparkId | None = Field(
        None,
        description="Where several courses use the assignment id.",
        examples=["test_course_001"],
    )
    request_id: fields.OfRequest = Field(
        None,
        description="Of the request whose answer had this `request_id`; or the reference of eight"
        " characters on the page of a failed sign-in.",
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
    address_exists: bool = Field(
        description=(
            "Whether the account was made though another one has this address, which could not be"
            " linked. Known as long as the audit log is kept."
        ),
        examples=[False],
    )


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
    mapped_at: fields.NullableMoment = Field(description="When a person chose its task.")
    linked_at: fields.NullableMoment = Field(
        description="When the link was chosen that decides; it comes before the course's sync."
    )
    link_lost: bool = Field(
        description="Whether it has a link whose task or quest went: the other rules decide.",
        examples=[False],
    )
    rule: Rule | None = Field(
        description=(
            "What told it from others of its id: the course that was named, the student's"
            " organisations, or an enrolment."
        ),
        examples=["course"],
    )


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
    location_unknown: int = Field(
        ge=0,
        description="Its pictures and films that could not be read, and are as they were sent.",
        examples=[0],
    )
    unscanned: int = Field(
        ge=0, description="Its files that came while the malware scanner was away.", examples=[0]
    )
    heic_left: int = Field(
        ge=0,
        title="HEIC left",
        description="Its HEIC pictures that are not shown as JPEG, yet or for good.",
        examples=[0],
    )


class HomeworkFacts(fields.ContractModel):
    """What is looked at, before anything is said of it."""

    link: LinkAnswer
    assignment: AssignmentAnswer
    enrolment: EnrolmentAnswer
    task: TaskAnswer
    deliveries: list[DeliveryAnswer]
    submission: ShownAnswer | None


class ExplainStep(fields.ContractModel):
    """One thing that was looked at."""

    topic: Topic = Field(description="What.", examples=["student"])
    ok: bool = Field(description="False where something may be done about it.", examples=[True])
    says: str = Field(description="What was found.", examples=["The student is known."])


class ExplainAnswer(fields.ContractModel):
    """What is known of this homework, without its text. Of a request that names no student and
    assignment, or was not kept, nothing is known but the request itself.
    """

    spark_user_id: fields.SparkUserId[str | None] = Field(
        description="As asked, or as the request says."
    )
    spark_assignment_id: fields.SparkAssignmentId[str | None] = Field(
        description="As asked, or as the request says."
    )
    summary: list[str] = Field(
        description="What was found, in order: request, student, assignment, deliveries, evidence.",
        examples=[["The student is known.", "The assignment is known."]],
    )
    steps: list[ExplainStep] = Field(description="The same, each sentence with what it is of.")
    next: str = Field(
        description="What to do.",
        examples=["Let Spark sync the course, then let Spark send it again."],
    )
    delivery: DeliveryAnswer | None = Field(description="The one with this `request_id`.")
    event: ActivityLogEvent | None = Field(
        description=(
            "Where there is no such delivery, the failure with this `request_id`; `user_name` is"
            " left out."
        )
    )
    link: LinkAnswer | None = Field(description="The student's account.")
    assignment: AssignmentAnswer | None = Field(description="What it means here.")
    enrolment: EnrolmentAnswer | None = Field(description="In its quest.")
    task: TaskAnswer | None = Field(description="What is to be done.")
    deliveries: list[DeliveryAnswer] = Field(
        max_length=20, description="The newest of this student and assignment, newest first."
    )
    submission: ShownAnswer | None = Field(
        description="What evidence shows; null if nothing was handed in."
    )
