"""What was handed in, as the main app reads it, and an earlier revision shown again."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select, update

from app.database import Sessions
from app.models import ActivityEvent, AuditEntry, EvidenceBlock, SubmissionRevision
from app.settings import Settings
from app.submissions.list_submissions import Wanted, newest_submissions
from tests.conftest import create_assignment
from tests.support import samples
from tests.support.bodies import Part
from tests.support.elsewhere import run_elsewhere
from tests.support.plans import plan
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, SignedIn, Spark, submission
from tests.support.stored import blocks_of, kept, total_xp

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
        return accepted(await self.ask_to_restore(submission_id, revision))

    async def completion(self, completion_id: str) -> dict[str, Any]:
        path = f"/internal/v1/completions/{completion_id}"
        return accepted(await self._browser.get(path, headers=self._key))


@pytest.fixture
def app(browser: httpx.AsyncClient, main_app: dict[str, str]) -> MainApp:
    return MainApp(browser, main_app)


def accepted(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def minutes_ago(minutes: int) -> str:
    return (datetime.now(tz=UTC) - timedelta(minutes=minutes)).isoformat()


async def hand_in(
    spark: Spark, student: SignedIn, assignment: Assignment, text: str, *files: Part, ago: int = 0
) -> dict[str, Any]:
    payload = submission(
        student, assignment, submission_text=text, submitted_at=minutes_ago(ago), grade=95.5
    )
    return accepted(await (spark.submit_form(payload, *files) if files else spark.submit(payload)))


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


ANY_ID = UUID(int=1 << 100)
NOBODY = Wanted(None, None, None, None, None, None, None)
PLANS: dict[str, tuple[dict[str, Any], str]] = {
    "all": ({}, "pk_submission_revisions"),
    "user": ({"user_id": ANY_ID}, "ix_submission_revisions_user_id_id"),
    "spark user": ({"spark_user_id": "student_42"}, "ix_submission_revisions_user_id_id"),
    "assignment": (
        {"spark_assignment_id": "essay_1"},
        "ix_submission_revisions_spark_assignment_id_id",
    ),
    "quest": ({"quest_id": ANY_ID}, "ix_submission_revisions_quest_id_id"),
    "time": ({"first_id": ANY_ID, "end_id": UUID(int=1 << 101)}, "pk_submission_revisions"),
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
        {"user_id": ANY_ID, "first_id": ANY_ID},
        "ix_submission_revisions_user_id_id",
    ),
}


@pytest.mark.parametrize(("changes", "index"), PLANS.values(), ids=PLANS)
async def test_an_index_carries_every_list(
    sessions: Sessions, changes: dict[str, Any], index: str
) -> None:
    wanted = Wanted(**vars(NOBODY) | changes)
    async with sessions() as session, session.begin():
        found = await plan(session, newest_submissions(wanted, None, 51))
    assert f"Backward using {index}" in found, found
    assert "Sort" not in found, found
    assert "Seq Scan" not in found, found
    assert "Bitmap" not in found, found
