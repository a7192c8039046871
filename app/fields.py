"""What the contract says of a field, wherever the field stands."""

from datetime import UTC, date, datetime, time
from typing import Annotated, Literal, TypeVar
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from typing_extensions import TypeAliasType

from app.errors import kinds
from app.text import identifier_text

UUID_EXAMPLE = "0193b5a2-7a5c-7c3e-8d1f-2f4e6a8b0c1d"
MOMENT_EXAMPLE = "2026-11-23T14:30:00Z"
LINK_EXAMPLE = "https://files.example.org/evidence-files/0193b5a2/7f3c.png?X-Amz-Signature=…"
FIRST_YEAR, LAST_YEAR = 1970, 9998  # moments near the ends of the calendar overflow
REQUEST_ID_PATTERN = "^[A-Za-z0-9_-]{8,64}$"
REFERENCE_CHARACTERS = 8  # of its end: what a student reads out whose sign-in failed


def _title(name: str, _: object) -> str:
    return name.replace("_", " ").capitalize()


class ContractModel(BaseModel):
    """A field's title is its name, unless it says another."""

    model_config = ConfigDict(frozen=True, field_title_generator=_title)


class MessageModel(BaseModel):
    """What others send: a refusal repeats no value of it. Titles as above."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True, field_title_generator=_title)


Text = TypeVar("Text", str, str | None)

Id = Annotated[UUID, Field(examples=[UUID_EXAMPLE])]
NullableId = Annotated[UUID | None, Field(examples=[UUID_EXAMPLE])]
UserId = Annotated[Id, Field(description="The student.")]
QuestId = Annotated[Id, Field(description="The quest.")]
TaskId = Annotated[Id, Field(description="The student's own copy of the task.")]
DocumentId = Annotated[Id, Field(description="The document.")]
Moment = Annotated[datetime, Field(examples=[MOMENT_EXAMPLE])]
NullableMoment = Annotated[datetime | None, Field(examples=[MOMENT_EXAMPLE])]
Revision = Annotated[int, Field(ge=1, examples=[1])]
Experience = Annotated[int, Field(ge=0, title="XP awarded", examples=[100])]
Success = Annotated[bool, Field(description="Always true.", examples=[True])]
Location = Literal["none", "removed", "unknown"]  # what became of what tells where a picture is of
Scanned = Literal["clean", "unscanned"]  # what the scanner said, or that it was away
Picture = Literal["waiting", "jpeg", "too_large", "unreadable"]  # what became of HEIC
HandedIn = Literal["success", "dry_run"]  # one enumeration in both answers to a submission
RequestId = Annotated[str, Field(description="Name it when you ask us.", examples=[UUID_EXAMPLE])]
# Of a refusal, a kind of job, or why one is not done, asked for.
Code = Annotated[str, Field(min_length=1, max_length=64, pattern="^[a-z0-9_]+$")]
SparkUserId = Annotated[Text, Field(max_length=255, examples=["42"])]
SparkAssignmentId = Annotated[Text, Field(max_length=255, examples=["test_assignment_001"])]
SparkCourseId = Annotated[Text, Field(max_length=255, examples=["test_course_001"])]


ProblemCode = TypeAliasType(
    "ProblemCode",
    Annotated[
        str,
        Field(
            title="ProblemCode",
            description="What is wrong, to decide by. New codes may come.",
            examples=["signature_invalid"],
            json_schema_extra={"x-extensible-enum": sorted({kind.code for kind in kinds()})},
        ),
    ],
)


class AnswerWarning(ContractModel):
    """What was noticed, and is no reason to refuse."""

    code: str = Field(
        description=(
            "To decide by; new codes may come. `value_ignored`: an optional value could not be read"
            " and was left out. `member_unknown`: no such member; a similar name is told."
            " `course_unknown`: no course has this id, and the assignment was found without it."
            " `copied_course_unknown`: there is no course to copy from. `not_carried_over`: no"
            " assignment agrees with one of the copied course for which something was chosen."
            " `organisation_missing`: other courses of this id have an organisation."
            " `repeated_without_time`: an old course or roster message came again."
        ),
        examples=["member_unknown"],
    )
    detail: str = Field(
        description="A sentence for people.",
        examples=["Unknown member: submision_text. Did you mean submission_text?"],
    )
    field: str = Field(description="What it is about, as a path.", examples=["submision_text"])


# In every success and every rehearsal of a webhook (DESIGN R34).
Warnings = Annotated[
    list[AnswerWarning],
    Field(
        description=(
            "What was noticed, and is no reason to refuse: at most some 20. A repetition is told"
            " what the first was told."
        ),
        examples=[[]],
    ),
]

# Wherever an id of Spark is read: in messages, launch tokens and questions alike (DESIGN R35, R46).
# An integer is read, too; generated clients have no type for either of two.
_SPARK_ID = Annotated[str, Field(min_length=1, max_length=255)]
SparkId = Annotated[_SPARK_ID, BeforeValidator(identifier_text, json_schema_input_type=_SPARK_ID)]


def _if_valid(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValidationError:
        return None


IfValid = WrapValidator(_if_valid)

# As they are asked for.
OfSparkUser = Annotated[SparkId | None, Field(description="Of this student.", examples=["42"])]
OfSparkAssignment = Annotated[
    SparkId | None, Field(description="For this assignment.", examples=["test_assignment_001"])
]
OfRequest = Annotated[
    str | None,
    Field(
        pattern=REQUEST_ID_PATTERN,
        description="Of the request whose answer had this `request_id`.",
        examples=[UUID_EXAMPLE],
    ),
]


def _first_moment(value: object) -> datetime:
    return _moment(str(value), time.min)


def _last_moment(value: object) -> datetime:
    return _moment(str(value), time.max)


def _moment(value: str, time_of_day: time) -> datetime:
    """An ISO date means that time of its day, in UTC; an ISO moment itself. Raises ValueError."""
    try:
        moment = datetime.combine(date.fromisoformat(value), time_of_day)
    except ValueError:
        moment = _read_moment(value)
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError("its year is out of range")
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _read_moment(value: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except ValueError:  # its own text repeats the value
        raise ValueError("it must be an ISO 8601 date or moment") from None


# A date alone is read, too; generated clients have no type for either of two.
_MOMENT = WithJsonSchema({"type": "string", "format": "date-time"})
FirstMoment = Annotated[
    Annotated[datetime, BeforeValidator(_first_moment), _MOMENT] | None,
    Field(examples=[MOMENT_EXAMPLE]),
]
LastMoment = Annotated[
    Annotated[datetime, BeforeValidator(_last_moment), _MOMENT] | None,
    Field(examples=[MOMENT_EXAMPLE]),
]
