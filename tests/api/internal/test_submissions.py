"""What was handed in, as the main app reads it, and an earlier revision shown again."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import insert, select, update

from app.database import Sessions
from app.models import (
    ActivityEvent,
    EvidenceBlock,
    QuestTaskCompletion,
    SubmissionRevision,
)
from app.settings import Settings
from tests.conftest import create_assignment
from tests.support import samples
from tests.support.bodies import Part
from tests.support.elsewhere import run_elsewhere
from tests.support.evidence import body_of
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, SignedIn, Spark, minutes_ago, submission
from tests.support.stored import audited, blocks_of, kept, total_xp

SUBMISSIONS = "/internal/v1/submissions"
PICTURE = Part("f", samples.png(), filename="gauge.png")
REPORT = Part("f", samples.pdf(), filename="report.pdf")
MEMBERS = {
    *("id", "completion_id", "user_id", "quest_id", "task_id", "revision", "outcome"),
    *("spark_assignment_id", "spark_course_id", "submitted_at", "received_at", "replaced_at"),
    *("restored_from", "file_count", "has_text"),
}
REVISION_MEMBERS = {
    *("id", "revision", "outcome", "submitted_at", "received_at", "replaced_at", "restored_from"),
    *("text", "grade", "files"),
}


class MainApp:
    """Asks with a service key."""

    def __init__(self, browser: httpx.AsyncClient, key: dict[str, str]) -> None:
        self._browser = browser
        self._key = key

    async def page(self, **query: str | int) -> dict[str, Any]:
        answer = await self._browser.get(SUBMISSIONS, params=query, headers=self._key)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        assert body.keys() == {"items", "next_cursor"}
        return body

    async def items(self, **query: str | int) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.page(**query))["items"]
        return items

    async def get(self, path: str) -> httpx.Response:
        return await self._browser.get(SUBMISSIONS + path, headers=self._key)

    async def read(self, submission_id: str) -> dict[str, Any]:
        answer = await self.get(f"/{submission_id}")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def ask_to_restore(self, submission_id: str, revision: object) -> httpx.Response:
        path = f"{SUBMISSIONS}/{submission_id}/revisions/{revision}/restore"
        return await self._browser.post(path, headers=self._key)

    async def restore(self, submission_id: str, revision: int) -> dict[str, Any]:
        return body_of(await self.ask_to_restore(submission_id, revision))

    async def completion(self, completion_id: str) -> dict[str, Any]:
        path = f"/internal/v1/completions/{completion_id}"
        return body_of(await self._browser.get(path, headers=self._key))


@pytest.fixture
def app(browser: httpx.AsyncClient, main_app: dict[str, str]) -> MainApp:
    return MainApp(browser, main_app)


async def hand_in(
    spark: Spark, student: SignedIn, assignment: Assignment, text: str, *files: Part, ago: int = 0
) -> dict[str, Any]:
    payload = submission(
        student, assignment, submission_text=text, submitted_at=minutes_ago(ago), grade=95.5
    )
    return body_of(await (spark.submit_form(payload, *files) if files else spark.submit(payload)))


async def shown(sessions: Sessions, student: SignedIn) -> list[str]:
    """The texts and file names of the evidence, in order."""
    blocks = await blocks_of(sessions, student.user_id)
    return [block.content.get("text") or block.content["filename"] for block in blocks]


async def current_of(sessions: Sessions, student: SignedIn) -> list[int]:
    """The numbers of the student's revisions that are current."""
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(SubmissionRevision.revision).where(
                SubmissionRevision.user_id == student.user_id,
                SubmissionRevision.replaced_at.is_(None),
            )
        )
        return list(found.scalars())


# ---------------------------------------------------------------------------- lists


async def test_a_list_tells_of_each_revision_without_its_text(
    app: MainApp, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    one = await hand_in(spark, student, assignment, "One.", PICTURE, REPORT, ago=2)
    two = await hand_in(spark, student, assignment, "\n", REPORT)
    page = await app.page(spark_user_id=student.spark_user_id)
    assert page["next_cursor"] is None
    second, first = page["items"]
    assert first.keys() == second.keys() == MEMBERS
    assert (first["id"], second["id"]) == (one["submission_id"], two["submission_id"])
    assert (first["revision"], first["outcome"], first["file_count"]) == (1, "replaced", 2)
    assert (second["revision"], second["outcome"], second["file_count"]) == (2, "current", 1)
    assert (first["has_text"], second["has_text"]) == (True, False)
    assert second["replaced_at"] is None
    assert first["received_at"] < second["received_at"]
    for item in (first, second):
        assert item["completion_id"] == one["completion_id"]
        assert item["user_id"] == student.user_id
        assert (item["quest_id"], item["task_id"]) == (one["quest_id"], one["task_id"])
        assert item["spark_assignment_id"] == assignment.spark_assignment_id
        assert item["spark_course_id"] == assignment.spark_course_id
        assert item["restored_from"] is None
    assert "One." not in str(page)


async def test_filters_narrow_together(
    app: MainApp, spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> None:
    other, neighbour = await create_assignment(sessions), await spark.sign_in()
    first = await hand_in(spark, student, assignment, "One.")
    for text in ("Two.", "Three."):
        await hand_in(spark, student, assignment, text)
    await hand_in(spark, student, other, "Four.")
    last = await hand_in(spark, neighbour, assignment, "Five.")

    async def count(**query: str) -> int:
        return len(await app.items(**query))

    mine, here = {"user_id": student.user_id}, {"quest_id": str(assignment.quest_id)}
    assert await count(**mine) == await count(spark_user_id=student.spark_user_id) == 4
    assert await count(**here) == 4
    assert await count(spark_assignment_id=assignment.spark_assignment_id) == 4
    assert await count(**mine, **here) == 3
    assert await count(**mine, outcome="current") == 2
    assert await count(**mine, **here, outcome="replaced") == 2
    assert await count(**mine, spark_assignment_id=other.spark_assignment_id) == 1
    assert await count(**mine, spark_user_id=neighbour.spark_user_id) == 0
    assert await count(spark_user_id=f"nobody_{uuid4().hex}") == 0
    moments = {item["id"]: item["received_at"] for item in await app.items(**here)}
    begin, end = moments[first["submission_id"]], moments[last["submission_id"]]
    assert await count(**here, received_from=begin, received_to=end) == 4
    before = (datetime.fromisoformat(end) - timedelta(milliseconds=1)).isoformat()
    assert await count(**here, received_to=before) == 3
    assert await count(**here, received_from=end) == 1
    assert await count(**here, received_to="2020-01-01") == 0
    assert await count(**here, received_from="1970-01-01T00:00:00+14:00") == 4


async def test_pages_are_whole_while_more_arrives(
    app: MainApp, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    for number in range(5):
        await hand_in(spark, student, assignment, f"{number}.")
    mine = {"user_id": student.user_id}
    everything = [item["id"] for item in await app.items(**mine)]
    assert everything == sorted(everything, reverse=True)
    first = await app.page(**mine, limit=2)
    await hand_in(spark, student, assignment, "late")
    second = await app.page(**mine, limit=2, cursor=first["next_cursor"])
    third = await app.page(**mine, limit=2, cursor=second["next_cursor"])
    pages = [*first["items"], *second["items"], *third["items"]]
    assert [item["id"] for item in pages] == everything
    assert third["next_cursor"] is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("limit", "1000000000", id="P238 too many"),
        pytest.param("cursor", "0" * 48, id="P238 cursor of our form"),
        pytest.param("user_id", "x' OR '1'='1", id="P237 no uuid"),
        pytest.param("quest_id", "../1", id="P237 no quest"),
        pytest.param("spark_user_id", "a\0b", id="NUL"),
        pytest.param("received_from", "yesterday", id="no moment"),
        pytest.param("received_to", "9999-12-31", id="end of the calendar"),
        pytest.param("outcome", "shown", id="unknown outcome"),
        pytest.param("user", "x", id="misspelt filter"),
    ],
)
async def test_what_no_list_is_asked_is_invalid(
    browser: httpx.AsyncClient, main_app: dict[str, str], name: str, value: str
) -> None:
    answer = await browser.get(SUBMISSIONS, params={name: value}, headers=main_app)
    assert assert_problem(answer, 400, "field_invalid")["error"] == f"Invalid field: {name}"


# ---------------------------------------------------------------------------- one of them


async def test_one_is_read_with_every_revision_and_its_files(
    app: MainApp,
    browser: httpx.AsyncClient,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
) -> None:
    one = await hand_in(spark, student, assignment, "One.", PICTURE, REPORT, ago=2)
    two = await hand_in(spark, student, assignment, "Two.")
    found = await app.read(one["submission_id"])
    assert found.keys() == MEMBERS | {"text", "grade", "revisions"}
    assert (found["id"], found["text"], found["grade"]) == (one["submission_id"], "One.", 95.5)
    first, second = found["revisions"]
    assert first.keys() == second.keys() == REVISION_MEMBERS
    assert (second["id"], second["text"], second["files"]) == (two["submission_id"], "Two.", [])
    assert first["replaced_at"] > first["received_at"]
    [listed] = await app.items(user_id=student.user_id, outcome="replaced")
    assert {name: found[name] for name in MEMBERS} == listed
    for file, part in zip(first["files"], (PICTURE, REPORT), strict=True):
        assert 0 < int(parse_qs(urlsplit(file["url"]).query)["X-Amz-Expires"][0]) <= 300
        download = await browser.get(file["url"])
        assert download.content == part.content
        assert download.headers["content-type"] == file["content_type"]
        assert download.headers["content-disposition"].startswith("attachment; filename=")


async def test_each_reading_is_audited_and_a_vain_one_is_not_found(
    app: MainApp, spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> None:
    one = await hand_in(spark, student, assignment, "One.")
    for _ in range(2):
        await app.read(one["submission_id"])
    assert_problem(await app.get(f"/{uuid4()}"), 404, "not_found")
    told = {"submission_id": one["submission_id"]}
    assert (
        await audited(sessions, student.user_id)
        == [("INTERNAL_API_KEYS[0]", "sensitive_read", told)] * 2
    )


# ---------------------------------------------------------------------------- shown again


async def test_an_earlier_revision_is_shown_again_with_its_files(
    app: MainApp,
    browser: httpx.AsyncClient,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
) -> None:
    one = await hand_in(spark, student, assignment, "One.", PICTURE, REPORT, ago=2)
    two = await hand_in(spark, student, assignment, "Two.", ago=1)
    answer = await app.restore(two["submission_id"], 1)
    assert answer.keys() == one.keys()
    same = ("status", "completion_id", "quest_id", "task_id", "files")
    assert {name: answer[name] for name in same} == {name: one[name] for name in same}
    assert (answer["revision"], answer["duplicate"], answer["xp_awarded"]) == (3, False, 0)
    completion = await app.completion(one["completion_id"])
    assert (completion["revision"], completion["xp_awarded"]) == (3, 100)
    assert [block["block_type"] for block in completion["blocks"]] == ["text", "image", "document"]
    assert completion["blocks"][0]["content"] == {"text": "One."}
    for links in (
        [file["url"] for file in completion["files"]],
        [block["content"]["url"] for block in completion["blocks"][1:]],
    ):
        contents = [(await browser.get(link)).content for link in links]
        assert contents == [PICTURE.content, REPORT.content]
    found = await app.read(answer["submission_id"])
    assert [each["outcome"] for each in found["revisions"]] == ["replaced", "replaced", "current"]
    assert (found["text"], found["grade"], found["file_count"]) == ("One.", 95.5, 2)
    assert found["restored_from"] == one["submission_id"]
    first, second, third = found["revisions"]
    assert second["submitted_at"] < third["submitted_at"]
    assert [file["id"] for file in third["files"]] == [file["id"] for file in first["files"]]


async def test_it_is_paid_once_told_once_and_audited(
    app: MainApp, spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> None:
    one = await hand_in(spark, student, assignment, "One.", ago=2)
    await hand_in(spark, student, assignment, "Two.", ago=1)
    third = await app.restore(one["submission_id"], 1)
    assert await total_xp(sessions, student.user_id) == 100
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(ActivityEvent.event_type, ActivityEvent.event_data, ActivityEvent.session_id)
            .where(
                ActivityEvent.user_id == student.user_id,
                ActivityEvent.event_data.has_key("task_id"),
            )
            .order_by(ActivityEvent.created_at)
        )
        *_, event = events = found.all()
    kinds = [each.event_type for each in events]
    assert kinds == ["spark_webhook_success"] * 2 + ["spark_submission_restored"]
    for each in events:
        for name in ("completion_id", "task_id", "quest_id"):
            assert each.event_data[name] == one[name]
    assert str(event.session_id) == third["submission_id"]
    told = {"submission_id": third["submission_id"], "restored_from": one["submission_id"]}
    assert await audited(sessions, student.user_id) == [
        ("INTERNAL_API_KEYS[0]", "sensitive_update", told)
    ]


async def test_what_is_shown_already_stays_as_it_is(
    app: MainApp, spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> None:
    """The current one; one that was restored a moment ago; and the one that it was made from."""
    one = await hand_in(spark, student, assignment, "One.", PICTURE, ago=2)
    two = await hand_in(spark, student, assignment, "Two.", ago=1)
    again = await app.restore(one["submission_id"], 2)
    changed = {"duplicate": True, "xp_awarded": 0, "request_id": again["request_id"]}
    assert again == two | changed
    three = await app.restore(one["submission_id"], 1)
    for revision in (1, 3):
        again = await app.restore(one["submission_id"], revision)
        assert again == three | changed | {"request_id": again["request_id"]}
    assert (await kept(sessions, student.user_id))["submission_revisions"] == 3
    assert len(await audited(sessions, student.user_id)) == 1


async def test_a_restored_revision_is_restored_from_where_its_files_are(
    app: MainApp, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    one = await hand_in(spark, student, assignment, "One.", PICTURE, ago=2)
    await hand_in(spark, student, assignment, "Two.", ago=1)
    for wanted in (1, 2, 3):
        last = await app.restore(one["submission_id"], wanted)
    assert (last["revision"], last["files"]) == (5, one["files"])
    found = await app.read(last["submission_id"])
    assert (found["restored_from"], found["file_count"]) == (one["submission_id"], 1)
    assert len((await app.completion(one["completion_id"]))["files"]) == 1


async def test_afterwards_spark_counts_as_always(
    app: MainApp, spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> None:
    one = await hand_in(spark, student, assignment, "One.", PICTURE, ago=4)
    await hand_in(spark, student, assignment, "Two.", ago=3)
    three = await app.restore(one["submission_id"], 1)
    same = await hand_in(spark, student, assignment, "One.", PICTURE)
    assert same == three | {"duplicate": True, "request_id": same["request_id"]}
    late = await hand_in(spark, student, assignment, "Late.", ago=1)
    assert late["revision"] == 4
    assert await shown(sessions, student) == ["One.", "gauge.png"]
    assert await current_of(sessions, student) == [3]
    newer = await hand_in(spark, student, assignment, "Newer.")
    assert newer["revision"] == 5
    assert await shown(sessions, student) == ["Newer."]
    assert await current_of(sessions, student) == [5]


async def test_what_is_dated_ahead_is_outlived_by_what_is_restored(
    app: MainApp, spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> None:
    """Senders' clocks go up to five minutes fast."""
    one = await hand_in(spark, student, assignment, "One.")
    await hand_in(spark, student, assignment, "Two.", ago=-4)
    await app.restore(one["submission_id"], 1)
    await hand_in(spark, student, assignment, "Three.", ago=-3)
    assert await shown(sessions, student) == ["One."]


async def test_what_was_hidden_then_is_not_shown_by_restoring_it(
    app: MainApp, spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> None:
    """Though the student has shown what came after it."""

    async def make(*, is_private: bool) -> None:
        [block] = await blocks_of(sessions, student.user_id)
        change = update(EvidenceBlock).where(EvidenceBlock.id == block.id)
        async with sessions() as session, session.begin():
            await session.execute(change.values(is_private=is_private))

    one = await hand_in(spark, student, assignment, "One.", ago=2)
    await make(is_private=True)
    await hand_in(spark, student, assignment, "Two.", ago=1)
    await make(is_private=False)
    await app.restore(one["submission_id"], 1)
    [block] = await blocks_of(sessions, student.user_id)
    assert (block.content, block.is_private) == ({"text": "One."}, True)


async def test_blocks_of_the_student_stay_and_what_is_hidden_stays_hidden(
    app: MainApp, spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> None:
    one = await hand_in(spark, student, assignment, "One.", PICTURE, ago=2)
    await hand_in(spark, student, assignment, "Two.", ago=1)
    [block] = await blocks_of(sessions, student.user_id)
    mine = {"text": "Mine."}
    async with sessions() as session, session.begin():
        await session.execute(
            update(EvidenceBlock).where(EvidenceBlock.id == block.id).values(is_private=True)
        )
        await session.execute(
            insert(EvidenceBlock).values(
                document_id=block.document_id, block_type="text", content=mine, order_index=1
            )
        )
    await app.restore(one["submission_id"], 1)
    text, own, picture = await blocks_of(sessions, student.user_id)
    assert (text.content, own.content) == ({"text": "One."}, mine)
    assert [each.is_private for each in (text, own, picture)] == [True, False, True]


async def test_evidence_text_follows_where_it_is_raw(
    settings: Settings,
    main_app: dict[str, str],
    sessions: Sessions,
    student: SignedIn,
    assignment: Assignment,
) -> None:
    async with run_elsewhere(settings, evidence_text_mode="raw") as elsewhere:
        spark = elsewhere.spark
        one = await hand_in(spark, student, assignment, "One.", ago=2)
        await hand_in(spark, student, assignment, "Two.", ago=1)
        await MainApp(spark.browser, main_app).restore(one["submission_id"], 1)
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(QuestTaskCompletion.evidence_text).where(
                QuestTaskCompletion.id == one["completion_id"]
            )
        )
        assert found.scalar_one() == "One."


async def test_a_revision_that_is_not_there_is_not_found(
    app: MainApp,
    browser: httpx.AsyncClient,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
) -> None:
    one = await hand_in(spark, student, assignment, "One.")
    for submission_id, revision in ((one["submission_id"], 2), (str(uuid4()), 1)):
        answer = await app.ask_to_restore(submission_id, revision)
        assert_problem(answer, 404, "not_found")
    for wrong in (0, -1, 2**31, "one"):
        answer = await app.ask_to_restore(one["submission_id"], wrong)
        assert_problem(answer, 400, "field_invalid")
    path = f"{SUBMISSIONS}/{one['submission_id']}/revisions/1/restore"
    headers = {"Authorization": f"Bearer {student.access_token}"}
    assert_problem(await browser.post(path, headers=headers), 401, "unauthorized")


# ---------------------------------------------------------------------------- at once


async def test_p276_a_restore_and_resubmissions_at_once_take_turns(
    app: MainApp, spark: Spark, sessions: Sessions, student: SignedIn, assignment: Assignment
) -> None:
    one = await hand_in(spark, student, assignment, "One.", PICTURE, ago=2)
    await hand_in(spark, student, assignment, "Two.", ago=1)
    texts = [f"{number} of four." for number in range(4)]
    acts = [hand_in(spark, student, assignment, text, ago=-1) for text in texts]
    answers = await asyncio.gather(*acts, *(app.restore(one["submission_id"], 1) for _ in range(4)))
    assert {answer["completion_id"] for answer in answers} == {one["completion_id"]}
    found = await app.read(one["submission_id"])
    numbers = [each["revision"] for each in found["revisions"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert {each["text"] for each in found["revisions"]} == {"One.", "Two.", *texts}
    [current] = [each for each in found["revisions"] if each["outcome"] == "current"]
    files = [file["filename"] for file in current["files"]]
    assert await shown(sessions, student) == [current["text"], *files]
    assert await total_xp(sessions, student.user_id) == 100


@pytest.mark.parametrize("wanted", [(1, 1), (1, 2)], ids=["the same", "different ones"])
async def test_two_restores_at_once_leave_one_current(
    app: MainApp,
    spark: Spark,
    sessions: Sessions,
    student: SignedIn,
    assignment: Assignment,
    wanted: tuple[int, int],
) -> None:
    one = await hand_in(spark, student, assignment, "One.", ago=3)
    await hand_in(spark, student, assignment, "Two.", ago=2)
    await hand_in(spark, student, assignment, "Three.", ago=1)
    answers = await asyncio.gather(*(app.restore(one["submission_id"], each) for each in wanted))
    same = wanted[0] == wanted[1]
    assert sorted(answer["duplicate"] for answer in answers) == [False, same]
    assert await current_of(sessions, student) == [4 if same else 5]
    [text] = await shown(sessions, student)
    last = max(answers, key=lambda answer: int(answer["revision"]))
    assert (await app.read(last["submission_id"]))["text"] == text
