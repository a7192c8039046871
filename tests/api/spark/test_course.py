"""The course webhook: who may send, what is read, and what is kept of it (FAULTS C, D, P168)."""

import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Row, select, text, update

from app.database import Sessions
from app.models import ActivityEvent, CourseQuestTask, Quest
from app.settings import Settings
from tests.api.spark.conftest import spark_at
from tests.api.spark.test_submission_json import BAD_IDS, NOT_JSON, Spoil
from tests.support.courses import (
    COURSE,
    Course,
    course,
    course_rows,
    items,
    send,
    sync,
    synced,
    templates,
)
from tests.support.defaults import RATES
from tests.support.problems import assert_problem
from tests.support.spark import Spark, encoded
from tests.support.stored import count_everything, deliveries_of, eventually

MISSING = "Missing spark_course_id or course_title"


async def quest_row(sessions: Sessions, quest_id: str) -> Row[Any]:
    async with sessions() as session, session.begin():
        found = await session.execute(select(Quest).where(Quest.id == UUID(quest_id)))
        return found.one()


async def events_of(sessions: Sessions, quest_id: str) -> list[Row[Any]]:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(ActivityEvent).where(ActivityEvent.event_data["quest_id"].astext == quest_id)
        )
        return list(found.all())


async def assert_refused(
    spark: Spark, sessions: Sessions, payload: Course, code: str
) -> dict[str, object]:
    """400, and no course and no quest."""
    problem = assert_problem(await sync(spark, payload), 400, code)
    course_id = payload.get("spark_course_id")
    if isinstance(course_id, str) and "\0" not in course_id and course_id.isascii():
        assert await course_rows(sessions, course_id) == []
    return problem


# ---------------------------------------------------------------------------- the answer


async def test_the_answer_has_exactly_the_promised_members(spark: Spark) -> None:
    answer = await sync(spark, course("one", "two", course_title="Weather & wind"))
    body = answer.json()
    assert answer.status_code == 200
    assert body.keys() == {
        *("success", "quest_id", "task_count", "message", "warnings", "request_id"),
    }
    assert (body["success"], body["task_count"]) == (True, 2)
    assert body["message"] == "Quest 'Weather & wind' synced successfully"
    assert body["request_id"] == answer.headers["x-request-id"]


async def test_a_course_becomes_a_quest(spark: Spark, sessions: Sessions) -> None:
    payload = course("one")
    quest = await quest_row(sessions, await synced(spark, payload))
    assert (quest.title, quest.description) == ("Weather", "Wind and water.")
    assert (quest.quest_type, quest.is_active, quest.is_public) == ("course", True, False)
    assert (quest.lms_platform, quest.lms_course_id) == ("spark", payload["spark_course_id"])
    assert quest.lms_assignment_id is None


async def test_each_assignment_becomes_a_template_task(spark: Spark, sessions: Sessions) -> None:
    found = await templates(sessions, await synced(spark, course("one", "two")))
    assert [(task.spark_assignment_id, task.title, task.description) for task in found] == [
        ("one", "Do one", "How to one"),
        ("two", "Do two", "How to two"),
    ]
    assert [task.order_index for task in found] == [0, 1]
    assert {(task.pillar, task.xp_value, task.is_required) for task in found} == {
        ("stem", 100, True)
    }


@pytest.mark.parametrize("spark_org_id", [..., None, 24], ids=["absent", "null", "integer"])
async def test_the_organisation_is_optional(
    spark: Spark, sessions: Sessions, spark_org_id: object
) -> None:
    payload = course("one", spark_org_id=spark_org_id)
    await synced(spark, payload)
    [row] = await course_rows(sessions, payload["spark_course_id"])
    assert row.spark_org_id == ("24" if spark_org_id == 24 else "")


async def test_integers_are_their_decimal_text(spark: Spark, sessions: Sessions) -> None:
    number = secrets.randbelow(10**12)
    quest_id = await synced(spark, course(spark_course_id=number, assignments=items(7)))  # type: ignore[arg-type]
    [task] = await templates(sessions, quest_id)
    assert task.spark_assignment_id == "7"
    assert len(await course_rows(sessions, str(number))) == 1


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("2026-12-01T23:59:00Z", datetime(2026, 12, 1, 23, 59, tzinfo=UTC)),
        ("2026-12-01T23:59:00-07:00", datetime(2026, 12, 2, 6, 59, tzinfo=UTC)),
        ("2026-12-01T23:59:00", datetime(2026, 12, 1, 23, 59, tzinfo=UTC)),
        (None, None),
    ],
)
async def test_a_due_date_is_kept_and_changed(
    spark: Spark, sessions: Sessions, sent: str | None, kept: datetime | None
) -> None:
    payload = course(assignments=items("one", due_date="2026-11-30T08:00:00Z"))
    quest_id = await synced(spark, payload)
    await synced(spark, payload | {"assignments": items("one", due_date=sent)})
    [task] = await templates(sessions, quest_id)
    assert task.due_date == kept


async def test_a_course_may_have_1000_assignments(spark: Spark, sessions: Sessions) -> None:
    payload = course(*(f"a{number}" for number in range(1000)))
    answer = await sync(spark, payload)
    assert answer.json()["task_count"] == 1000
    found = await templates(sessions, answer.json()["quest_id"])
    assert [task.spark_assignment_id for task in found] == [f"a{n}" for n in range(1000)]
    payload["assignments"] += items("one_more")
    assert_problem(await sync(spark, payload), 400, "field_invalid")


# ---------------------------------------------------------------------------- again


@pytest.mark.parametrize("row", ["P168"])
async def test_the_same_again_changes_nothing(spark: Spark, sessions: Sessions, row: str) -> None:
    payload = course("one", "two")
    first = (await sync(spark, payload)).json()
    before = [task.id for task in await templates(sessions, first["quest_id"])]
    second = (await sync(spark, payload)).json()
    assert second | {"request_id": ""} == first | {"request_id": ""}
    assert [task.id for task in await templates(sessions, first["quest_id"])] == before


@pytest.mark.parametrize("row", ["P168"])
async def test_titles_and_order_follow(spark: Spark, sessions: Sessions, row: str) -> None:
    payload = course("one", "two", "three")
    quest_id = await synced(spark, payload)
    before = {task.spark_assignment_id: task.id for task in await templates(sessions, quest_id)}
    changed = {
        "course_title": "Climate",
        "course_description": None,
        "assignments": [*items("three", "two", title="Anew"), *items("one", description=None)],
    }
    assert await synced(spark, payload | changed) == quest_id
    quest = await quest_row(sessions, quest_id)
    assert (quest.title, quest.description) == ("Climate", None)
    found = await templates(sessions, quest_id)
    assert [(task.spark_assignment_id, task.title, task.description) for task in found] == [
        ("three", "Anew", "How to three"),
        ("two", "Anew", "How to two"),
        ("one", "Do one", None),
    ]
    assert {task.spark_assignment_id: task.id for task in found} == before


async def test_what_the_main_app_set_survives_a_sync(spark: Spark, sessions: Sessions) -> None:
    payload = course("one")
    quest_id = await synced(spark, payload)
    ours = {"pillar": "art", "xp_value": 250, "diploma_subjects": ["Fine Arts"]}
    async with sessions() as session, session.begin():
        await session.execute(
            update(CourseQuestTask).where(CourseQuestTask.quest_id == UUID(quest_id)).values(ours)
        )
    await synced(spark, payload | {"assignments": items("one", title="Renamed")})
    [task] = await templates(sessions, quest_id)
    assert task.title == "Renamed"
    assert {name: getattr(task, name) for name in ours} == ours


@pytest.mark.parametrize("assignments", [..., None, []], ids=["absent", "null", "empty"])
async def test_without_assignments_they_stay(
    spark: Spark, sessions: Sessions, assignments: object
) -> None:
    payload = course("one", "two")
    quest_id = await synced(spark, payload)
    without = {
        name: value
        for name, value in (payload | {"assignments": assignments}).items()
        if value is not ...
    }
    answer = await sync(spark, without)
    assert (answer.status_code, answer.json()["task_count"]) == (200, 0)
    assert [task.retired_at for task in await templates(sessions, quest_id)] == [None, None]


async def test_an_assignment_that_disappears_is_retired_and_may_come_back(
    spark: Spark, sessions: Sessions
) -> None:
    payload = course("one", "two")
    quest_id = await synced(spark, payload)
    before = await templates(sessions, quest_id)
    await synced(spark, payload | {"assignments": items("one")})
    one, two = await templates(sessions, quest_id)
    assert (one.retired_at, one.is_required) == (None, True)
    assert (two.retired_at is not None, two.is_required) == (True, False)
    assert (await sync(spark, payload)).json()["task_count"] == 2
    after = await templates(sessions, quest_id)
    assert [(task.id, task.retired_at, task.is_required) for task in after] == [
        (task.id, None, True) for task in before
    ]


async def test_one_course_id_in_two_organisations_is_two_courses(
    spark: Spark, sessions: Sessions
) -> None:
    first = course("one")
    second = first | {"spark_org_id": "another", "course_title": "Theirs"}
    quests = [await synced(spark, payload) for payload in (first, second)]
    assert len(set(quests)) == 2
    assert (await quest_row(sessions, quests[0])).title == "Weather"
    assert len(await course_rows(sessions, first["spark_course_id"])) == 2


# ---------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("value", [..., None], ids=["absent", "null"])
@pytest.mark.parametrize("field", ["spark_course_id", "course_title"])
async def test_a_course_needs_its_id_and_title(
    spark: Spark, sessions: Sessions, field: str, value: object
) -> None:
    problem = await assert_refused(
        spark, sessions, course("one", **{field: value}), "field_missing"
    )
    assert problem["error"] == MISSING


@pytest.mark.parametrize("row", ["P071"])
async def test_a_submission_is_no_course(spark: Spark, row: str) -> None:
    payload = {"spark_user_id": "s", "spark_assignment_id": "a", "submitted_at": "x"}
    problem = assert_problem(await sync(spark, payload), 400, "field_missing")
    assert problem["error"] == MISSING


async def test_an_empty_body_is_named(spark: Spark) -> None:
    problem = assert_problem(await sync(spark, b""), 400, "json_invalid")
    assert problem["error"] == "Missing request body"


@pytest.mark.parametrize("spoil", NOT_JSON.values(), ids=NOT_JSON)
async def test_what_is_not_strictly_json_is_refused(
    spark: Spark, sessions: Sessions, spoil: Spoil
) -> None:
    payload = course("one")
    spoilt = spoil(encoded(payload)).replace(b'"spark_user_id"', b'"spark_course_id"')
    assert_problem(await sync(spark, spoilt), 400, "json_invalid")
    assert await course_rows(sessions, payload["spark_course_id"]) == []


@pytest.mark.parametrize("value", BAD_IDS.values(), ids=BAD_IDS)
async def test_an_identifier_is_never_mended(
    spark: Spark, sessions: Sessions, value: object
) -> None:
    problem = await assert_refused(
        spark, sessions, course("one", spark_course_id=value), "field_invalid"
    )
    assert problem["error"] == "Invalid field: spark_course_id"


BAD_ITEMS: dict[str, tuple[str, object]] = {
    "no-id": ("spark_assignment_id", ...),
    "null-id": ("spark_assignment_id", None),
    "no-title": ("title", ...),
    "null-title": ("title", None),
    "empty-title": ("title", ""),
    "blank-title": ("title", " \u2003\n"),
    "nul-title": ("title", "\0"),
    "long-title": ("title", "t" * 501),
    "number-title": ("title", 7),
} | {f"id-{name}": ("spark_assignment_id", value) for name, value in BAD_IDS.items()}


@pytest.mark.parametrize(("field", "value"), BAD_ITEMS.values(), ids=BAD_ITEMS)
async def test_a_bad_item_refuses_the_whole_message_and_is_named(
    spark: Spark, sessions: Sessions, field: str, value: object
) -> None:
    payload = course("one")
    quest_id = await synced(spark, payload)
    before = await templates(sessions, quest_id)
    bad = items("two")[0] | {field: value}
    bad = {name: value for name, value in bad.items() if value is not ...}
    refused = payload | {"course_title": "Refused", "assignments": [*items("one"), bad]}
    problem = assert_problem(await sync(spark, refused), 400, "field_invalid")
    assert problem["error"] == f"Invalid field: assignments.1.{field}"
    assert await templates(sessions, quest_id) == before
    assert (await quest_row(sessions, quest_id)).title == "Weather"


@pytest.mark.parametrize("item", [None, "one", 7, []])
async def test_an_item_is_an_object(spark: Spark, item: object) -> None:
    payload = course(assignments=[*items("one"), item])
    problem = assert_problem(await sync(spark, payload), 400, "field_invalid")
    assert problem["error"] == "Invalid field: assignments.1"


@pytest.mark.parametrize("assignments", [{"one": 1}, "one", 7, True])
async def test_assignments_are_a_list(spark: Spark, assignments: object) -> None:
    answer = await sync(spark, course(assignments=assignments))
    assert assert_problem(answer, 400, "field_invalid")["error"] == "Invalid field: assignments"


@pytest.mark.parametrize("again", ["one", 1], ids=["text", "integer"])
async def test_a_repeated_assignment_is_named(
    spark: Spark, sessions: Sessions, again: object
) -> None:
    first = str(again)
    payload = course(assignments=[*items("zero", first), *items(again)])  # type: ignore[arg-type]
    problem = await assert_refused(spark, sessions, payload, "field_invalid")
    assert problem["error"] == "Invalid field: assignments"
    assert "item 2" in str(problem["hint"])


@pytest.mark.parametrize("title", ["", " \t\u2003", "\0\0", "t" * 501, 7, ["t"]])
async def test_a_course_title_says_something(
    spark: Spark, sessions: Sessions, title: object
) -> None:
    problem = await assert_refused(
        spark, sessions, course("one", course_title=title), "field_invalid"
    )
    assert problem["error"] == "Invalid field: course_title"


async def test_broken_characters_of_texts_are_mended(spark: Spark, sessions: Sessions) -> None:
    """P080, P081"""
    sent = {"title": "Do\0 it \ud83d", "description": "\0How \udc00"}
    payload = course(
        course_title="Wea\0ther \ud83d", assignments=items("one", **sent), course_description="\0"
    )
    answer = await sync(spark, payload)
    assert answer.json()["message"] == "Quest 'Weather \ufffd' synced successfully"
    [task] = await templates(sessions, answer.json()["quest_id"])
    assert (task.title, task.description) == ("Do it \ufffd", "How \ufffd")


@pytest.mark.parametrize("row", ["P085"])
async def test_unknown_fields_are_ignored(spark: Spark, sessions: Sessions, row: str) -> None:
    extras = {"quest_id": "x", "is_public": True, "xp_value": 9999, "pillar": "art", "x": [{}]}
    payload = course(assignments=items("one", **extras), **extras)
    quest_id = await synced(spark, payload)
    assert (await quest_row(sessions, quest_id)).is_public is False
    [task] = await templates(sessions, quest_id)
    assert (task.pillar, task.xp_value) == ("stem", 100)


async def test_a_body_of_more_than_8_mebibytes_is_refused(spark: Spark) -> None:
    """P087"""
    raw = encoded(course("one")).ljust(8 * 1024 * 1024 + 1)
    assert_problem(await sync(spark, raw), 413, "body_too_large")


# ---------------------------------------------------------------------------- who may send


async def test_a_message_signed_by_the_standard_library_is_accepted(spark: Spark) -> None:
    raw = encoded(course("one"))
    assert (await send(spark, raw, spark.sign_v1(raw))).status_code == 200


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        pytest.param(-310, "timestamp_too_old", id="P067-old"),
        pytest.param(310, "timestamp_in_future", id="P067-ahead"),
    ],
)
async def test_an_attempt_that_is_not_of_now_is_refused(
    spark: Spark, seconds: int, code: str
) -> None:
    raw = encoded(course("one"))
    at = datetime.now(tz=UTC) + timedelta(seconds=seconds)
    assert_problem(await send(spark, raw, spark.sign_v1(raw, at=at)), 400, code)


WRONG: dict[str, Callable[[Spark, bytes], dict[str, str]]] = {
    "P057-wrong": lambda *_: {"X-Spark-Signature": "0" * 64},
    "P063-other-bytes": lambda spark, raw: {"X-Spark-Signature": spark.sign(raw + b" ")},
    "P069-one-wrong": lambda spark, raw: spark.sign_v1(raw) | {"X-Spark-Signature": "0" * 64},
}


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG)
async def test_a_wrong_signature_is_refused_and_changes_nothing(
    spark: Spark, sessions: Sessions, headers: Callable[[Spark, bytes], dict[str, str]]
) -> None:
    payload = course("one")
    raw = encoded(payload)
    problem = assert_problem(await send(spark, raw, headers(spark, raw)), 401, "signature_invalid")
    assert problem["error"] == "Invalid signature"
    assert await course_rows(sessions, payload["spark_course_id"]) == []
    assert await deliveries_of(sessions, raw) == []


async def test_without_a_signature_it_says_so(spark: Spark) -> None:
    """P056"""
    problem = assert_problem(await send(spark, b"{}", {}), 401, "signature_missing")
    assert problem["error"] == "Missing signature"


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["compact", "spaced"])
async def test_keys_sorted_for_the_signature_alone_are_diagnosed(
    spark: Spark, separators: tuple[str, str]
) -> None:
    """CONTRACT C29: the old guide signed sorted keys without white space, and sent others."""
    payload = course("one")
    signed = json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()
    raw = json.dumps(payload, separators=separators).encode()
    answer = await send(spark, raw, {"X-Spark-Signature": spark.sign(signed)})
    problem = assert_problem(answer, 401, "signature_invalid")
    assert "with sorted keys" in str(problem["hint"])


async def test_another_media_type_is_refused(spark: Spark) -> None:
    """P073"""
    raw = encoded(course("one"))
    for kind in (
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/json;charset=utf-16",
    ):
        headers = {"Content-Type": kind, "X-Spark-Signature": spark.sign(raw)}
        assert_problem(await send(spark, raw, headers), 415, "media_type_unsupported")


async def test_without_a_secret_the_webhook_is_not_configured(settings: Settings) -> None:
    """P066"""
    async with spark_at(settings, spark_webhook_secret=None) as lms:
        problem = assert_problem(await sync(lms, course("one")), 503, "webhook_not_configured")
    assert problem["error"] == "Webhook not configured"


async def test_wrong_signatures_past_the_limit_wait_and_signed_messages_do_not(
    settings: Settings,
) -> None:
    assert RATES["rate_limit_course_failures"] == 50
    wrong = {"X-Spark-Signature": "0" * 64}
    async with spark_at(settings, rate_limit_course_failures=3) as lms:
        for _ in range(4):
            assert_problem(await sync(lms, course(course_title=...)), 400, "field_missing")
        for _ in range(3):
            assert_problem(await send(lms, b"{}", wrong), 401, "signature_invalid")
        assert_problem(await send(lms, b"{}", wrong), 429, "rate_limited")
        assert (await sync(lms, course("one"))).status_code == 200


# ---------------------------------------------------------------------------- what is left of it


async def test_a_success_is_an_event(spark: Spark, sessions: Sessions) -> None:
    payload = course("one", "two")
    quest_id = await synced(spark, payload)
    await synced(spark, payload | {"assignments": items("two", "three")})
    first, second = sorted(await events_of(sessions, quest_id), key=lambda event: event.created_at)
    assert (first.event_type, first.event_category) == ("spark_course_sync_success", "lms")
    assert (first.user_id, first.page_url) == (None, COURSE)
    assert first.event_data == {
        "spark_org_id": payload["spark_org_id"],
        "spark_course_id": payload["spark_course_id"],
        "quest_id": quest_id,
        "task_count": 2,
        "retired_count": 0,
    }
    assert (second.event_data["task_count"], second.event_data["retired_count"]) == (2, 1)


@pytest.mark.parametrize(
    ("raw", "signature", "event"),
    [
        (b'{"a": 1}', None, ("spark_course_sync_failed", "invalid_data")),
        (b"{}", "0" * 64, ("spark_webhook_invalid_signature", "invalid_signature")),
    ],
    ids=["refused", "wrong-signature"],
)
async def test_a_failure_is_an_event(
    spark: Spark, sessions: Sessions, raw: bytes, signature: str | None, event: tuple[str, str]
) -> None:
    event_type, error_type = event
    statement = text(
        "select count(*) from user_activity_events where page_url = :page and event_type = :type"
        " and event_data->>'error_type' = :error"
    ).bindparams(page=COURSE, type=event_type, error=error_type)

    async def count() -> int:
        async with sessions() as session, session.begin():
            return int((await session.execute(statement)).scalar_one())

    before = await count()
    await send(spark, raw, {"X-Spark-Signature": signature or spark.sign(raw)})

    async def has_come() -> bool:
        return await count() > before

    await eventually(has_come)


async def test_the_inbox_keeps_a_course_and_what_it_was_answered(
    spark: Spark, sessions: Sessions
) -> None:
    payload = course("one")
    good, bad = encoded(payload), encoded(payload | {"assignments": [{}]})
    for raw in (good, bad):
        await sync(spark, raw)
    [kept] = await deliveries_of(sessions, good)
    [refused] = await deliveries_of(sessions, bad)
    assert (kept.route, kept.status, kept.code, kept.message) == (COURSE, 200, None, good)
    assert kept.spark_course_id == payload["spark_course_id"]
    assert (kept.user_id, kept.submission_id, kept.body_bytes) == (None, None, len(good))
    assert (refused.status, refused.code, refused.message) == (400, "field_invalid", bad)


@pytest.mark.parametrize("is_good", [True, False], ids=["accepted", "refused"])
async def test_a_course_is_not_replayed_but_sent_again(
    spark: Spark, sessions: Sessions, main_app: dict[str, str], *, is_good: bool
) -> None:
    """An old state would undo what came since."""
    payload = course("one") if is_good else course("one", course_title=...)
    raw = encoded(payload)
    await sync(spark, raw)
    [before] = await deliveries_of(sessions, raw)
    path = f"/internal/v1/deliveries/{before.id}"
    told = (await spark.browser.get(path, headers=main_app)).json()
    assert (told["replayable"], told["route"]) == (False, COURSE)
    answer = await spark.browser.post(f"{path}/replay", headers=main_app)
    assert "send the course again" in str(assert_problem(answer, 409, "not_replayable")["hint"])
    assert await deliveries_of(sessions, raw) == [before]


# ---------------------------------------------------------------------------- dry run


async def test_a_dry_run_says_what_would_be_and_keeps_nothing(
    spark: Spark, sessions: Sessions
) -> None:
    payload = course("one")
    before = await count_everything(sessions)
    first = (await sync(spark, payload, dry_run="true")).json()
    assert (first["status"], first["would"], first["problems"]) == ("dry_run", "create", [])
    assert await count_everything(sessions) == before
    quest_id = await synced(spark, payload)
    renamed = payload | {"course_title": "Other", "assignments": items("two")}
    assert (await sync(spark, renamed, dry_run="true")).json()["would"] == "revise"
    assert [task.spark_assignment_id for task in await templates(sessions, quest_id)] == ["one"]
    assert (await quest_row(sessions, quest_id)).title == "Weather"


async def test_a_dry_run_lists_every_problem(spark: Spark, sessions: Sessions) -> None:
    raw = encoded(course(course_title=..., assignments=[{"title": " "}, *items("one")]))
    answer = (await sync(spark, raw, dry_run="true")).json()
    assert answer["would"] == "refuse"
    assert [(problem["code"], problem["error"]) for problem in answer["problems"]] == [
        ("field_missing", MISSING),
        ("field_invalid", "Invalid field: assignments.0.spark_assignment_id"),
        ("field_invalid", "Invalid field: assignments.0.title"),
    ]
    assert await deliveries_of(sessions, raw) == []
    empty = (await sync(spark, b"", dry_run="true")).json()
    assert [problem["error"] for problem in empty["problems"]] == ["Missing request body"]


async def test_a_dry_run_needs_a_signature(spark: Spark) -> None:
    wrong = {"X-Spark-Signature": "0" * 64}
    answer = await send(spark, b"{}", wrong, dry_run="true")
    assert_problem(answer, 401, "signature_invalid")
