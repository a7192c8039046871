"""The signed JSON of a submission (CONTRACT 7.2): one model validates it and makes its schema.

`open_message` is the only way in: it verifies the signature over the exact bytes before it looks
at any of them. Free text is cleaned; identifiers that would need cleaning are refused.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from app.errors import (
    FieldInvalidError,
    FieldMissingError,
    JsonInvalidError,
    TimestampInFutureError,
    TimestampTooOldError,
    UrlNotAllowedError,
)
from app.signing import verify_signature
from app.text import StrictJsonError, clean_text, identifier_text, load_json

FRESH = timedelta(seconds=300)
YEARS = range(2000, 2101)
MAX_GRADE = Decimal("999.99")
MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}(?::\d{2})?)(\.\d{1,9})?([Zz]|[+-]\d{2}:?\d{2})?"
)


def _moment(value: object) -> datetime:
    """ISO 8601 with an offset; without one it is UTC, as the predecessor read it."""
    parts = MOMENT.fullmatch(value) if isinstance(value, str) else None
    if parts is None:
        raise ValueError("it must be ISO 8601, for example 2026-11-23T14:30:00Z")
    day, time, fraction, offset = parts.groups()
    try:
        moment = datetime.fromisoformat(
            f"{day}T{time}{(fraction or '')[:7]}{(offset or 'Z').upper()}"
        )
    except ValueError:  # its own text repeats the value
        raise ValueError("there is no such moment") from None
    if moment.year not in YEARS:
        raise ValueError("its year must be between 2000 and 2100")
    return moment.astimezone(UTC)


def _grade(value: object) -> object:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("it must be a number")  # noqa: TRY004 - pydantic reports ValueError
    try:
        number = Decimal(str(value))
    except ArithmeticError:  # no ValueError, so pydantic would let it through
        raise ValueError("it must be a number") from None
    if not number.is_finite() or not 0 <= number <= MAX_GRADE:
        raise ValueError("it must be between 0 and 999.99")
    return number.quantize(Decimal("0.01"))


def _text(value: object) -> object:
    return clean_text(value) if isinstance(value, str) else value


Identifier = Annotated[
    str,
    Field(min_length=1, max_length=255),
    BeforeValidator(identifier_text, json_schema_input_type=str | int),
]


class SubmissionPayload(BaseModel):
    """One handing-in. Unknown fields are ignored."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True, title="Submission")

    spark_user_id: Identifier = Field(
        title="Spark user id",
        description="The `sub` of the student's launch tokens. An integer is read as its text.",
        examples=["student_42"],
    )
    spark_assignment_id: Identifier = Field(
        title="Spark assignment id",
        description="The assignment handed in. An integer is read as its decimal text.",
        examples=["test_assignment_001"],
    )
    spark_course_id: Identifier | None = Field(
        None,
        title="Spark course id",
        description="Send it: assignment ids may repeat in other courses.",
        examples=["test_course_001"],
    )
    submission_text: Annotated[str | None, BeforeValidator(_text)] = Field(
        None,
        title="Submission text",
        description="What the student wrote; at most 1 MiB of UTF-8. Required if there is no file.",
        examples=["Rain fell on four of seven days."],
    )
    submitted_at: Annotated[datetime, BeforeValidator(_moment, json_schema_input_type=str)] = Field(
        title="Submitted at",
        description=(
            "ISO 8601 with `Z` or an offset (none means UTC), at most 300 s from now."
            " Sign a retry again with a fresh time."
        ),
        examples=["2026-11-23T14:30:00Z"],
    )
    grade: Annotated[
        Decimal | None, BeforeValidator(_grade, json_schema_input_type=float | str | None)
    ] = Field(
        None,
        title="Grade",
        description="0 to 999.99, a number or its text. Kept with the submission, never shown.",
        examples=[95.5],
    )
    submission_files: list[Any] | None = Field(
        None,
        title="File URLs",
        description="Not accepted yet unless empty: send files as multipart/form-data.",
        examples=[[]],
    )


@dataclass(frozen=True)
class Message:
    """An authentic, valid submission, and the digest of the bytes that were signed."""

    payload: SubmissionPayload
    digest: bytes

    @property
    def text(self) -> str | None:
        """The text, or None when there is nothing but white space."""
        text = self.payload.submission_text
        return text if text and not text.isspace() else None

    def fingerprint(self, file_digests: Sequence[bytes]) -> bytes:
        """Equal exactly for equal content; the time of handing in is no content (D13)."""
        payload = self.payload
        content = repr(
            (
                payload.spark_user_id,
                payload.spark_assignment_id,
                payload.spark_course_id,
                self.text,
                str(payload.grade),
                list(file_digests),
            )
        )
        return hashlib.sha256(content.encode()).digest()


def open_message(
    raw: bytes, signatures: Sequence[str], *, secrets: Sequence[SecretStr], max_text_bytes: int
) -> Message:
    """Raises SignatureMismatchError first, then whatever is wrong with the content."""
    verify_signature(raw, signatures, secrets=secrets)
    payload = _parse(raw)
    if len((payload.submission_text or "").encode()) > max_text_bytes:
        raise FieldInvalidError(
            name="submission_text", hint=f"It may have {max_text_bytes} bytes of UTF-8."
        )
    if payload.submission_files:
        raise UrlNotAllowedError
    return Message(payload, hashlib.sha256(raw).digest())


def check_fresh(message: Message, *, now: datetime) -> None:
    if message.payload.submitted_at < now - FRESH:
        raise TimestampTooOldError
    if message.payload.submitted_at > now + FRESH:
        raise TimestampInFutureError


def _parse(raw: bytes) -> SubmissionPayload:
    try:
        content = load_json(raw)
    except StrictJsonError as error:
        raise JsonInvalidError(hint=f"The body is not JSON we accept: {error}.") from None
    if not isinstance(content, dict):
        raise JsonInvalidError(hint="The body must be one JSON object.")
    try:
        return SubmissionPayload.model_validate(content)
    except ValidationError as error:
        raise _first_fault(error, content) from None


def _first_fault(error: ValidationError, content: dict[str, Any]) -> Exception:
    fault = error.errors(include_input=False, include_url=False)[0]
    name = str(fault["loc"][0])
    if content.get(name) is None:
        return FieldMissingError(name=name)
    return FieldInvalidError(name=name, hint=fault["msg"].removeprefix("Value error, "))
