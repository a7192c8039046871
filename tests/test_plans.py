"""Each list is carried by an index: nothing is sorted or read through that grows with its table."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Insert, Select, Update, literal, select
from sqlalchemy.sql import ClauseElement

from app.accounts.owners import OWNERS
from app.activity.follow import AFTER, OF_TYPES, PLACE
from app.activity.hours import COUNT, COUNTED_UNTIL
from app.activity.log_page import AppliedFilters, Status
from app.activity.search import MORE_UNWRITTEN, NEWEST, NEWEST_OF_REQUEST, select_counts
from app.alerts.evaluate import MEASURES
from app.alerts.rules import RULES
from app.database import Sessions, Statement, create_engine, open_sessions
from app.deliveries.end_waiting import END as END_WAITING
from app.deliveries.inbox import WAS_TAKEN
from app.deliveries.read_inbox import (
    COUNTS,
    DeliveryFilter,
    newest_deliveries,
    outcome_counts,
)
from app.evidence.list_completions import CompletionFilter, completions_of
from app.grades.list_grades import DEAD_QUESTS
from app.jobs.lease import _CLAIM as CLAIM_JOBS
from app.jobs.lease import _FREE_LAPSED as FREE_LAPSED
from app.jobs.lease import LEASE
from app.jobs.try_early import OF_ASSIGNMENTS, OF_STUDENTS
from app.learning.read_experience import newest_awards
from app.privacy.expire_submissions import _FIND as FIND_OLD
from app.privacy.retention import BATCH_ROWS, rules
from app.settings import Settings
from app.sso.authorization_codes import CLAIM, SIGN_IN
from app.sso.sign_in import ENTER
from app.submissions.admit import ADMIT
from app.submissions.going_live import _LOOK as LOOK_AT_STEPS
from app.submissions.list_submissions import SubmissionFilter, newest_submissions
from app.submissions.replay_many import REPLAYED
from app.submissions.revisions import STAND
from app.submissions.write import WRITE
from tests.support.databases import ready_database
from tests.support.plans import plan

NOW = datetime(2026, 11, 23, tzinfo=UTC)
HOURS = {
    "start": NOW,
    "first_hour": NOW,
    "last_hour": NOW + timedelta(hours=3),
    "end": NOW + timedelta(hours=4),
}
PAGE = {"event_types": ["a", "b"], "start_date": NOW, "end_date": NOW, "at_most": 100}
# What the main app calls the same of its own.
THEIRS = {
    "quest_task_completions_user_id_task_id_key": "uq_quest_task_completions_user_id_task_id",
    "user_activity_events_pkey": "pk_user_activity_events",
    "users_pkey": "pk_users",
}
ours = pytest.mark.own_database("an index that only `adopt --indexes` makes beside the main app")
BY_TIME = "ix_user_activity_events_created_at_event_type"
BY_TYPE = "ix_user_activity_events_event_type_created_at"


@pytest.fixture(scope="module")
async def sessions(settings: Settings) -> AsyncIterator[Sessions]:
    """Of an empty database: plans depend on what the others hold."""
    async with ready_database(settings) as own:
        engine = create_engine(own)
        yield open_sessions(engine, at_once=1)
        await engine.dispose()


async def _indexes(
    sessions: Sessions,
    statement: ClauseElement | str,
    params: Any = None,
    *,
    is_whole: bool = False,
) -> tuple[str, list[str]]:
    """Its plan, and the indexes in it. Of a list, which is not whole, without what is done for each
    row of a page.
    """
    if isinstance(statement, Update | Insert):
        statement = select(literal(value=True)).add_cte(statement.cte())
    async with sessions() as session, session.begin():
        planned = await plan(session, statement, params)
    if not is_whole:
        planned, *_ = planned.split("SubPlan")
    assert "Seq Scan" not in planned, planned
    found = re.findall(r"(?:using|Index Scan on) (\w+)", planned)
    return planned, [THEIRS.get(index, index) for index in found]


def _deliveries(**filters: Any) -> Select[*tuple[Any, ...]]:
    return newest_deliveries(DeliveryFilter(**filters), uuid4(), 51)


async def test_a_text_that_was_taken_before_is_found_by_its_digest(sessions: Sessions) -> None:
    _, indexes = await _indexes(sessions, WAS_TAKEN, {"digest": b"", "route": "/"})
    assert set(indexes) == {"ix_deliveries_digest"}


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({}, "pk_deliveries"),
        ({"status": "success"}, "ix_deliveries_accepted"),
        ({"status": "refused"}, "ix_deliveries_refused"),
        ({"outcome": "success"}, "ix_deliveries_accepted"),
        ({"outcome": "refused"}, "ix_deliveries_refused"),
        ({"code": "field_invalid"}, "ix_deliveries_code_id"),
        ({"code": "field_invalid", "status": "refused"}, "ix_deliveries_code_id"),
        ({"spark_user_id": "student_42"}, "ix_deliveries_spark_user_id_id"),
        ({"spark_assignment_id": "essay_1"}, "ix_deliveries_spark_assignment_id_id"),
        ({"request_id": "trace-0123456789"}, "ix_deliveries_request_id_id"),
        ({"webhook_id": "msg_1"}, "ix_deliveries_webhook_id_id"),
        ({"received_from": NOW, "received_to": NOW}, "pk_deliveries"),
        ({"received_from": NOW, "outcome": "refused"}, "ix_deliveries_refused"),
    ],
    ids=str,
)
async def test_deliveries_come_in_the_order_of_an_index(
    sessions: Sessions, filters: dict[str, Any], index: str
) -> None:
    planned, indexes = await _indexes(sessions, _deliveries(**filters))
    assert index in indexes, planned
    assert "Sort" not in planned, planned


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"code": "field_invalid"},
        {"spark_user_id": "student_42"},
        {"spark_assignment_id": "essay_1", "received_from": NOW},
        {"received_from": NOW, "received_to": NOW},
    ],
    ids=str,
)
async def test_outcomes_are_counted_in_the_order_of_an_index(
    sessions: Sessions, filters: dict[str, Any]
) -> None:
    """Each as its list is read, and only so far."""
    planned, indexes = await _indexes(sessions, outcome_counts(DeliveryFilter(**filters)))
    assert len(indexes) == planned.count("Limit") == 3, planned
    assert "Sort" not in planned, planned


async def test_deliveries_of_a_period_are_counted_from_an_index(sessions: Sessions) -> None:
    period = {"received_from": NOW, "received_to": NOW}
    _, indexes = await _indexes(sessions, COUNTS, period)
    assert indexes == ["ix_deliveries_received_at"]


@ours
async def test_what_could_only_be_counted_is_found_by_its_type(sessions: Sessions) -> None:
    _, indexes = await _indexes(sessions, MORE_UNWRITTEN, HOURS)
    assert indexes == [BY_TYPE]


def test_a_page_of_deliveries_hashes_no_table() -> None:
    """EXISTS lets the planner read all texts for one page, where the table is of middling size."""
    assert "EXISTS" not in str(_deliveries())


ANY_ID = UUID(int=1 << 100)
SUBMISSIONS: dict[str, tuple[dict[str, Any], str]] = {
    "all": ({}, "pk_submission_revisions"),
    "user": ({"user_id": ANY_ID}, "ix_submission_revisions_user_id_id"),
    "spark user": ({"spark_user_id": "student_42"}, "ix_submission_revisions_user_id_id"),
    "assignment": (
        {"spark_assignment_id": "essay_1"},
        "ix_submission_revisions_spark_assignment_id_id",
    ),
    "quest": ({"quest_id": ANY_ID}, "ix_submission_revisions_quest_id_id"),
    "time": ({"received_from": NOW, "received_to": NOW}, "pk_submission_revisions"),
    "replaced": ({"outcome": "replaced"}, "ix_submission_revisions_replaced"),
    "replaced of a quest": (
        {"outcome": "replaced", "quest_id": ANY_ID},
        "ix_submission_revisions_",
    ),
    "current of a user": (
        {"outcome": "current", "user_id": ANY_ID},
        "ix_submission_revisions_user_id_id",
    ),
    "user and time": (
        {"user_id": ANY_ID, "received_from": NOW},
        "ix_submission_revisions_user_id_id",
    ),
}


@pytest.mark.parametrize(("filters", "index"), SUBMISSIONS.values(), ids=SUBMISSIONS)
async def test_submissions_come_in_the_order_of_an_index(
    sessions: Sessions, filters: dict[str, Any], index: str
) -> None:
    statement = newest_submissions(SubmissionFilter(**filters), None, 51)
    planned, _ = await _indexes(sessions, statement)
    assert f"Backward using {index}" in planned, planned
    assert "Sort" not in planned, planned


async def test_the_ledger_comes_in_the_order_of_an_index(sessions: Sessions) -> None:
    planned, _ = await _indexes(sessions, newest_awards(ANY_ID, ANY_ID, 51))
    assert "Backward using ix_xp_ledger_user_id_id" in planned, planned
    assert "Sort" not in planned, planned


async def test_completions_are_those_of_a_student_in_an_index(sessions: Sessions) -> None:
    """What is sorted then does not grow with the table."""
    filters = CompletionFilter(user_id=ANY_ID, since=NOW)
    planned, indexes = await _indexes(sessions, completions_of(filters, ANY_ID, 51))
    assert "uq_quest_task_completions_user_id_task_id" in indexes, planned


@ours
async def test_owners_of_addresses_are_found_by_an_index(sessions: Sessions) -> None:
    planned, indexes = await _indexes(sessions, OWNERS, {"emails": ["a@example.com"]})
    assert "ix_users_email_lower" in indexes, planned


async def test_followed_events_come_in_the_order_of_their_positions(sessions: Sessions) -> None:
    planned, indexes = await _indexes(sessions, AFTER, {"after": 5, "at_most": 50})
    assert indexes == ["uq_events_position", "pk_user_activity_events"], planned
    assert "Sort" not in planned, planned


@pytest.mark.own_database("in an empty table the planner prefers the main app's index of types")
async def test_followed_events_of_a_type_are_looked_for_in_a_window(sessions: Sessions) -> None:
    params = {"after": 5, "types": ["spark_webhook_success"], "window": 1000, "at_most": 50}
    planned, indexes = await _indexes(sessions, OF_TYPES, params)
    assert indexes == ["uq_events_position", "pk_user_activity_events"], planned
    assert "Sort" not in planned, planned


async def test_events_that_wait_are_found_without_those_that_do_not(sessions: Sessions) -> None:
    planned, indexes = await _indexes(sessions, PLACE, {"at_most": 50})
    assert sorted(indexes) == ["ix_events_waiting", "pk_events"], planned
    assert "Sort" not in planned, planned


async def test_early_homework_is_found_without_the_rest_of_the_inbox(sessions: Sessions) -> None:
    """Of students, and for assignments: by who refused it, whose or what it is."""
    for order in (OF_STUDENTS, OF_ASSIGNMENTS):
        planned, indexes = await _indexes(sessions, order.sql, (["essay_1", "essay_2"],))
        assert {index for index in indexes if "deliveries" in index} <= {
            "ix_deliveries_spark_user_id_id",
            "ix_deliveries_spark_assignment_id_id",
            "ix_deliveries_code_id",
            "ix_deliveries_refused",
        }, planned


# Of each type, what may stand for any value.
SAMPLES: dict[str, Any] = {
    "bool": True,
    "bytea": b"",
    "int4": 1,
    "int8": 1,
    "interval": LEASE,
    "jsonb": "[]",
    "numeric": 1,
    "text": "a",
    "timestamptz": NOW,
    "uuid": ANY_ID,
    "varchar": "a",
}
# Of a link's two keys, and of others that lead to one row, an empty table has no better one.
WHOLE = {
    "enter": (ENTER, {"pk_users"}),
    "claim": (CLAIM, {"pk_spark_auth_codes"}),
    "sign-in": (SIGN_IN, {"pk_spark_auth_codes", "ix_sso_replays_code_hash"}),
    "stand": (STAND, {"uq_quest_task_completions_user_id_task_id"}),
    "write": (WRITE, {"pk_users"}),
    "claim jobs": (CLAIM_JOBS, {"ix_jobs_kind_run_at", "ix_jobs_target_run_at", "pk_jobs"}),
    "quests of dead grades": (DEAD_QUESTS, {"ix_jobs_died_at_kind", "pk_grades"}),
    "free lapsed jobs": (FREE_LAPSED, {"ix_jobs_lease_until", "pk_jobs"}),
    "old submissions": (
        FIND_OLD,
        {"pk_submission_revisions", "uq_submission_revisions_completion_id_revision"},
    ),
    "end waiting": (END_WAITING, {"ix_deliveries_received_at", "pk_deliveries"}),
}


MEASURED_BY = {
    "sign_in_failures": {BY_TIME},
    "signature_failures": {BY_TIME},
    "download_failures": {BY_TYPE},
    "submission_success": {BY_TYPE},
    "dead_jobs": {"ix_jobs_died_at_kind"},
    "jobs_late": {"pk_job_targets", "ix_jobs_target_run_at"},
    "location_unknown": {"ix_uploads_unread"},
    "files_unscanned": {"ix_uploads_unscanned"},
}


@ours
@pytest.mark.parametrize("name", MEASURED_BY)
async def test_alerts_are_measured_by_times_in_an_index(sessions: Sessions, name: str) -> None:
    """Those of targets read all of them: they are few."""
    [rule] = [each for each in RULES if each.name == name]
    measure, values = MEASURES[name], {"now": NOW, "threshold": rule.threshold}
    planned, indexes = await _indexes(sessions, measure.sql, tuple(map(values.get, measure.names)))
    assert set(indexes) == MEASURED_BY[name], planned
    for column in ("created_at", "died_at", "run_at"):
        if f"{column} >" in measure.sql or f"{column} <" in measure.sql:
            assert re.search(rf"Index Cond: .*\b{column} [<>]", planned), planned


async def _samples(sessions: Sessions, statement: Statement) -> tuple[Any, ...]:
    async with sessions() as session:
        connection = (await session.get_raw_connection()).driver_connection
        assert connection
        types = (await connection.prepare(statement.sql)).get_parameters()
    return tuple(
        [SAMPLES[each.name.removesuffix("[]")]] if each.kind == "array" else SAMPLES[each.name]
        for each in types
    )


@pytest.mark.parametrize(
    ("statement", "keys"),
    [*WHOLE.values(), pytest.param(ADMIT, {"pk_users"}, marks=ours)],
    ids=[*WHOLE, "admit"],
)
async def test_whole_statements_find_their_rows_by_keys(
    sessions: Sessions, statement: Statement, keys: set[str]
) -> None:
    samples = await _samples(sessions, statement)
    planned, indexes = await _indexes(sessions, statement.sql, samples, is_whole=True)
    assert keys <= set(indexes), planned


async def test_what_was_never_seen_is_looked_for_among_the_newest(sessions: Sessions) -> None:
    """Not through all that was ever taken, whenever somebody opens the console."""
    samples = await _samples(sessions, LOOK_AT_STEPS)
    async with sessions() as session, session.begin():
        planned = await plan(session, LOOK_AT_STEPS.sql, samples)
    assert re.search(r"CTE newest\n +->  Limit ", planned), planned
    assert planned.count("CTE Scan on newest") == 6, planned  # json, form, again, retry, v0, v1


async def test_what_was_replayed_is_counted_without_the_rest(sessions: Sessions) -> None:
    planned, indexes = await _indexes(sessions, REPLAYED)
    assert indexes == ["ix_deliveries_replayed"], planned


def _filters(**filters: Any) -> AppliedFilters:
    every = {"event_type": None, "status": None, "request_id": None}
    return AppliedFilters(start_date=NOW, end_date=NOW, limit=100, **(every | filters))


BOUNDED = re.compile(r"Index Cond: .*\(created_at >= .*\) AND \(created_at < ")


@pytest.mark.parametrize("event_type", [None, "spark_webhook_failed"])
@pytest.mark.parametrize("status", [None, "failed"])
async def test_counts_read_the_hours_and_what_lies_around_them(
    sessions: Sessions, event_type: str | None, status: Status | None
) -> None:
    wanted = _filters(event_type=event_type, status=status)
    planned, indexes = await _indexes(sessions, select_counts(wanted), HOURS)
    assert "pk_activity_hours" in indexes, planned
    assert len(BOUNDED.findall(planned)) == 2, planned


async def test_a_day_is_counted_from_an_index(sessions: Sessions) -> None:
    planned, _ = await _indexes(sessions, COUNT)
    assert len(BOUNDED.findall(planned)) == 1, planned
    planned, indexes = await _indexes(sessions, COUNTED_UNTIL)
    assert indexes == ["pk_activity_hours"], planned


@ours
async def test_a_page_of_the_log_reads_the_newest_of_each_type(sessions: Sessions) -> None:
    planned, indexes = await _indexes(sessions, NEWEST, PAGE)
    assert set(indexes) == {BY_TYPE}, planned
    assert f"Index Only Scan Backward using {BY_TYPE}" in planned
    conditions = re.findall(r"Index Cond: \(\(ROW\(.*", planned)
    assert len(conditions) == 2, planned  # both ends of the range
    sorted_before = re.findall(r"Presorted Key: .*event_type.*created_at", planned)
    assert len(sorted_before) == 1, planned  # what is left to sort are equal moments


@ours
async def test_the_failures_of_a_request_are_read_and_counted_by_it(sessions: Sessions) -> None:
    asked = {"request_id": "trace-0123456789"}
    statements = (
        (select_counts(_filters(**asked)), HOURS | asked),
        (NEWEST_OF_REQUEST, PAGE | asked),
    )
    for statement, params in statements:
        planned, indexes = await _indexes(sessions, statement, params)
        assert indexes == ["ix_user_activity_events_request_id"], planned


@pytest.mark.parametrize(
    "name", ["activity", pytest.param("activity_personal", marks=ours), "audit_log", "deliveries"]
)
async def test_what_is_old_is_found_by_an_index(
    settings: Settings, sessions: Sessions, name: str
) -> None:
    [rule] = [rule for rule in rules(settings) if rule.name == name]
    due = select(rule.table).where(rule.is_due).limit(BATCH_ROWS)
    _, indexes = await _indexes(sessions, due)
    assert len(indexes) == 1
    if name == "activity_personal":
        assert indexes == ["ix_user_activity_events_personal"]
