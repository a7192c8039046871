"""What is noticed and is no reason to refuse (DESIGN R34)."""

import json
import secrets
from typing import Any

import httpx
import pytest

from tests.api.spark.test_optional_values import noticed
from tests.support.courses import course, items, sync, synced
from tests.support.roster import entry, new_student, roster, send
from tests.support.roster import sync_course as synced_course
from tests.support.spark import Assignment, SignedIn, Spark, encoded, submission

MISSPELT: dict[str, tuple[str, str | None]] = {
    "letter-missing": ("submision_text", "submission_text"),
    "plural": ("grades", "grade"),
    "camel-case": ("sparkCourseId", "spark_course_id"),
    "pascal-case-of-dotnet": ("SparkCourseId", "spark_course_id"),
    "kebab-case": ("spark-course-id", "spark_course_id"),
    "without-prefix": ("course_id", "spark_course_id"),
    "letters-turned": ("gradee", "grade"),
    "file": ("file", "files"),
    "time": ("submittedAt", "submitted_at"),
    "other": ("tenant", None),
    "rails": ("utf8_", None),
}


def details(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["detail"] for each in answer.json()["warnings"]]


@pytest.mark.parametrize(("name", "meant"), MISSPELT.values(), ids=MISSPELT)
async def test_an_unknown_member_is_named_with_the_nearest_that_is_known(
    spark: Spark, student: SignedIn, assignment: Assignment, name: str, meant: str | None
) -> None:
    answer = await spark.submit(submission(student, assignment, **{name: 1}))
    hint = f" Did you mean {meant}?" if meant else ""
    assert noticed(answer) == [("member_unknown", name)]
    assert details(answer) == [f"Unknown member: {name}.{hint}"]


@pytest.mark.parametrize(
    "name", ["Ada Example", "1234567", "", "é", "a" * 65, "a\nb", "ada@example.com", "\x1b[2J"]
)
async def test_what_is_no_name_is_not_repeated(
    spark: Spark, student: SignedIn, assignment: Assignment, name: str
) -> None:
    """A sender whose keys are values must not get them back."""
    answer = await spark.submit(submission(student, assignment) | {name: {"grade": 1}})
    assert noticed(answer) == [("member_unknown", "?")]
    assert name == "" or name not in details(answer)[0]


async def test_members_of_items_are_named_once_where_they_are_met_first(
    spark: Spark,
) -> None:
    given = [*items("one"), *items("two", due="soon"), *items("three", due="soon", Title="x")]
    answer = await sync(spark, course(assignments=given, courseTitle="Wind"))
    assert noticed(answer) == [
        ("member_unknown", "courseTitle"),
        ("member_unknown", "assignments.1.due"),
        ("member_unknown", "assignments.2.Title"),
    ]
    known = await synced_course(spark)
    entries = [entry(new_student(), surname="Example") for _ in range(30)]
    sent = roster(known, *entries) | {"organisation": "24"}
    told = await send(spark, sent)
    assert noticed(told) == [
        ("member_unknown", "organisation"),
        ("member_unknown", "entries.0.surname"),
    ]
    assert noticed(await send(spark, sent, dry_run="true")) == noticed(told)
    alone = {"spark_course_id": known.spark_course_id, **entry(new_student(), lastname="Example")}
    assert noticed(await send(spark, alone)) == [("member_unknown", "lastname")]


async def test_a_thousand_unknown_members_are_twenty_warnings(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    many = {f"extra_{number}": number for number in range(1000)}
    assert len(noticed(await spark.submit(submission(student, assignment, **many)))) == 20


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
async def test_a_course_id_that_nothing_has_is_told_though_the_assignment_was_found(
    spark: Spark, student: SignedIn, assignment: Assignment, *, is_known: bool
) -> None:
    course_id = assignment.spark_course_id if is_known else f"course_{secrets.token_hex(6)}"
    payload = submission(student, assignment, spark_course_id=course_id)
    expected = [] if is_known else [("course_unknown", "spark_course_id")]
    rehearsed = await spark.post(encoded(payload), v0(spark, payload), dry_run="true")
    assert noticed(rehearsed) == expected
    assert noticed(await spark.submit(payload)) == expected


def v0(spark: Spark, payload: dict[str, Any]) -> dict[str, str]:
    return {"X-Spark-Signature": spark.sign(encoded(payload))}


async def test_without_a_course_id_nothing_is_told(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    assert noticed(await spark.submit(submission(student, assignment, spark_course_id=...))) == []


async def test_a_repetition_is_told_what_the_first_was_told(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    payload = submission(student, assignment, grade="A", submision_text="", spark_course_id="x")
    first, again = await spark.submit(payload), await spark.submit(payload)
    assert noticed(first) == [
        ("member_unknown", "submision_text"),
        ("value_ignored", "grade"),
        ("course_unknown", "spark_course_id"),
    ]
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["warnings"] == first.json()["warnings"]
    resent = json.dumps(payload, indent=1).encode()  # the same content under another signature
    assert (await spark.submit(resent)).json()["warnings"] == first.json()["warnings"]


async def test_a_dry_run_warns_though_it_would_be_refused(
    spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    payload = submission(student, assignment, spark_user_id=..., sparkUserId="s", grade="A")
    answer = await spark.post(encoded(payload), v0(spark, payload), dry_run="true")
    assert (answer.json()["would"], len(answer.json()["problems"])) == ("refuse", 1)
    assert noticed(answer) == [("member_unknown", "sparkUserId"), ("value_ignored", "grade")]


async def test_a_course_without_the_organisation_that_others_of_its_id_have_is_told(
    spark: Spark,
) -> None:
    sent = course("one")
    alone = course("one", spark_course_id=sent["spark_course_id"], spark_org_id=...)
    assert noticed(await sync(spark, alone)) == []
    quest_id = await synced(spark, sent)
    for query in ({"dry_run": "true"}, {}):
        answer = await sync(spark, alone, **query)
        assert noticed(answer) == [("organisation_missing", "spark_org_id")]
    assert answer.json()["quest_id"] != quest_id
    assert noticed(await sync(spark, sent)) == []
