"""A dry run of a sign-in says what was read and what would be, and keeps nothing."""

import secrets
from typing import Any

import httpx
import pytest

from app.database import Sessions
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, Spark
from tests.support.stored import count_everything

SSO = "/spark/sso"


async def rehearse(spark: Spark, token: str) -> httpx.Response:
    return await spark.browser.post(f"{SSO}?dry_run=true", data={"token": token})


async def rehearsed(spark: Spark, **claims: Any) -> dict[str, Any]:
    answer = await rehearse(spark, spark.launch_token(**claims))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert body["status"] == "dry_run"
    return body


async def test_a_new_student_would_get_an_account_and_gets_none(
    spark: Spark, sessions: Sessions
) -> None:
    before = await count_everything(sessions)
    body = await rehearsed(spark, sub=f"new_{secrets.token_hex(6)}", given_name=" Ada ")
    assert (body["account"], body["problems"]) == ("create", [])
    assert body["claims"]["given_name"] == "Ada"
    after = await count_everything(sessions)
    assert {name for name in after if after[name] != before[name]} <= {"user_activity_events"}


async def test_a_student_who_was_here_is_known(spark: Spark) -> None:
    student = await spark.sign_in()
    body = await rehearsed(spark, sub=student.spark_user_id)
    assert (body["account"], body["claims"]["sub"]) == ("known", student.spark_user_id)


async def test_courses_are_found_unknown_or_unreadable(
    spark: Spark, assignment: Assignment
) -> None:
    known = assignment.spark_course_id
    body = await rehearsed(spark, courses=[known, "elsewhere", 5.5, {"id": known}])
    assert body["courses"] == {"found": [known], "unknown": ["elsewhere"], "unreadable": 2}


async def test_the_token_of_a_dry_run_stays_good_until_it_is_spent(spark: Spark) -> None:
    token = spark.launch_token()
    assert (await rehearse(spark, token)).json()["account"] == "create"
    code = await spark.launch_code(token)
    assert (await spark.exchange(code)).status_code == 200
    body = (await rehearse(spark, token)).json()
    assert body["account"] == "refuse"
    assert [problem["code"] for problem in body["problems"]] == ["token_replayed"]


@pytest.mark.parametrize(
    ("claims", "code", "hint"),
    [
        ({"exp": 0.001}, "token_expired", "new launch token"),
        ({"iat": 1_795_000_000_000}, "token_claims_invalid", "not in milliseconds"),
        ({"email": ...}, "token_claims_invalid", "email is required"),
        ({"role": "teacher"}, "role_not_allowed", "students"),
    ],
    ids=["expired", "milliseconds", "no-email", "teacher"],
)
async def test_a_token_that_cannot_be_used_is_refused_as_ever(
    spark: Spark, claims: dict[str, Any], code: str, hint: str
) -> None:
    answer = await rehearse(spark, spark.launch_token(**claims))
    problem = assert_problem(answer, 403 if code == "role_not_allowed" else 401, code)
    assert hint in str(problem["hint"])


async def test_a_wrong_key_is_named_in_a_sign_in_and_its_dry_run(spark: Spark) -> None:
    token = spark.launch_token()[:-8]
    for answer in (await rehearse(spark, token), await spark.launch(token)):
        problem = assert_problem(answer, 401, "token_invalid")
        assert "cut off" in str(problem["hint"])
