"""The operator's side of the inbox: what came, what became of it, and once more."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import delete, update

from app.clock import first_id
from app.database import Sessions
from app.models import IdempotencyKey, InboxDelivery
from tests.conftest import create_assignment
from tests.support import samples
from tests.support.bodies import Part
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, SignedIn, Spark, encoded, submission
from tests.support.stored import ONCE, audited, deliveries_of, kept, total_xp

DELIVERIES = "/internal/v1/deliveries"
REPORT = Part("f", samples.pdf(), filename="report.pdf")
MEMBERS = {
    *("id", "route", "media_type", "received_at", "answered_at", "replayed_at", "status", "code"),
    *(
        "request_id",
        "webhook_id",
        "body_bytes",
        "file_count",
        "user_id",
        "spark_user_id",
        "spark_course_id",
    ),
    *("spark_assignment_id", "submission_id", "replayable", "outcome", "http_status"),
    "waiting_for",
}


Items = list[dict[str, Any]]


class Operator:
    """Asks with a service key."""

    def __init__(self, browser: httpx.AsyncClient, key: dict[str, str]) -> None:
        self._browser = browser
        self._key = key

    async def get(self, path: str) -> httpx.Response:
        return await self._browser.get(DELIVERIES + path, headers=self._key)

    async def list(self, **query: str | int) -> httpx.Response:
        return await self._browser.get(DELIVERIES, params=query, headers=self._key)

    async def ask(self, path: str, **query: str) -> httpx.Response:
        return await self._browser.get(DELIVERIES + path, params=query, headers=self._key)

    async def counts(self, **query: str) -> httpx.Response:
        return await self.ask("/counts", **query)

    async def page(self, **query: str | int) -> dict[str, Any]:
        answer = await self.list(**query)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        assert body.keys() == {"items", "next_cursor"}
        return body

    async def items(self, **query: str | int) -> Items:
        items: Items = (await self.page(**query))["items"]
        return items

    async def replay(self, delivery_id: str) -> httpx.Response:
        return await self._browser.post(f"{DELIVERIES}/{delivery_id}/replay", headers=self._key)


@pytest.fixture
def operator(browser: httpx.AsyncClient, main_app: dict[str, str]) -> Operator:
    return Operator(browser, main_app)


async def assert_accepted(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


# ---------------------------------------------------------------------------- one delivery


async def test_a_success_is_told_without_what_it_says(
    operator: Operator, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    message = submission(student, assignment)
    answered = await assert_accepted(await spark.submit(message))
    [listed] = await operator.items(spark_user_id=student.spark_user_id)
    assert listed.keys() == MEMBERS
    assert (listed["status"], listed["code"], listed["replayed_at"]) == (200, None, None)
    assert (listed["outcome"], listed["http_status"]) == ("success", 200)
    assert (listed["route"], listed["media_type"]) == (
        "/spark/webhook/submission",
        "application/json",
    )
    assert (listed["body_bytes"], listed["file_count"]) == (len(json.dumps(message)), 0)
    assert listed["user_id"] == student.user_id
    assert listed["submission_id"] == answered["submission_id"]
    assert listed["spark_assignment_id"] == assignment.spark_assignment_id
    assert listed["spark_course_id"] == assignment.spark_course_id
    assert listed["received_at"] <= listed["answered_at"]
    alone = await operator.get(f"/{listed['id']}")
    assert (alone.status_code, alone.json()) == (200, listed)
    assert message["submission_text"] not in alone.text


async def test_an_unknown_delivery_is_not_found(operator: Operator) -> None:
    assert_problem(await operator.get(f"/{uuid4()}"), 404, "not_found")
    assert_problem(await operator.replay(str(uuid4())), 404, "not_found")


@pytest.mark.parametrize("row", ["P237"])
async def test_what_is_no_uuid_is_invalid(operator: Operator, row: str) -> None:
    for answer in (await operator.get("/1"), await operator.replay("x' OR '1'='1")):
        problem = assert_problem(answer, 400, "field_invalid")
        assert problem["error"] == "Invalid field: delivery_id"


# ---------------------------------------------------------------------------- lists


async def test_filters_narrow_together(
    operator: Operator, spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> None:
    """A kept homework, a refused one for another assignment, and another student's."""
    other, neighbour = await create_assignment(sessions), await spark.sign_in()
    await assert_accepted(await spark.submit(submission(student, assignment)))
    empty = submission(student, other, submission_text=...)
    assert_problem(await spark.submit(empty), 400, "content_missing")
    await assert_accepted(await spark.submit(submission(neighbour, other)))

    async def count(**query: str) -> int:
        return len(await operator.items(**query))

    mine = {"spark_user_id": student.spark_user_id}
    assert await count(**mine) == 2
    assert await count(spark_assignment_id=other.spark_assignment_id) == 2
    assert await count(**mine, spark_assignment_id=other.spark_assignment_id) == 1
    assert await count(**mine, status="success") == 1
    assert await count(**mine, status="refused") == 1
    assert await count(**mine, outcome="success") == 1
    assert await count(**mine, outcome="refused") == 1
    assert await count(**mine, outcome="success", status="refused") == 0
    assert await count(**mine, code="content_missing") == 1
    assert await count(**mine, code="content_missing", status="success") == 0
    assert await count(**mine, code="user_not_found") == 0
    assert await count(spark_user_id=f"nobody_{uuid4().hex}") == 0


async def test_a_list_is_newest_first_and_its_pages_are_whole_while_more_arrives(
    operator: Operator, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    for _ in range(5):
        await assert_accepted(await spark.submit(submission(student, assignment)))
    mine = {"spark_user_id": student.spark_user_id}
    everything = await operator.items(**mine)
    times = [item["received_at"] for item in everything]
    assert times == sorted(times, reverse=True)
    first = await operator.page(**mine, limit=2)
    await assert_accepted(await spark.submit(submission(student, assignment)))
    second = await operator.page(**mine, limit=2, cursor=first["next_cursor"])
    third = await operator.page(**mine, limit=2, cursor=second["next_cursor"])
    assert [*first["items"], *second["items"], *third["items"]] == everything
    assert third["next_cursor"] is None


async def test_a_full_last_page_is_the_last(
    operator: Operator, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    for _ in range(2):
        await assert_accepted(await spark.submit(submission(student, assignment)))
    page = await operator.page(spark_user_id=student.spark_user_id, limit=2)
    assert (len(page["items"]), page["next_cursor"]) == (2, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("limit", "0", id="P238 none"),
        pytest.param("limit", "-1", id="P238 negative"),
        pytest.param("limit", "1000000000", id="P238 too many"),
        pytest.param("limit", "201", id="P238 one too many"),
        pytest.param("limit", "ten", id="P238 no number"),
        pytest.param("cursor", "", id="P238 empty cursor"),
        pytest.param("cursor", "1", id="P238 short cursor"),
        pytest.param("cursor", "0" * 48, id="P238 cursor of our form"),
        pytest.param("cursor", "0193b5a2-7a5c-7c3e-8d1f-2f4e6a8b0c1d", id="P238 an id"),
        pytest.param("cursor", "9" * 10_000, id="P238 long cursor"),
        pytest.param("status", "200", id="unknown status"),
        pytest.param("code", "' OR 1=1 --", id="no code"),
        pytest.param("spark_user_id", "a\0b", id="NUL"),
        pytest.param("spark_user_id", "a" * 256, id="long id"),
        pytest.param("spark_asignment_id", "x", id="misspelt filter"),
    ],
)
async def test_what_no_list_is_asked_is_invalid(operator: Operator, name: str, value: str) -> None:
    problem = assert_problem(await operator.list(**{name: value}), 400, "field_invalid")
    assert problem["error"] == f"Invalid field: {name}"


@pytest.mark.parametrize("row", ["P238"])
async def test_a_forged_cursor_is_invalid(
    operator: Operator, spark: Spark, student: SignedIn, assignment: Assignment, row: str
) -> None:
    for _ in range(3):
        await assert_accepted(await spark.submit(submission(student, assignment)))
    page = await operator.page(spark_user_id=student.spark_user_id, limit=1)
    cursor, other = page["next_cursor"], (await operator.items(limit=1))[0]["id"]
    changed = str((int(cursor[0]) + 1) % 10) + cursor[1:]
    moved = uuid4().hex + cursor[32:]
    for forged in (changed, moved, other.replace("-", "") + "0" * 16):
        assert_problem(await operator.list(cursor=forged), 400, "field_invalid")
    assert (await operator.list(cursor=cursor)).status_code == 200


# ---------------------------------------------------------------------------- replayable, replay


async def test_a_refused_homework_is_kept_once_its_course_is_there(
    operator: Operator, spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> None:
    """Why is this homework missing? List, code, replay."""
    missing = f"assignment_{uuid4().hex}"
    early = submission(student, assignment, spark_assignment_id=missing, spark_course_id=...)
    refused = assert_problem(await spark.submit(early), 400, "assignment_not_found")
    [item] = await operator.items(spark_user_id=student.spark_user_id, status="refused")
    assert (item["status"], item["code"]) == (refused["status"], refused["code"])
    assert (item["outcome"], item["http_status"]) == ("refused", refused["status"])
    assert item["replayable"] is True
    assert_problem(await operator.replay(item["id"]), 400, "assignment_not_found")

    await create_assignment(sessions, spark_assignment_id=missing)
    replayed = await operator.replay(item["id"])
    answer = await assert_accepted(replayed)
    assert answer["request_id"] == replayed.headers["x-request-id"]
    assert (answer["revision"], answer["duplicate"], answer["xp_awarded"]) == (1, False, 100)
    assert "idempotent-replayed" not in replayed.headers
    after = (await operator.get(f"/{item['id']}")).json()
    assert (after["status"], after["code"]) == (200, None)
    assert after["submission_id"] == answer["submission_id"]
    assert after["user_id"] == student.user_id
    assert after["replayed_at"] >= after["received_at"]
    assert await operator.items(spark_user_id=student.spark_user_id, status="refused") == []


async def test_replaying_a_success_changes_nothing_and_says_so(
    operator: Operator, spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> None:
    first = await assert_accepted(await spark.submit(submission(student, assignment)))
    [item] = await operator.items(spark_user_id=student.spark_user_id)
    for _ in range(2):
        replayed = await operator.replay(item["id"])
        answer = await assert_accepted(replayed)
        assert replayed.headers["idempotent-replayed"] == "true"
        assert (answer["duplicate"], answer["xp_awarded"]) == (True, 0)
        assert answer["completion_id"] == first["completion_id"]
    assert await kept(sessions, student.user_id) == ONCE
    assert await total_xp(sessions, student.user_id) == 100
    caller = "INTERNAL_API_KEYS[0]"
    assert await audited(sessions, student.user_id) == [
        (caller, "sensitive_read", {"what": "deliveries"}),
        *[(caller, "sensitive_update", {"delivery_id": item["id"]})] * 2,
    ]


async def test_a_form_is_replayable_only_if_its_files_were_kept(
    operator: Operator, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    await assert_accepted(await spark.submit_form(submission(student, assignment), REPORT))
    wrong = Part("f", samples.elf(), filename="report.pdf")
    answer = await spark.submit_form(submission(student, assignment), wrong)
    assert_problem(answer, 400, "file_type_not_allowed")
    refused, accepted = await operator.items(spark_user_id=student.spark_user_id)
    assert (accepted["file_count"], accepted["replayable"]) == (1, True)
    assert refused["replayable"] is False
    assert_problem(await operator.replay(refused["id"]), 409, "not_replayable")
    assert (await operator.replay(accepted["id"])).headers["idempotent-replayed"] == "true"


async def test_a_text_that_came_twice_is_kept_once_and_both_are_replayable(
    operator: Operator, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    message = submission(student, assignment)
    for _ in range(2):
        await assert_accepted(await spark.submit(message))
    items = await operator.items(spark_user_id=student.spark_user_id)
    assert [item["replayable"] for item in items] == [True, True]
    for item in items:
        await assert_accepted(await operator.replay(item["id"]))


async def test_without_its_text_nothing_is_replayable(
    operator: Operator, spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> None:
    await assert_accepted(await spark.submit(submission(student, assignment)))
    async with sessions() as session, session.begin():
        mine = InboxDelivery.spark_user_id == student.spark_user_id
        await session.execute(update(InboxDelivery).where(mine).values(message=None))
    [item] = await operator.items(spark_user_id=student.spark_user_id)
    assert item["replayable"] is False
    assert_problem(await operator.replay(item["id"]), 409, "not_replayable")


async def test_a_form_whose_answer_is_forgotten_is_not_replayable(
    operator: Operator, spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> None:
    await assert_accepted(await spark.submit_form(submission(student, assignment), REPORT))
    async with sessions() as session, session.begin():
        mine = IdempotencyKey.user_id == student.user_id
        await session.execute(delete(IdempotencyKey).where(mine))
    [item] = await operator.items(spark_user_id=student.spark_user_id)
    assert item["replayable"] is False
    assert_problem(await operator.replay(item["id"]), 409, "not_replayable")


# ---------------------------------------------------------------------------- of an outage


@pytest.fixture
async def outage(
    spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> datetime:
    """When it began, long ago: three deliveries a minute apart, the last one in time."""
    began = datetime(1980, 1, 1, tzinfo=UTC) + timedelta(hours=random.randrange(10**5))  # noqa: S311 - no secret
    for minute, changes in enumerate(
        ({"spark_user_id": "nobody"}, {"spark_assignment_id": "unknown"}, {})
    ):
        raw = encoded(submission(student, assignment, **changes) | {"note": str(uuid4())})
        await spark.submit(raw)
        [kept_] = await deliveries_of(sessions, raw)
        moment = began + timedelta(minutes=minute)
        async with sessions() as session, session.begin():
            await session.execute(
                update(InboxDelivery)
                .where(InboxDelivery.id == kept_.id)
                .values(received_at=moment, id=first_id(moment + timedelta(seconds=1)))
            )
    return began


@pytest.mark.parametrize(
    ("first", "last", "codes"),
    [
        (0, 2, [None, "assignment_not_found", "user_not_found"]),
        (0, 1, ["assignment_not_found", "user_not_found"]),
        (1, 1, ["assignment_not_found"]),
        (3, 9, []),
    ],
    ids=[f"OPERATOR 6 {which}" for which in ("all", "two", "one", "none")],
)
async def test_what_came_in_a_period_is_found_and_counted(
    operator: Operator, outage: datetime, first: int, last: int, codes: list[str | None]
) -> None:
    period = {
        "received_from": (outage + timedelta(minutes=first)).isoformat(),
        "received_to": (outage + timedelta(minutes=last)).isoformat(),
    }
    assert [item["code"] for item in await operator.items(**period)] == codes
    counted = (await operator.counts(**period)).json()
    assert sorted(item["code"] or "" for item in counted["items"]) == sorted(
        code or "" for code in codes
    )
    for item in counted["items"]:
        assert item["deliveries"] == 1
        assert item["first_received_at"] == item["last_received_at"]
    if codes[:1] == [None]:
        refused = await operator.items(**period, outcome="refused", code="user_not_found")
        assert [item["code"] for item in refused] == ["user_not_found"]


async def test_counts_are_of_the_last_day_and_say_when(
    operator: Operator, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    code = "user_not_found"
    before = (await operator.counts()).json()
    for _ in range(2):
        await spark.submit(submission(student, assignment, spark_user_id="nobody"))
    after = (await operator.counts()).json()
    times = [
        next((item["deliveries"] for item in counted["items"] if item["code"] == code), 0)
        for counted in (before, after)
    ]
    assert times[1] >= times[0] + 2
    [item] = [item for item in after["items"] if item["code"] == code]
    assert item["first_received_at"] < item["last_received_at"]
    day = datetime.fromisoformat(after["received_to"]) - datetime.fromisoformat(
        after["received_from"]
    )
    assert day == timedelta(days=1)


@pytest.mark.parametrize("path", ["", "/counts"])
@pytest.mark.parametrize(
    "query",
    [
        {"received_from": "yesterday"},
        {"received_to": "2026-13-01T00:00:00Z"},
        {"received_from": "2026-11-24", "received_to": "2026-11-23T00:00:00Z"},
        {"received_after": "2026-11-24"},
    ],
    ids=str,
)
async def test_a_period_that_cannot_be_read_is_refused(
    operator: Operator, path: str, query: dict[str, str]
) -> None:
    assert_problem(await operator.ask(path, **query), 400, "field_invalid")


# ---------------------------------------------------------------------------- who may


@pytest.mark.parametrize("row", ["P234"])
async def test_only_a_service_key_sees_the_inbox(
    browser: httpx.AsyncClient, student: SignedIn, row: str
) -> None:
    """Without one, not even an id or a limit is looked at."""
    for headers in ({}, {"Authorization": f"Bearer {student.access_token}"}):
        for path in ("", "?limit=0", "/1", "/counts", f"/{uuid4()}"):
            answer = await browser.get(DELIVERIES + path, headers=headers)
            assert_problem(answer, 401, "unauthorized")
        replay = await browser.post(f"{DELIVERIES}/{uuid4()}/replay", headers=headers)
        assert_problem(replay, 401, "unauthorized")
