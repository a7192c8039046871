"""An old course or roster message, sent again (DESIGN R45).

Its effect would be had twice: a captured drop throws a student out and ends the session, an old
course brings back old titles.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select, text

from app.accounts.enlist import MAX_STUDENTS
from app.database import Sessions
from app.models import ActivityEvent, Quest, UserQuest
from app.settings import Settings
from tests.api.spark.test_optional_values import noticed
from tests.support.courses import course
from tests.support.courses import send as send_course
from tests.support.elsewhere import run_elsewhere
from tests.support.problems import assert_problem
from tests.support.roster import entry, new_student, roster, sync_course
from tests.support.roster import send as send_roster
from tests.support.spark import SignedIn, Spark
from tests.support.stored import eventually
from tests.test_database import own_connection, waiting_backends

REPEATED = [("repeated_without_time", "sent_at")]
COURSE, ROSTER = "/spark/webhook/course", "/spark/webhook/roster"
KINDS = pytest.mark.parametrize("kind", ["course", "roster"], ids=["M1-course", "M1-roster"])


class Conversation:
    """Two messages of one kind for one course, each of which undoes the other."""

    def __init__(self, spark: Spark, sessions: Sessions, kind: str) -> None:
        self.spark, self.kind, self._sessions = spark, kind, sessions
        self.sent = course("essay")
        self.student: SignedIn | None = None

    async def begin(self) -> None:
        if self.kind == "roster":
            known = await sync_course(self.spark)
            self.student = await self.spark.sign_in(courses=[known.spark_course_id])
            self.sent = roster(known)
            self.quest_id = known.quest_id
        else:
            answer = await self.send(self.message("first"))
            self.quest_id = UUID(answer.json()["quest_id"])

    def message(self, state: str, **more: Any) -> bytes:
        if self.student is None:
            changes: dict[str, Any] = {"course_title": state}
        else:
            action = "enroll" if state == "second" else "drop"
            changes = {"entries": [entry(self.student.spark_user_id, action)]}
        return json.dumps(self.sent | changes | {"salt": secrets.token_hex(4)} | more).encode()

    async def send(self, raw: bytes, *, is_v1: bool = False, **query: str) -> httpx.Response:
        signed = self.spark.sign_v1(raw) if is_v1 else {"X-Spark-Signature": self.spark.sign(raw)}
        if self.kind == "course":
            return await send_course(self.spark, raw, signed, **query)
        headers = {"Content-Type": "application/json"} | signed
        return await self.spark.browser.post(ROSTER, content=raw, headers=headers, params=query)

    async def state(self) -> str:
        async with self._sessions() as session, session.begin():
            if self.student is None:
                title = select(Quest.title).where(Quest.id == self.quest_id)
                return str((await session.execute(title)).scalar_one())
            active = select(UserQuest.is_active).where(
                UserQuest.quest_id == self.quest_id,
                UserQuest.user_id == UUID(self.student.user_id),
            )
            return "second" if (await session.execute(active)).scalar_one() else "first"


@pytest.fixture
async def talk(spark: Spark, sessions: Sessions, kind: str) -> Conversation:
    made = Conversation(spark, sessions, kind)
    await made.begin()
    return made


@pytest.fixture
async def strict_talk(
    settings: Settings, sessions: Sessions, kind: str
) -> AsyncIterator[Conversation]:
    async with run_elsewhere(settings, webhook_require_time=True) as elsewhere:
        made = Conversation(elsewhere.spark, sessions, kind)
        await made.begin()
        yield made


def said(seconds_ago: float = 0) -> str:
    return (datetime.now(tz=UTC) - timedelta(seconds=seconds_ago)).isoformat()


async def events_of(sessions: Sessions, answer: httpx.Response) -> list[str]:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(ActivityEvent.event_type).where(
                ActivityEvent.event_data["request_id"].astext == answer.json()["request_id"]
            )
        )
        return list(found.scalars())


def assert_told(answer: httpx.Response, expected: list[tuple[str, str]]) -> None:
    """Beside the salt, which is no member."""
    assert [each for each in noticed(answer) if each[0] != "member_unknown"] == expected


# ---------------------------------------------------------------------------- without a time


@KINDS
async def test_an_old_message_without_a_time_is_taken_and_told(
    talk: Conversation, sessions: Sessions
) -> None:
    first, second = talk.message("first"), talk.message("second")
    for raw in (first, second):
        assert_told(await talk.send(raw), [])
    rehearsed = await talk.send(first, dry_run="true")
    assert_told(rehearsed, REPEATED)
    assert await events_of(sessions, rehearsed) == []
    assert await talk.state() == "second"
    again = await talk.send(first)
    assert_told(again, REPEATED)
    assert await talk.state() == "first"
    assert await events_of(sessions, again) == ["spark_message_repeated"]
    assert_told(await talk.send(first), [])  # it is the last one now
    assert_told(await talk.send(second), REPEATED)


@KINDS
async def test_the_same_message_again_is_nothing_to_speak_of(talk: Conversation) -> None:
    raw = talk.message("first")
    for _ in range(3):
        assert_told(await talk.send(raw), [])


@KINDS
async def test_under_standard_webhooks_the_attempt_has_its_time(talk: Conversation) -> None:
    first, second = talk.message("first"), talk.message("second")
    for raw in (first, second, first):
        assert_told(await talk.send(raw, is_v1=True), [])


@KINDS
async def test_a_time_can_be_required_of_what_is_sent_again(
    strict_talk: Conversation, sessions: Sessions
) -> None:
    talk = strict_talk
    first, second = talk.message("first"), talk.message("second")
    for raw in (first, second, second):
        assert_told(await talk.send(raw), [])
    rehearsed = await talk.send(first, dry_run="true")
    assert [each["code"] for each in rehearsed.json()["problems"]] == ["message_superseded"]
    answer = await talk.send(first)
    problem = assert_problem(answer, 409, "message_superseded")
    assert "new time" in str(problem["hint"])
    assert await talk.state() == "second"
    assert_told(await talk.send(first, is_v1=True), [])


async def test_the_same_course_id_of_another_organisation_is_no_later_message(
    spark: Spark,
) -> None:
    one = course("essay")
    two = one | {"spark_org_id": f"org_{secrets.token_hex(6)}"}
    for sent in (one, two, one, two):
        raw = json.dumps(sent).encode()
        assert noticed(await send_course(spark, raw, {"X-Spark-Signature": spark.sign(raw)})) == []


# ---------------------------------------------------------------------------- with a time


@KINDS
async def test_an_older_message_never_undoes_a_later_one(
    talk: Conversation, sessions: Sessions
) -> None:
    first = talk.message("first", sent_at=said(20))
    second = talk.message("second", sent_at=said(10))
    for raw in (first, second, second):
        assert_told(await talk.send(raw), [])
    never_seen = talk.message("first", sent_at=said(15))
    for raw in (first, never_seen):
        assert_problem(await talk.send(raw), 409, "message_superseded")
        rehearsed = await talk.send(raw, dry_run="true")
        assert [each["code"] for each in rehearsed.json()["problems"]] == ["message_superseded"]
    assert await talk.state() == "second"
    assert_told(await talk.send(talk.message("first", sent_at=said())), [])
    assert await talk.state() == "first"


@KINDS
async def test_two_messages_of_one_moment_are_both_taken(talk: Conversation) -> None:
    """As of a sender whose clock has seconds."""
    moment = said(10)
    for state in ("first", "second"):
        assert_told(await talk.send(talk.message(state, sent_at=moment)), [])
        assert await talk.state() == state


@KINDS
@pytest.mark.parametrize(
    ("seconds_ago", "is_v1", "code"),
    [
        (310, False, "timestamp_too_old"),
        (-310, False, "timestamp_in_future"),
        (-310, True, "timestamp_in_future"),
        (290, False, None),
        (-290, False, None),
        (6 * 86400, True, None),
        (8 * 86400, True, "timestamp_too_old"),
    ],
)
async def test_a_time_must_be_fresh(
    talk: Conversation, *, seconds_ago: int, is_v1: bool, code: str | None
) -> None:
    raw = talk.message("second", sent_at=said(seconds_ago))
    rehearsed = await talk.send(raw, is_v1=is_v1, dry_run="true")
    problems = [each["code"] for each in rehearsed.json()["problems"]]
    answer = await talk.send(raw, is_v1=is_v1)
    if code is None:
        assert (problems, answer.status_code) == ([], 200), answer.text
    else:
        assert problems == [code]
        assert "sent_at" in str(assert_problem(answer, 400, code)["hint"])


@KINDS
@pytest.mark.parametrize("value", ["soon", 1795444200, True, ["2026"]], ids="{!a:.12}".format)
async def test_a_time_that_cannot_be_read_refuses_the_message(
    talk: Conversation, value: object
) -> None:
    """It decides, so it is never left out."""
    problem = assert_problem(await talk.send(talk.message("second", sent_at=value)), 400, INVALID)
    assert problem["error"] == "Invalid field: sent_at"


INVALID = "field_invalid"


@KINDS
@pytest.mark.parametrize("value", [None, "", " "], ids=["null", "empty", "blank"])
async def test_a_time_that_is_empty_counts_as_absent(talk: Conversation, value: object) -> None:
    assert_told(await talk.send(talk.message("second", sent_at=value)), [])


@KINDS
async def test_of_many_messages_at_once_the_latest_is_what_holds(talk: Conversation) -> None:
    states = ["first", "second"] * 5
    sent = [talk.message(state, sent_at=said(60 - 5 * place)) for place, state in enumerate(states)]
    answers = await asyncio.gather(*(talk.send(raw) for raw in reversed(sent)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert answers[0].status_code == 200
    assert await talk.state() == "second"


async def test_an_empty_roster_is_taken(spark: Spark) -> None:
    known = await sync_course(spark)
    raw = json.dumps(roster(known)).encode()
    headers = {"Content-Type": "application/json", "X-Spark-Signature": spark.sign(raw)}
    answer = await spark.browser.post(ROSTER, content=raw, headers=headers)
    assert answer.status_code == 200, answer.text


# ---------------------------------------------------------------------------- in parts


@pytest.mark.parametrize(
    ("older", "later", "status"),
    [(20, 10, 409), (10, 10, 200), (None, None, 200)],
    ids=["R45-older", "R45-as-old", "R45-without-a-time"],
)
async def test_a_later_part_of_an_older_roster_undoes_nothing_of_a_later_one(
    settings: Settings,
    spark: Spark,
    sessions: Sessions,
    older: int | None,
    later: int | None,
    status: int,
) -> None:
    """Who says no time is in no order, and none of the entries is lost."""
    talk = Conversation(spark, sessions, "roster")
    await talk.begin()
    assert talk.student
    now = datetime.now(tz=UTC)
    times = [
        {} if ago is None else {"sent_at": (now - timedelta(seconds=ago)).isoformat()}
        for ago in (older, later)
    ]
    names = [new_student() for _ in range(MAX_STUDENTS)]
    entries = [entry(name) for name in (*names, talk.student.spark_user_id)]
    async with (
        run_elsewhere(settings, database_pool_size=1) as elsewhere,
        own_connection(settings) as holder,
    ):
        await holder.execute(text("lock table lms_integrations in share mode"))
        raw = talk.message("second", entries=entries, **times[0])

        async def it_waits() -> bool:
            return bool(await waiting_backends(sessions, holder))

        sent = asyncio.create_task(send_roster(elsewhere.spark, raw))
        await eventually(it_waits)

        async def come_between() -> None:
            """In the turn before the second part's: that process has one session."""
            async with elsewhere.running.app.state.resources.sessions():
                assert_told(await talk.send(talk.message("first", **times[1])), [])

        between = asyncio.create_task(come_between())
        await asyncio.sleep(0)
        await holder.rollback()
        await between
        answer = await sent
    assert answer.status_code == status, answer.text
    assert await talk.state() == ("first" if status == 409 else "second")
