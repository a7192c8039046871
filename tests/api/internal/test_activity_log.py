"""The log panel of the main app: the newest events, and counts of all that match."""

import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import delete, func, insert, select

from app.database import Sessions
from app.models import ActivityEvent, ActivityHour, User
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, SignedIn, Spark, submission

PATH = "/internal/v1/activity"
Read = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def read(browser: httpx.AsyncClient, main_app: dict[str, str]) -> Read:
    """The `data` of an answer to these parameters."""

    async def read_data(**params: object) -> dict[str, Any]:
        asked = {name: str(value) for name, value in params.items()}
        answer = await browser.get(PATH, params=asked, headers=main_app)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        assert set(body) == {"success", "data"}
        assert body["success"] is True
        data: dict[str, Any] = body["data"]
        return data

    return read_data


@pytest.fixture
def kind() -> str:
    """The beginning of event types that no other test writes."""
    return f"lms_{uuid4().hex}"


@pytest.fixture
def moment() -> datetime:
    """Long ago, and a minute around it that is no other test's."""
    return datetime(1980, 1, 1, tzinfo=UTC) + timedelta(minutes=random.randrange(10**7))  # noqa: S311 - no secret


async def _write(sessions: Sessions, *events: dict[str, Any]) -> None:
    """Events as they stand in the table, each an hour old unless it says.

    An event that is dated back comes too late for an hour that is counted: none is, any more.
    """
    rows = [
        {
            "session_id": uuid4(),
            "event_category": "lms",
            "event_data": {},
            "created_at": func.now() - timedelta(hours=1),
        }
        | event
        for event in events
    ]
    async with sessions() as session, session.begin():
        await session.execute(delete(ActivityHour))
        for row in rows:
            await session.execute(insert(ActivityEvent).values(row))


def _minute(moment: datetime) -> dict[str, str]:
    end = moment + timedelta(seconds=59)
    return {"start_date": moment.isoformat(), "end_date": end.isoformat()}


async def test_a_recorded_submission_is_shown_with_name_and_duration(
    read: Read, spark: Spark, student: SignedIn, assignment: Assignment, sessions: Sessions
) -> None:
    answered = (await spark.submit(submission(student, assignment))).json()
    data = await read(event_type="spark_webhook_success", limit=500)
    (event,) = [event for event in data["events"] if event["user_id"] == student.user_id]
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(User.display_name).where(User.id == UUID(student.user_id))
        )
    assert event == {
        "id": event["id"],
        "timestamp": event["timestamp"],
        "event_type": "spark_webhook_success",
        "event_category": "lms",
        "user_id": student.user_id,
        "user_name": found.scalar_one(),
        "duration_ms": event["event_data"]["processing_time_ms"],
        "event_data": {
            "completion_id": answered["completion_id"],
            "submission_id": answered["submission_id"],
            "spark_assignment_id": assignment.spark_assignment_id,
            "spark_course_id": assignment.spark_course_id,
            "quest_id": str(assignment.quest_id),
            "task_id": answered["task_id"],
            "file_count": 0,
            "document_id": event["event_data"]["document_id"],
            "xp_awarded": answered["xp_awarded"],
            "pillar": "stem",
            "revision": 1,
            "is_first": True,
            "processing_time_ms": event["duration_ms"],
        },
        "description": "Submission recorded",
        "status": "success",
    }
    assert event["user_name"]
    assert event["duration_ms"] >= 0


async def test_counts_cover_everything_and_the_list_its_newest(
    read: Read, sessions: Sessions, kind: str, moment: datetime
) -> None:
    """DEFECTS 73: not the rate of the page, and no row beyond a cap forgotten."""
    types = [f"{kind}_success"] * 7 + [f"{kind}_failed"] * 5
    await _write(
        sessions,
        *(
            {"event_type": event_type, "created_at": moment + timedelta(seconds=second)}
            for second, event_type in enumerate(types)
        ),
    )
    data = await read(**_minute(moment), limit=6)
    assert set(data) == {"events", "total_count", "summary", "filters_applied"}
    assert [event["event_type"] for event in data["events"]] == [
        *[f"{kind}_failed"] * 5,
        f"{kind}_success",
    ]
    assert data["total_count"] == 12
    assert data["summary"] == {
        "success_count": 7,
        "failed_count": 5,
        "success_rate": 58.3,
        "event_type_counts": {f"{kind}_success": 7, f"{kind}_failed": 5},
    }


@pytest.mark.parametrize("finding", ["OPERATOR 15"])
async def test_the_rate_counts_what_could_only_be_counted_and_leaves_limits_out(
    read: Read, sessions: Sessions, moment: datetime, finding: str
) -> None:
    rows = [
        ("spark_webhook_success", 1),
        ("spark_webhook_failed", 1),
        ("spark_rate_limited", 1000),
        ("spark_failures_unwritten", 5),
        ("spark_failures_unwritten", 1),
    ]
    await _write(
        sessions,
        *(
            {"event_type": event_type, "created_at": moment, "event_data": {"times": times}}
            for event_type, times in rows
        ),
    )
    data = await read(**_minute(moment))
    assert data["total_count"] == len(rows)
    summary = data["summary"]
    assert (summary["success_count"], summary["failed_count"]) == (1, 7)
    assert summary["success_rate"] == 12.5
    limited = await read(**_minute(moment), event_type="spark_rate_limited")
    assert (limited["total_count"], limited["summary"]["failed_count"]) == (1, 0)


async def test_what_was_applied_is_said(read: Read) -> None:
    data = await read(start_date="2003-05-06", end_date="2003-05-06", status="failed", limit=6)
    assert data["filters_applied"] == {
        "start_date": "2003-05-06T00:00:00Z",
        "end_date": "2003-05-06T23:59:59.999999Z",
        "event_type": None,
        "status": "failed",
        "request_id": None,
        "limit": 6,
    }


async def test_a_failure_is_found_behind_a_page_of_successes(
    read: Read, sessions: Sessions, moment: datetime
) -> None:
    """DEFECTS 73: the filter came after the limit, and a hundred successes hid every failure."""
    await _write(
        sessions,
        {"event_type": "spark_token_code_reuse", "created_at": moment},
        *(
            {"event_type": "spark_sso_success", "created_at": moment + timedelta(seconds=1)}
            for _ in range(101)
        ),
    )
    asked = _minute(moment)
    failed = await read(**asked, status="failed")
    assert [event["event_type"] for event in failed["events"]] == ["spark_token_code_reuse"]
    assert failed["summary"]["event_type_counts"] == {"spark_token_code_reuse": 1}
    assert failed["summary"]["success_rate"] == 0
    succeeded = await read(**asked, status="success")
    assert len(succeeded["events"]) == 100
    assert succeeded["total_count"] == succeeded["summary"]["success_count"] == 101


@pytest.mark.parametrize(
    ("event_type", "status"),
    [
        ("spark_file_download_success", "success"),
        ("spark_webhook_replay_attack", "failed"),
        ("spark_token_code_expired", "failed"),
        ("spark_webhook_invalid_signature", "failed"),
        ("spark_account_linked", "success"),
        ("spark_evidence_updated", "success"),
    ],
)
async def test_success_is_what_says_success_or_only_ever_succeeds(
    read: Read, sessions: Sessions, moment: datetime, event_type: str, status: str
) -> None:
    await _write(sessions, {"event_type": event_type, "created_at": moment})
    asked = _minute(moment)
    data = await read(**asked, event_type=event_type)
    assert {event["status"] for event in data["events"]} == {status}
    assert data["summary"][f"{status}_count"] == data["total_count"] == 1
    assert (await read(**asked, event_type=event_type, status=status))["total_count"] == 1


async def test_events_of_the_main_app_itself_are_left_out(
    read: Read, sessions: Sessions, kind: str
) -> None:
    event_type = f"{kind}_success"
    await _write(sessions, {"event_type": event_type, "event_category": "navigation"})
    data = await read(event_type=event_type)
    assert (data["events"], data["total_count"]) == ([], 0)
    assert data["summary"] == {
        "success_count": 0,
        "failed_count": 0,
        "success_rate": 0,
        "event_type_counts": {},
    }


async def test_seven_days_and_a_hundred_events_are_the_default(
    read: Read, sessions: Sessions, kind: str
) -> None:
    event_type = f"{kind}_failed"
    ages = [timedelta(days=6, hours=23), timedelta(days=7, hours=1), timedelta(hours=-1)]
    await _write(
        sessions, *({"event_type": event_type, "created_at": func.now() - age} for age in ages)
    )
    data = await read(event_type=event_type)
    assert data["total_count"] == len(data["events"]) == 1
    applied = data["filters_applied"]
    start, end = (datetime.fromisoformat(applied[name]) for name in ("start_date", "end_date"))
    assert end - start == timedelta(days=7)
    assert applied["limit"] == 100


@pytest.mark.parametrize(
    ("start_date", "end_date", "found"),
    [
        ("2006-05-06", "2006-05-06", 3),
        ("2006-05-05", "2006-05-05", 1),
        ("2006-05-05", "2006-05-07", 5),
        ("2006-05-06T00:00:00Z", "2006-05-06T12:00:00Z", 2),
        ("2006-05-06T00:00:01", "2006-05-06T12:00:00", 1),  # without an offset: UTC
        ("2006-05-06T02:00:00+02:00", "2006-05-06T02:00:00+02:00", 1),
        ("2006-05-06", "2006-05-06T00:00:00Z", 1),
    ],
)
async def test_a_date_means_its_whole_day_and_a_moment_itself(
    read: Read, sessions: Sessions, kind: str, start_date: str, end_date: str, found: int
) -> None:
    moments = [
        datetime(2006, 5, 5, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2006, 5, 6, tzinfo=UTC),
        datetime(2006, 5, 6, 12, tzinfo=UTC),
        datetime(2006, 5, 6, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2006, 5, 7, tzinfo=UTC),
    ]
    await _write(sessions, *({"event_type": kind, "created_at": moment} for moment in moments))
    data = await read(start_date=start_date, end_date=end_date, event_type=kind)
    assert data["total_count"] == len(data["events"]) == found


async def test_an_end_alone_looks_back_a_week_from_there(
    read: Read, sessions: Sessions, kind: str
) -> None:
    moments = [datetime(2007, 5, day, tzinfo=UTC) for day in (1, 2, 8, 9)]
    await _write(sessions, *({"event_type": kind, "created_at": moment} for moment in moments))
    assert (await read(end_date="2007-05-08T12:00:00Z", event_type=kind))["total_count"] == 2


@pytest.mark.parametrize(
    ("event", "duration_ms", "description"),
    [
        (
            {
                "event_type": "spark_webhook_failed",
                "event_data": {"error_type": "user_not_found", "error_message": "No student"},
            },
            None,
            "Submission failed: No student",
        ),
        ({"event_type": "lms_roster_import", "event_data": None}, None, "Lms roster import"),
        (
            {"event_type": "spark_sso_failed", "event_data": {"error_message": 7}},
            None,
            "Sign-in from Spark failed",
        ),
        (
            {"event_type": "spark_sso_failed", "event_data": {"error_message": "x" * 9000}},
            None,
            f"Sign-in from Spark failed: {'x' * 200}",
        ),
        (
            {
                "event_type": "spark_webhook_success",
                "event_data": {"processing_time_ms": 12},
                "duration_ms": 34,
            },
            34,
            "Submission recorded",
        ),
        (
            {"event_type": "spark_webhook_success", "event_data": {"processing_time_ms": "12"}},
            None,
            "Submission recorded",
        ),
    ],
)
async def test_an_event_of_any_shape_is_described(
    read: Read,
    sessions: Sessions,
    moment: datetime,
    event: dict[str, Any],
    duration_ms: int | None,
    description: str,
) -> None:
    await _write(sessions, event | {"created_at": moment})
    (shown,) = (await read(**_minute(moment)))["events"]
    assert shown["duration_ms"] == duration_ms
    assert shown["description"] == description
    assert shown["user_name"] is None


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"start_date": "yesterday"}, "start_date"),
        ({"start_date": ""}, "start_date"),
        ({"start_date": "1700000000"}, "start_date"),
        ({"end_date": "2026-02-30"}, "end_date"),
        ({"end_date": "0001-01-02"}, "end_date"),
        ({"end_date": "9999-12-31T23:59:59-14:00"}, "end_date"),
        ({"start_date": "2026-05-07", "end_date": "2026-05-06"}, "start_date"),
        ({"start_date": "2999-01-01"}, "start_date"),
        ({"status": "expired"}, "status"),
        ({"event_type": "spark%"}, "event_type"),
        ({"event_type": "x" * 101}, "event_type"),
        ({"event_type": "a\x00"}, "event_type"),
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"stauts": "failed"}, "stauts"),
    ],
)
async def test_what_cannot_be_asked_is_named_and_not_repeated(
    browser: httpx.AsyncClient, main_app: dict[str, str], params: dict[str, str], field: str
) -> None:
    problem = assert_problem(
        await browser.get(PATH, params=params, headers=main_app), 400, "field_invalid"
    )
    assert problem["error"] == f"Invalid field: {field}"
    assert problem["success"] is False


async def test_only_a_service_key_may_read_it(
    browser: httpx.AsyncClient, student: SignedIn
) -> None:
    for headers in ({}, {"Authorization": f"Bearer {student.access_token}"}):
        problem = assert_problem(await browser.get(PATH, headers=headers), 401, "unauthorized")
        assert problem["success"] is False


async def test_other_routes_say_nothing_of_success(browser: httpx.AsyncClient) -> None:
    problem = assert_problem(await browser.get("/internal/v1/lms/platforms"), 401, "unauthorized")
    assert "success" not in problem
