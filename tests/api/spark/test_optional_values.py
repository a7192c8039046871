"""Optional values (DESIGN R31): an empty one counts as absent, and one that cannot be read costs
itself and a warning, never the message.

The samples are spellings that senders of other systems have: PHP's empty arrays, letter grades and
decimal commas of gradebooks, .NET's and MySQL's dates that are none, epochs of Java and Ruby.
"""

from decimal import Decimal
from typing import Any

import httpx
import pytest

from app.database import Sessions
from tests.api.spark.test_course import quest_row
from tests.api.spark.test_roster import user_of
from tests.api.spark.test_submission_json import revision_of
from tests.support.bodies import Part
from tests.support.courses import course, items, sync, templates
from tests.support.roster import COUNTS, counts, entry, new_student, roster, send
from tests.support.roster import sync_course as synced_course
from tests.support.spark import Assignment, SignedIn, Spark, submission

EMPTY: dict[str, object] = {
    "null": None,
    "empty": "",
    "blank": " \t",
    "no-break-space": "\u00a0",
    "empty-list": [],
    "empty-object": {},
}
NUMBERS: dict[str, tuple[object, str]] = {
    "P077-number": (95, "95.00"),
    "P077-zero": (0, "0.00"),
    "P077-most": (999.99, "999.99"),
    "P077-exponent-of-json": (1e2, "100.00"),
    "P077-text": ("95.5", "95.50"),
    "python-decimal": ("95.50000", "95.50"),
    "php-number-format": ("95.00", "95.00"),
    "moodle-five-digits": ("85.50000", "85.50"),
    "sign": ("+95", "95.00"),
    "no-whole-part": (".5", "0.50"),
    "no-fraction": ("95.", "95.00"),
    "minus-nothing": ("-0", "0.00"),
    "blanks-round-it": (" 95.5\n", "95.50"),
    "zeros-before-it": ("0095", "95.00"),
}
NO_NUMBERS: dict[str, object] = {
    "P077-true": True,
    "P077-negative": -0.01,
    "P077-too-much": 1000,
    "P077-letter": "A",
    "P077-list": [95],
    "P077-object": {"score": 95},
    "P077-400-digits": 10**399,
    "full-width-digit": "\uff11",
    "arabic-digit": "\u0669",
    "python-underscore": "1_0",
    "exponent": "1e2",
    "exponent-of-a-billion": "1e-999999999",
    "javascript-nan": "NaN",
    "infinity": "Infinity",
    "decimal-comma": "85,5",
    "percent": "95%",
    "out-of": "95/100",
    "thousands": "1,000",
    "moodle-no-grade": "-",
    "hexadecimal": "0x5f",
    "two-signs": "--5",
    "minus-sign-of-print": "\u22125",
    "half-a-pair": "9\ud83d",
}


def noticed(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.status_code == 200, answer.text
    return [(each["code"], each["field"]) for each in answer.json()["warnings"]]


@pytest.mark.parametrize("empty", EMPTY.values(), ids=EMPTY)
@pytest.mark.parametrize("field", ["grade", "spark_course_id", "files", "submission_files"])
async def test_an_empty_value_of_a_submission_counts_as_absent(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    field: str,
    empty: object,
) -> None:
    """F16: `grade: ""` of PHP."""
    answer = await spark.submit(submission(student, assignment, **{field: empty}))
    assert noticed(answer) == []
    assert (await revision_of(sessions, answer)).grade is None


@pytest.mark.parametrize("empty", EMPTY.values(), ids=EMPTY)
async def test_an_empty_text_beside_a_file_counts_as_absent(
    spark: Spark, student: SignedIn, assignment: Assignment, empty: object
) -> None:
    payload = submission(student, assignment, submission_text=empty)
    answer = await spark.submit_form(payload, Part("f", b"Rain.\n", filename="rain.txt"))
    assert noticed(answer) == []


@pytest.mark.parametrize(("grade", "kept"), NUMBERS.values(), ids=NUMBERS)
async def test_a_grade_is_a_number_or_its_text(
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    grade: object,
    kept: str,
) -> None:
    answer = await spark.submit(submission(student, assignment, grade=grade))
    assert noticed(answer) == []
    assert str((await revision_of(sessions, answer)).grade) == kept
    assert (await revision_of(sessions, answer)).grade == Decimal(kept)


@pytest.mark.parametrize("grade", NO_NUMBERS.values(), ids=NO_NUMBERS)
async def test_a_grade_that_cannot_be_read_costs_itself(
    spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions, grade: object
) -> None:
    payload = submission(student, assignment, grade=grade)
    answer = await spark.submit(payload)
    assert noticed(answer) == [("value_ignored", "grade")]
    assert (await revision_of(sessions, answer)).grade is None
    again = await spark.submit(payload)
    assert (again.json()["duplicate"], noticed(again)) == (True, noticed(answer))


@pytest.mark.parametrize(
    "course_id",
    ["c" * 256, 1.5, True, ["c"], {"id": "c"}, "c\x1b[2J", "c\0"],
    ids="{!a:.12}".format,
)
async def test_a_course_id_that_cannot_be_read_costs_itself(
    spark: Spark, student: SignedIn, assignment: Assignment, course_id: object
) -> None:
    answer = await spark.submit(submission(student, assignment, spark_course_id=course_id))
    assert noticed(answer) == [("value_ignored", "spark_course_id")]


DUE: dict[str, tuple[str, str]] = {
    "a-date-alone": ("2026-12-01", "2026-12-01T23:59:59.999999+00:00"),
    "blanks-round-a-date": (" 2026-12-01 ", "2026-12-01T23:59:59.999999+00:00"),
    "seven-digits-of-dotnet": ("2026-12-01T12:00:00.1234567Z", "2026-12-01T12:00:00.123456+00:00"),
    "nine-digits-of-java": ("2026-12-01T12:00:00.123456789Z", "2026-12-01T12:00:00.123456+00:00"),
    "mysql": ("2026-12-01 12:00:00", "2026-12-01T12:00:00+00:00"),
    "php-offset": ("2026-12-01T12:00:00+0100", "2026-12-01T11:00:00+00:00"),
}
NOT_DUE: dict[str, object] = {
    "word": "tomorrow",
    "no-such-day": "2026-02-30",
    "no-such-moment": "2026-02-30T00:00:00Z",
    "dotnet-min-value": "0001-01-01T00:00:00",
    "mysql-zero": "0000-00-00 00:00:00",
    "mysql-zero-by-php": "-0001-11-30T00:00:00+01:00",
    "dotnet-json": "/Date(1795444200000)/",
    "unix-seconds": 1795444200,
    "java-milliseconds": 1795444200000,
    "seconds-as-text": "1795444200",
    "ruby-to-s": "2026-12-01 12:00:00 UTC",
    "javascript-to-string": "Tue Dec 01 2026 12:00:00 GMT+0000",
    "invalid-date": "Invalid Date",
    "german": "01.12.2026",
    "american": "12/01/2026",
    "jackson-array": [2026, 12, 1, 12, 0],
    "carbon-object": {"date": "2026-12-01 12:00:00", "timezone": "UTC"},
    "full-width": "\uff12026-12-01",
}


@pytest.mark.parametrize(("written", "due"), DUE.values(), ids=DUE)
async def test_a_due_date_may_be_a_day(
    spark: Spark, sessions: Sessions, written: str, due: str
) -> None:
    answer = await sync(spark, course(assignments=items("one", due_date=written)))
    assert noticed(answer) == []
    (one,) = await templates(sessions, answer.json()["quest_id"])
    assert one.due_date.isoformat() == due


@pytest.mark.parametrize("written", NOT_DUE.values(), ids=NOT_DUE)
async def test_a_due_date_that_cannot_be_read_costs_itself(
    spark: Spark, sessions: Sessions, written: object
) -> None:
    answer = await sync(spark, course(assignments=items("one", "two", due_date=written)))
    assert noticed(answer) == [
        ("value_ignored", "assignments.0.due_date"),
        ("value_ignored", "assignments.1.due_date"),
    ]
    made = await templates(sessions, answer.json()["quest_id"])
    assert [one.due_date for one in made] == [None, None]


@pytest.mark.parametrize("empty", EMPTY.values(), ids=EMPTY)
@pytest.mark.parametrize("field", ["spark_org_id", "course_description", "assignments"])
async def test_an_empty_value_of_a_course_counts_as_absent(
    spark: Spark, field: str, empty: object
) -> None:
    assert noticed(await sync(spark, course("one", **{field: empty}))) == []


@pytest.mark.parametrize("empty", EMPTY.values(), ids=EMPTY)
async def test_an_empty_value_of_an_assignment_counts_as_absent(
    spark: Spark, empty: object
) -> None:
    given = items("one", due_date=empty, description=empty)
    assert noticed(await sync(spark, course(assignments=given))) == []


@pytest.mark.parametrize("org_id", ["o" * 256, 2.4, ["24"], "24\x1b"], ids="{!a:.12}".format)
async def test_an_organisation_that_cannot_be_read_costs_itself(
    spark: Spark, org_id: object
) -> None:
    sent = course("one", spark_org_id=org_id, course_description=["Wind"])
    fields = ("spark_org_id", "course_description")
    assert noticed(await sync(spark, sent)) == [("value_ignored", field) for field in fields]


async def test_what_is_wrong_with_a_course_is_told_beside_what_was_left_out(
    spark: Spark, sessions: Sessions
) -> None:
    """A repeated id is seen only once the rest can be read."""
    sent = course(assignments=items("one", "one", due_date="soon"))
    answer = await sync(spark, sent)
    assert answer.status_code == 400
    assert answer.json()["error"] == "Invalid field: assignments"
    rehearsed = (await sync(spark, sent, dry_run="true")).json()
    assert [problem["code"] for problem in rehearsed["problems"]] == ["field_invalid"]
    assert len(rehearsed["warnings"]) == 2


ODD: dict[str, dict[str, Any]] = {
    "name-number": {"given_name": 3},
    "name-list": {"family_name": ["Example"]},
    "address-list": {"email": ["ada@example.com"]},
    "address-of-2000-characters": {"email": "a" * 2000},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
async def test_a_name_or_address_that_cannot_be_read_costs_itself(
    spark: Spark, sessions: Sessions, odd: dict[str, Any]
) -> None:
    known, name = await synced_course(spark), new_student()
    answer = await send(spark, roster(known, entry(new_student()), entry(name, **odd)))
    assert counts(answer) == COUNTS | {"enrolled": 2, "users_created": 2}
    assert noticed(answer) == [("value_ignored", f"entries.1.{field}") for field in odd]
    assert (await user_of(sessions, name)).id


@pytest.mark.parametrize("empty", EMPTY.values(), ids=EMPTY)
async def test_an_empty_name_or_address_counts_as_absent(spark: Spark, empty: object) -> None:
    known = await synced_course(spark)
    person: dict[str, Any] = dict.fromkeys(("email", "given_name", "family_name"), empty)
    sent = roster(known, entry(new_student(), **person))
    assert noticed(await send(spark, sent)) == []
    assert noticed(await send(spark, sent | {"spark_org_id": empty})) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("submission_text", ["Rain."]),
        ("submission_text", 7),
        ("files", "report.pdf"),
        ("files", [{}]),
        ("submission_files", "https://files.example/a.pdf"),
    ],
)
async def test_an_optional_value_that_matters_is_never_left_out(
    spark: Spark, student: SignedIn, assignment: Assignment, field: str, value: object
) -> None:
    answer = await spark.submit(submission(student, assignment, **{field: value}))
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"Invalid field: {field}")


async def test_at_most_twenty_warnings_are_given(spark: Spark, sessions: Sessions) -> None:
    names = (str(number) for number in range(50))
    answer = await sync(spark, course(assignments=items(*names, due_date="soon")))
    assert len(noticed(answer)) == 20
    assert (await quest_row(sessions, answer.json()["quest_id"])).title == "Weather"


async def test_a_title_that_is_too_long_is_told_in_characters(spark: Spark) -> None:
    answer = await sync(spark, course("one", course_title="t" * 501))
    assert answer.status_code == 400
    assert answer.json()["hint"] == "String should have at most 500 characters"
