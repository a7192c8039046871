"""The signed JSON of a submission (CONTRACT 7.2): one model validates it and makes its schema."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

from app.deliveries.authenticate import check_said_time
from app.deliveries.payload import FreeText, MomentText, Subject, counted_first, examine
from app.errors import BadRequestError, FieldInvalidError
from app.fields import AnswerWarning, MessageModel, SparkId
from app.settings import Settings
from app.submissions.remote_file import RemoteFile, RemoteFileText, faults_of

MAX_DECLARED = 1000  # files
MAX_GRADE = Decimal("999.99")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)", re.ASCII)
GRADE = Annotated[float, Field(ge=0, le=float(MAX_GRADE))]
EXAMPLE: dict[str, Any] = {
    "spark_user_id": "42",
    "spark_assignment_id": "test_assignment_001",
    "spark_course_id": "test_course_001",
    "submission_text": "Rain fell on four of seven days.",
    "submitted_at": "2026-11-23T14:30:00Z",
    "grade": 95.5,
}


def _grade(value: object) -> object:
    """As text digits with a sign and a fraction, if any: no exponent, no other digits, no comma."""
    if value is None:
        return None
    text = value.strip() if isinstance(value, str) else ""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number and not NUMBER.fullmatch(text):
        raise ValueError("it must be a number, as 95.5")
    number = Decimal(text or str(value))
    if not 0 <= number <= MAX_GRADE:
        raise ValueError("it must be between 0 and 999.99")
    return abs(number).quantize(Decimal("0.01"))


class DeclaredFile(MessageModel):
    """A file as the sender signed for it."""

    name: FreeText = Field(description="The file name of its part.", examples=["rain-gauge.jpg"])
    sha256: str = Field(
        title="SHA-256",
        description="Of the file's bytes, in hexadecimal.",
        pattern="^[0-9A-Fa-f]{64}$",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    size: int = Field(description="In bytes.", ge=0, examples=[482113])

    @property
    def digest(self) -> bytes:
        return bytes.fromhex(self.sha256)


class SubmissionPayload(MessageModel):
    """One handing-in. Unknown fields are ignored."""

    model_config = ConfigDict(title="Submission", json_schema_extra={"examples": [EXAMPLE]})

    spark_user_id: SparkId = Field(
        description="The `sub` of the student's launch tokens. An integer is read as its text.",
        examples=["42"],
    )
    spark_assignment_id: SparkId = Field(
        description="The assignment handed in. An integer is read as its decimal text.",
        examples=["test_assignment_001"],
    )
    spark_course_id: SparkId | None = Field(
        None,
        description="Send it: assignment ids may repeat in other courses.",
        examples=["test_course_001"],
    )
    submission_text: FreeText | None = Field(
        None,
        description="What the student wrote; at most 1 MiB of UTF-8. Required if there is no file.",
        examples=["Rain fell on four of seven days."],
    )
    submitted_at: MomentText = Field(
        description=(
            "When the student handed in: ISO 8601 with `Z` or an offset (none means UTC)."
            " At most 300 s from now under `X-Spark-Signature`, so sign a retry again with a fresh"
            " time; up to 7 days ago under `webhook-signature`."
        ),
        examples=["2026-11-23T14:30:00Z"],
    )
    grade: Annotated[
        Decimal | None, BeforeValidator(_grade, json_schema_input_type=GRADE | None)
    ] = Field(
        None,
        description=(
            "0 to 999.99; its text is read, too. Kept with the submission, never shown. One that"
            " cannot be read is left out, with a warning."
        ),
        examples=[95.5],
    )
    files: Annotated[list[DeclaredFile] | None, counted_first(MAX_DECLARED)] = Field(
        None,
        title="Declared files",
        description=(
            "The files of a multipart request, so that the signature covers them: each must be"
            " listed and fit. Required with files under `webhook-signature`."
        ),
        max_length=MAX_DECLARED,
    )
    submission_files: Annotated[list[RemoteFileText] | None, counted_first(MAX_DECLARED)] = Field(
        None,
        title="Files by URL",
        description=(
            "Fetched after the answer, from hosts that were agreed on; none unless the operator"
            " set SPARK_STORAGE_DOMAINS. Not beside files of a form, which is the better way."
        ),
        examples=[[]],
        max_length=MAX_DECLARED,
    )


@dataclass(frozen=True)
class Message:
    """An authentic, valid submission, and the digest of the bytes that were signed.

    `has_own_time` says that the attempt's own time was signed and found fresh (v1); `warnings` are
    what was noticed and is no reason to refuse.
    """

    payload: SubmissionPayload
    digest: bytes
    has_own_time: bool
    warnings: Sequence[AnswerWarning] = ()

    @property
    def subject(self) -> Subject:
        """Whom and what it is about, in the inbox's words."""
        said = {name: getattr(self.payload, name) for name in Subject.model_fields}
        return Subject.model_construct(**said)

    @property
    def text(self) -> str | None:
        """The text, or None when there is nothing but white space."""
        text = self.payload.submission_text
        return text if text and not text.isspace() else None

    @property
    def remote_files(self) -> Sequence[RemoteFile]:
        return self.payload.submission_files or ()

    def fingerprint(self, file_digests: Sequence[bytes]) -> bytes:
        """Equal exactly for equal content; the time of handing in is no content (D13)."""
        payload = self.payload
        remote = [file.digest for file in self.remote_files]
        content = repr(
            (
                payload.spark_user_id,
                payload.spark_assignment_id,
                payload.spark_course_id,
                self.text,
                str(payload.grade),
                [*file_digests, *remote],
            )
        )
        return hashlib.sha256(content.encode()).digest()

    def check_fresh(self, *, now: datetime) -> None:
        """Raises TimestampTooOldError or TimestampInFutureError."""
        check_said_time(
            self.payload.submitted_at,
            name="submitted_at",
            has_own_time=self.has_own_time,
            now=now,
        )


def read_message(raw: bytes, settings: Settings, *, digest: bytes, has_own_time: bool) -> Message:
    """What authentic bytes say. Raises JsonInvalidError, FieldMissingError or FieldInvalidError,
    UrlNotAllowedError, or TooManyFilesError, FileTooLargeError or TotalTooLargeError of files by
    URL.
    """
    payload, faults, warnings = examine_message(raw, settings)
    if payload is None:
        faults[0].faults = [fault for fault in faults if fault.file]
        raise faults[0]
    return Message(payload, digest, has_own_time, warnings)


def examine_message(
    raw: bytes, settings: Settings
) -> tuple[SubmissionPayload | None, list[BadRequestError], list[AnswerWarning]]:
    """A submission, or every fault that refuses it; and what was noticed."""
    payload, faults, warnings = examine(raw, lambda _: SubmissionPayload)
    if payload:
        faults += _faults(payload, settings)
    return None if faults else payload, faults, warnings


def _faults(payload: SubmissionPayload, settings: Settings) -> Sequence[BadRequestError]:
    faults: list[BadRequestError] = []
    if len((payload.submission_text or "").encode()) > settings.max_text_bytes:
        hint = f"It may have {settings.max_text_bytes} bytes of UTF-8."
        faults.append(FieldInvalidError(name="submission_text", hint=hint))
    return faults + faults_of(payload.submission_files or (), settings)
