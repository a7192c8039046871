"""The signed JSON of a course (CONTRACT 8.1): its whole current state."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, field_validator

from app.deliveries.payload import (
    DueText,
    FreeText,
    MomentText,
    clean_free_text,
    counted_first,
    refuse_repeats,
)
from app.fields import MOMENT_EXAMPLE, MessageModel, SparkId

MAX_ASSIGNMENTS = 1000


def _not_blank(title: str) -> str:
    if title.isspace():
        raise ValueError("it is blank")
    return title


# The bounds before the cleaning, or a refusal would speak of items instead of characters.
Title = Annotated[
    str,
    Field(min_length=1, max_length=500),
    BeforeValidator(clean_free_text),
    AfterValidator(_not_blank),
]


class CourseAssignment(MessageModel):
    """One assignment; its place in the list is its place in the course."""

    spark_assignment_id: SparkId = Field(
        description="Unique in its course. An integer is read as its decimal text.",
        examples=["essay_1"],
    )
    title: Title = Field(description="Shown as the task.", examples=["Measure a week of rain"])
    description: FreeText | None = Field(
        None, description="Shown with the task.", examples=["Every morning."]
    )
    due_date: DueText | None = Field(
        None,
        description=(
            "ISO 8601 with `Z` or an offset (none means UTC); a date alone is the end of that day,"
            " UTC. One that cannot be read is left out, with a warning."
        ),
        examples=["2026-12-01T23:59:00Z"],
    )


SentAt = Annotated[
    MomentText | None,
    Field(
        description=(
            "When this message was made: ISO 8601 with `Z` or an offset (none means UTC). At most"
            " 300 s from now under `X-Spark-Signature`, up to 7 days ago under `webhook-signature`."
            " With it nobody can send an old message again: one that is older than the last taken"
            " for its course is refused."
        ),
        examples=[MOMENT_EXAMPLE],
    ),
]


class CoursePayload(MessageModel):
    """A course with all its assignments. Unknown fields are ignored."""

    model_config = ConfigDict(title="Course")

    spark_org_id: SparkId | None = Field(
        None,
        title="Spark organisation id",
        description="Course ids are unique in their organisation.",
        examples=["24"],
    )
    spark_course_id: SparkId = Field(
        description="The course. An integer is read as its decimal text.", examples=["weather_101"]
    )
    course_title: Title = Field(description="The quest's title.", examples=["Weather"])
    course_description: FreeText | None = Field(
        None, description="The quest's description.", examples=["Wind, water and warmth."]
    )
    copied_from: SparkId | None = Field(
        None,
        title="Copied from",
        description=(
            "The course of the same organisation that this one is a copy of: links of its"
            " assignments, and tasks that were chosen for them by hand, hold here as well where an"
            " assignment has the same id or title. What was chosen here before stays. What does not"
            " agree is in `warnings`."
        ),
        examples=[None],
    )
    assignments: Annotated[list[CourseAssignment] | None, counted_first(MAX_ASSIGNMENTS)] = Field(
        None,
        description=(
            "All of them, in order: those that are missing are retired. Absent or empty leaves the"
            " assignments as they are."
        ),
        max_length=MAX_ASSIGNMENTS,
    )

    sent_at: SentAt = None

    @field_validator("assignments")
    @classmethod
    def _each_once(cls, items: list[CourseAssignment] | None) -> list[CourseAssignment] | None:
        ids = (item.spark_assignment_id for item in items or ())
        refuse_repeats(ids, item="item", name="spark_assignment_id")
        return items
