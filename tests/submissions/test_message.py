"""A submission's signed JSON: what opens it, what makes it the same again, when it is fresh."""

import hashlib
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import (
    BadRequestError,
    FieldInvalidError,
    FieldMissingError,
    TimestampInFutureError,
    TimestampTooOldError,
    UrlNotAllowedError,
)
from app.settings import Settings
from app.submissions.message import Message, SubmissionPayload, read_message

PAYLOAD: dict[str, Any] = {
    "spark_user_id": "student_1",
    "spark_assignment_id": "assignment_1",
    "spark_course_id": "course_1",
    "submission_text": "Rain.",
    "submitted_at": "2026-11-23T14:30:00Z",
    "grade": 95.5,
}

SETTINGS = Settings(_env_file=None, max_text_bytes=1000)


def opened(**changes: Any) -> Message:
    return opened_bytes(json.dumps(PAYLOAD | changes).encode())


def opened_bytes(raw: bytes, *, has_own_time: bool = False) -> Message:
    digest = hashlib.sha256(raw).digest()
    return read_message(raw, SETTINGS, digest=digest, has_own_time=has_own_time)


def test_an_integer_is_read_as_its_decimal_text() -> None:
    assert opened(spark_user_id=42).payload.spark_user_id == "42"


@pytest.mark.parametrize(
    ("sent", "kept"), [("95.5", "95.50"), (95, "95.00"), (0.005, "0.00"), (999.99, "999.99")]
)
def test_a_grade_is_kept_with_two_digits(sent: object, kept: str) -> None:
    assert opened(grade=sent).payload.grade == Decimal(kept)


@pytest.mark.parametrize(
    "written",
    ["2026-11-23T14:30:00Z", "2026-11-23t16:30:00+02:00", "2026-11-23 14:30", "20:00:00+05:30"],
)
def test_a_moment_is_converted_with_its_offset(written: str) -> None:
    moment = opened(submitted_at=f"2026-11-23T{written}" if written[2] == ":" else written)
    assert moment.payload.submitted_at == datetime(2026, 11, 23, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize("blank", ["", " \n", "\u00a0\u2003", "\0", None])
def test_white_space_is_no_text(blank: str | None) -> None:
    assert opened(submission_text=blank).text is None


def test_text_is_limited_in_bytes() -> None:
    assert opened(submission_text="\xe9" * 500).text
    with pytest.raises(FieldInvalidError):
        opened(submission_text="\xe9" * 500 + "a")


def test_file_urls_are_refused() -> None:
    with pytest.raises(UrlNotAllowedError):
        opened(submission_files=[{"url": "https://spark.example/a.pdf"}])


@pytest.mark.parametrize("name", ["spark_user_id", "spark_assignment_id", "submitted_at"])
def test_null_counts_as_missing(name: str) -> None:
    with pytest.raises(FieldMissingError) as raised:
        opened(**{name: None})
    assert raised.value.error_text == f"Missing required field: {name}"


def test_a_refusal_does_not_repeat_the_value() -> None:
    with pytest.raises(FieldInvalidError) as raised:
        opened(submitted_at="the-canary")
    assert "canary" not in f"{raised.value.error_text} {raised.value.hint_text}"


# ---------------------------------------------------------------------------- the same again


FILES = [b"digest 1", b"digest 2"]


def test_the_moment_and_unknown_fields_are_no_content() -> None:
    again = opened(submitted_at="2026-11-23T14:31:00Z", extra=1)
    assert again.fingerprint(FILES) == opened().fingerprint(FILES)
    assert again.digest != opened().digest


def test_white_space_alone_is_the_same_as_no_text() -> None:
    assert opened(submission_text=" ").fingerprint([]) == opened(submission_text="").fingerprint([])


OTHER = {
    "spark_user_id": "student_2",
    "spark_assignment_id": "assignment_2",
    "spark_course_id": None,
    "submission_text": "Rain",
    "grade": 95.51,
}


@pytest.mark.parametrize("name", OTHER)
def test_other_content_has_another_fingerprint(name: str) -> None:
    assert opened(**{name: OTHER[name]}).fingerprint([]) != opened().fingerprint([])


@pytest.mark.parametrize("digests", [[], FILES[:1], FILES[::-1], [*FILES, b""]])
def test_other_files_have_another_fingerprint(digests: list[bytes]) -> None:
    assert opened().fingerprint(digests) != opened().fingerprint(FILES)


def test_no_text_can_imitate_another_field() -> None:
    """The members are told apart by more than their order."""
    one = opened(spark_course_id="a', 'b", submission_text="c")
    two = opened(spark_course_id="a", submission_text="b', 'c")
    assert one.fingerprint([]) != two.fingerprint([])


# ---------------------------------------------------------------------------- freshness


NOW = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
WINDOW = timedelta(seconds=300)


def submitted(at: datetime) -> Message:
    return opened(submitted_at=at.isoformat())


@pytest.mark.parametrize("age", [-WINDOW, timedelta(), WINDOW])
def test_five_minutes_to_either_side_are_fresh(age: timedelta) -> None:
    submitted(NOW - age).check_fresh(now=NOW)


def test_a_moment_more_is_too_old() -> None:
    with pytest.raises(TimestampTooOldError):
        submitted(NOW - WINDOW - MOMENT).check_fresh(now=NOW)


def test_a_moment_further_is_in_the_future() -> None:
    with pytest.raises(TimestampInFutureError):
        submitted(NOW + WINDOW + MOMENT).check_fresh(now=NOW)


# ---------------------------------------------------------------------------- anything at all


NUMBERS = st.integers() | st.floats() | st.decimals().map(str) | st.integers(10**300, 10**400)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(), lambda values: st.lists(values, max_size=3)
)


@given(st.sampled_from(list(SubmissionPayload.model_fields)), VALUES)
def test_any_value_of_a_field_is_taken_or_refused_by_name(name: str, value: object) -> None:
    with suppress(BadRequestError):
        opened(**{name: value}).fingerprint([])


@given(st.binary())
def test_any_signed_bytes_that_are_no_submission_are_refused_by_name(raw: bytes) -> None:
    with pytest.raises(BadRequestError):
        opened_bytes(raw)


@given(st.from_regex(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,10})?)?(Z|[+-]\d\d:?\d\d)?"))
def test_anything_like_a_moment_is_one_or_is_refused(written: str) -> None:
    try:
        moment = opened(submitted_at=written).payload.submitted_at
    except FieldInvalidError:
        return
    assert moment.tzinfo is UTC
