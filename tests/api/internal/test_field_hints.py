"""What a refusal says of a field: its name, what it may be, and never what was sent."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.support.evidence import desk_of, text
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, SignedIn, Spark, submission

SENT = "what-was-sent"

REFUSED: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "too many": ("deliveries", {"limit": 1000}, "limit", "It may be 1 to 200."),
    "too few": ("events", {"limit": 0}, "limit", "It may be 1 to 200."),
    "too many of a log": ("activity", {"limit": 501}, "limit", "It may be 1 to 500."),
    "no number": ("submissions", {"limit": SENT}, "limit", "It must be a whole number."),
    "no choice": ("submissions", {"outcome": SENT}, "outcome", "It must be 'current' or 'replaced"),
    "no id": ("submissions", {"user_id": SENT}, "user_id", "It must be a UUID."),
    "no id in the path": (f"completions/{SENT}", {}, "completion_id", "It must be a UUID."),
    "no moment": (
        "submissions",
        {"received_from": SENT},
        "received_from",
        "it must be an ISO 8601 date or moment",
    ),
    "no year": ("submissions", {"received_to": "0001-01-01"}, "received_to", "its year is out of"),
    "too long": (
        "deliveries",
        {"spark_user_id": SENT * 20},
        "spark_user_id",
        "It may have 255 characters.",
    ),
    "too short": (
        "deliveries",
        {"spark_user_id": ""},
        "spark_user_id",
        "It must have at least 1 characters.",
    ),
    "no cursor": ("submissions", {"cursor": SENT}, "cursor", "It must match ^[0-9a-f]"),
    "missing": ("completions", {}, "user_id", "It is required."),
    "half": ("explain", {"spark_user_id": "x"}, "spark_assignment_id", "Send request_id alone"),
    "unknown": (
        "submissions",
        {"userid": SENT},
        "userid",
        "Unknown; known are `limit`, `cursor`",
    ),
}


@pytest.mark.parametrize(("route", "query", "name", "hint"), REFUSED.values(), ids=REFUSED)
async def test_a_refused_parameter_is_named_with_what_it_may_be(
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    *,
    route: str,
    query: dict[str, Any],
    name: str,
    hint: str,
) -> None:
    answer = await browser.get(f"/internal/v1/{route}", params=query, headers=main_app)
    problem = assert_problem(answer, 400, "field_invalid")
    assert problem["error"] == f"Invalid field: {name}"
    assert str(problem["hint"]).startswith(hint)
    assert problem["errors"] == [
        {"pointer": f"#/{name}", "code": "field_invalid", "detail": problem["hint"]}
    ]
    assert SENT not in answer.text


async def test_every_refused_parameter_is_listed(
    browser: httpx.AsyncClient, main_app: dict[str, str]
) -> None:
    query: dict[str, Any] = {"limit": 0, "status": SENT, "colour": SENT}
    answer = await browser.get("/internal/v1/deliveries", params=query, headers=main_app)
    problem = assert_problem(answer, 400, "field_invalid")
    faults: Any = problem["errors"]
    assert {fault["pointer"] for fault in faults} == {"#/limit", "#/status", "#/colour"}
    assert problem["hint"] == faults[0]["detail"]


NIL = str(UUID(int=0))
NOBODY = f"students/{NIL}/link"
BODIES: dict[str, tuple[str, str, object, str, str]] = {
    "missing": ("POST", NOBODY, {}, "spark_user_id", "It is required."),
    "null": ("POST", NOBODY, {"spark_user_id": None}, "spark_user_id", "It must be a string."),
    "unknown": (
        *("POST", NOBODY, {"spark_user_id": "x", "to": SENT}),
        *("to", "Unknown; known are `spark_user_id`, `from`, `prefer`, `dry_run`."),
    ),
    "no id": ("POST", NOBODY, {"spark_user_id": "x", "from": SENT}, "from", "It must be a UUID."),
    "no truth": (
        *("POST", NOBODY, {"spark_user_id": "x", "dry_run": SENT}),
        *("dry_run", "It must be true or false."),
    ),
    "no member of a choice": (
        *("PATCH", NOBODY, {"status": SENT}, "status", "It must be 'active' or 'paused'."),
    ),
    "no object": ("PATCH", NOBODY, [SENT], "status", "The body must be one JSON object."),
    "no number": (
        *("POST", "grades", {"user_id": NIL, "task_id": NIL, "score": SENT}),
        *("score", "It must be a number."),
    ),
}


@pytest.mark.parametrize(("method", "route", "body", "name", "hint"), BODIES.values(), ids=BODIES)
async def test_a_refused_member_of_a_body_is_named_with_what_it_may_be(
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    *,
    method: str,
    route: str,
    body: object,
    name: str,
    hint: str,
) -> None:
    answer = await browser.request(method, f"/internal/v1/{route}", json=body, headers=main_app)
    problem = assert_problem(answer, 400, "field_invalid")
    assert (problem["error"], problem["hint"]) == (f"Invalid field: {name}", hint)
    assert SENT not in answer.text


async def test_a_field_of_a_body_is_pointed_at_by_its_path(
    spark: Spark, student: SignedIn, assignment: Assignment, browser: httpx.AsyncClient
) -> None:
    answer = await spark.submit(submission(student, assignment))
    desk = desk_of(browser, student, answer.json()["task_id"])
    problem = assert_problem(await desk.save(text(), text(type=SENT)), 400, "field_invalid")
    faults: Any = problem["errors"]
    assert [fault["pointer"] for fault in faults] == ["#/blocks/1/type"]
    nameless = submission(student, assignment)
    del nameless["spark_user_id"]
    problem = assert_problem(await spark.submit(nameless), 400, "field_missing")
    assert problem["errors"] == [
        {
            "pointer": "#/spark_user_id",
            "code": "field_missing",
            "detail": "Missing required field: spark_user_id",
        }
    ]


async def test_a_service_that_names_no_student_is_told_how(
    browser: httpx.AsyncClient, main_app: dict[str, str], assignment: Assignment
) -> None:
    path = "/internal/v1/evidence/documents/0193b5a2-7a5c-7c3e-8d1f-2f4e6a8b0c1d"
    problem = assert_problem(await browser.get(path, headers=main_app), 400, "field_missing")
    assert problem["hint"] == "A service key names the student: `?user_id=`."
