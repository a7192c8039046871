"""Saving and completing evidence (CONTRACT 11, 12; DEFECTS 10, 11, 45, 62 to 67)."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import ColumnElement, Row, delete, func, select, update

from app import metrics
from app.database import Sessions
from app.deliveries.payload import THREAD_BYTES
from app.files.places import Places
from app.models import (
    ActivityEvent,
    EvidenceDocument,
    QuestTaskCompletion,
    SubmissionRevision,
    UserQuest,
    UserQuestTask,
    UserSubjectXp,
    XpAward,
)
from app.settings import Settings
from tests.support import samples
from tests.support.bodies import Part
from tests.support.evidence import Desk, as_read, body_of, desk_of, tasks_of, text, texts
from tests.support.kinds import IS_ADOPTED
from tests.support.problems import assert_problem
from tests.support.running import run_app
from tests.support.spark import Assignment, SignedIn, Spark, submission
from tests.support.stored import audited, eventually, total_xp
from tests.test_database import own_connection, waiting_backends

PICTURE = Part("f", samples.png(), filename="gauge.png")


@pytest.fixture
async def handed_in(spark: Spark, student: SignedIn, assignment: Assignment) -> dict[str, Any]:
    """The answer to a submission of a text and a picture, for the first of three tasks."""
    return body_of(await spark.submit_form(submission(student, assignment), PICTURE))


@pytest.fixture
def desk(browser: httpx.AsyncClient, student: SignedIn, handed_in: dict[str, Any]) -> Desk:
    """Open on the task that was handed in."""
    return desk_of(browser, student, handed_in["task_id"])


@pytest.fixture
async def fresh(
    browser: httpx.AsyncClient, student: SignedIn, handed_in: dict[str, Any], sessions: Sessions
) -> Desk:
    """Open on the second task, which nobody has touched."""
    return desk_of(browser, student, (await tasks_of(sessions, student.user_id))[1])


async def completions_of(sessions: Sessions, desk: Desk) -> list[Row[Any]]:
    async with sessions() as session, session.begin():
        found = await session.execute(
            select(QuestTaskCompletion).where(QuestTaskCompletion.task_id == UUID(desk.task_id))
        )
        return list(found.all())


# ---------------------------------------------------------------------------- what is saved


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_save_answers_exactly_the_promised_members(fresh: Desk, method: str) -> None:
    saved = await fresh.saved(text("one"), text("two"), method=method)
    assert saved.keys() == {
        *("success", "message", "document_id", "status", "xp_awarded", "has_collaboration_bonus"),
        *("quest_completed", "blocks", "updated_at", "version"),
    }
    assert (saved["success"], saved["status"], saved["xp_awarded"]) == (True, "draft", 0)
    assert (saved["has_collaboration_bonus"], saved["quest_completed"]) == (False, False)
    assert [block.keys() for block in saved["blocks"]] == [{"id", "order_index"}] * 2
    evidence = await fresh.read()
    assert texts(evidence) == ["one", "two"]
    assert evidence["document"]["id"] == saved["document_id"]
    assert evidence["document"]["updated_at"] == saved["updated_at"]
    assert [block["id"] for block in evidence["blocks"]] == [
        block["id"] for block in saved["blocks"]
    ]


@pytest.mark.parametrize("prefix", ["legacy-", "temp-", "new-", "block_"])
async def test_temporary_ids_become_new_blocks_beside_the_real_ones(
    fresh: Desk, prefix: str
) -> None:
    [first] = (await fresh.saved(text("real")))["blocks"]
    blocks = [text("new", id=f"{prefix}1"), {"id": first["id"], **text("real")}]
    saved = await fresh.saved(*blocks, text("No name."), text("odd", id=7))
    assert [block["order_index"] for block in saved["blocks"]] == [0, 1, 2, 3]
    assert saved["blocks"][1]["id"] == first["id"]
    assert texts(await fresh.read()) == ["new", "real", "No name.", "odd"]


@pytest.mark.parametrize(
    "order",
    [[3, 2, 1, 0], [1, 2, 3, 0], [3, 0, 1, 2], [1, 0, 3, 2]],
    ids=["reversed", "rotated", "rotated back", "swapped"],
)
async def test_blocks_are_reordered_by_their_place_in_the_list(
    fresh: Desk, order: list[int]
) -> None:
    await fresh.saved(*(text(str(number)) for number in range(4)))
    before = (await fresh.read())["blocks"]
    await fresh.saved(*(as_read(before[number]) for number in order))
    after = await fresh.read()
    assert texts(after) == [str(number) for number in order]
    assert [block["order_index"] for block in after["blocks"]] == [0, 1, 2, 3]
    assert {block["id"]: block["created_at"] for block in after["blocks"]} == {
        block["id"]: block["created_at"] for block in before
    }


async def test_a_random_walk_of_edits_shows_what_was_saved_last(fresh: Desk) -> None:
    chance = random.Random(6)  # noqa: S311 - a walk that can be walked again
    shown: list[dict[str, Any]] = []
    version = None
    for step in range(25):
        shown = [block for block in shown if chance.random() < 0.8]
        chance.shuffle(shown)
        for block in shown:
            if chance.random() < 0.3:
                block.update(text(f"changed {step}"), is_private=chance.random() < 0.5)
        for _ in range(chance.randrange(3)):
            new = text(f"new {step}", id=f"temp-{step}", is_private=False)
            shown.insert(chance.randrange(len(shown) + 1), new)
        saved = await fresh.saved(*shown, updated_at=version)
        version = saved["updated_at"]
        for block, place in zip(shown, saved["blocks"], strict=True):
            block["id"] = place["id"]
        evidence = await fresh.read()
        assert [
            (block["id"], block["content"], block["is_private"]) for block in evidence["blocks"]
        ] == [(block["id"], block["content"], block["is_private"]) for block in shown]


async def test_privacy_stays_as_it_was_unless_it_is_said(fresh: Desk) -> None:
    await fresh.saved(text(), text(is_private=True))
    shown, hidden = (await fresh.read())["blocks"]
    await fresh.saved(as_read(shown, content={"text": "other"}), as_read(hidden))
    assert [block["is_private"] for block in (await fresh.read())["blocks"]] == [False, True]


async def test_what_only_the_editor_needs_is_not_kept(fresh: Desk) -> None:
    content = {
        "url": "blob:https://optio.test/1",
        "_uploadComplete": True,
        "alt": "a\0b\ud800",
        "items": [{"url": "", "_k": 1, "title": "x"}],
    }
    await fresh.saved({"type": "image", "content": content})
    [block] = (await fresh.read())["blocks"]
    assert block["content"] == {"alt": "ab\ufffd", "items": [{"title": "x"}]}


# ---------------------------------------------------------------------------- what is refused

CONTENTS: dict[str, Any] = {
    "P275-javascript": {"url": "javascript:alert(1)"},
    "P275-javascript in disguise": {"url": " JavaScript:alert(1)"},
    "P275-data": {"url": "data:text/html,<script>"},
    "P275-file": {"url": "file:///etc/passwd"},
    "P275-control character": {"url": "https://example.com/\n"},
    "P275-no host": {"url": "https:///x"},
    "P275-no address": {"url": "http://[::1"},
    "P275-number": {"url": 7},
    "P275-deep": {"items": [{"more": {"url": "vbscript:x"}}]},
    "P275-foreign pointer": {"url": f"evidence-files/{uuid4()}/{uuid4()}.png"},
    "P275-many keys": {f"key {number}": "x" * 90 for number in range(10_000)},
    "P275-large text": {"text": "x" * (1024 * 1024 + 1)},
    "P275-large value": {"title": "x" * (64 * 1024)},
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
async def test_content_that_nobody_should_be_shown_is_refused(
    fresh: Desk, content: dict[str, Any]
) -> None:
    answer = await fresh.save(text(), {"type": "link", "content": content})
    problem = assert_problem(answer, 400, "field_invalid")
    assert str(problem["error"]).startswith("Invalid field: blocks.1.content")
    assert problem["success"] is False
    assert (await fresh.read())["document"] is None


def draft(**block: Any) -> dict[str, Any]:
    return {"blocks": [text() | block], "status": "draft"}


BODIES: dict[str, tuple[Any, str, str]] = {
    "P275-type": (draft(type="script"), "field_invalid", "blocks.0.type"),
    "content": (draft(content="x"), "field_invalid", "blocks.0.content"),
    "private": (draft(is_private="no"), "field_invalid", "blocks.0.is_private"),
    "uploader": (draft(uploaded_by_user_id="me"), "field_invalid", "blocks.0.uploaded_by_user_id"),
    "status": (draft() | {"status": "published"}, "field_invalid", "status"),
    "version": (draft() | {"updated_at": "yesterday"}, "field_invalid", "updated_at"),
    "too many": (draft() | {"blocks": [text("x")] * 501}, "field_invalid", "blocks"),
    "too many values": (draft(content={"x": [[]] * 20_000}), "json_invalid", "Invalid JSON"),
    "no blocks": ({"status": "draft"}, "field_missing", "blocks"),
    "a list": ([], "json_invalid", "Invalid JSON"),
}


@pytest.mark.parametrize(("body", "code", "error"), BODIES.values(), ids=BODIES)
async def test_a_body_of_another_shape_is_refused(
    fresh: Desk, body: Any, code: str, error: str
) -> None:
    answer = await fresh.ask("POST", fresh.path, json=body)
    problem = assert_problem(answer, 400, code)
    assert str(problem["error"]).endswith(error)
    assert problem["success"] is False


async def test_a_block_named_twice_is_refused(fresh: Desk) -> None:
    [block] = (await fresh.saved(text()))["blocks"]
    twice = [{"id": block["id"], **text()}] * 2
    problem = assert_problem(await fresh.save(*twice), 400, "field_invalid")
    assert problem["error"] == "Invalid field: blocks.1.id"


async def test_five_hundred_blocks_are_saved_and_turned_round(fresh: Desk) -> None:
    await fresh.saved(*(text(str(number)) for number in range(500)))
    before = (await fresh.read())["blocks"]
    await fresh.saved(*map(as_read, reversed(before)))
    assert texts(await fresh.read()) == [str(number) for number in reversed(range(500))]


# ---------------------------------------------------------------------------- two editors


async def test_a_save_of_an_older_version_changes_nothing(fresh: Desk) -> None:
    first = await fresh.saved(text("one"))
    second = await fresh.saved(
        {"id": first["blocks"][0]["id"], **text("two")}, updated_at=first["updated_at"]
    )
    assert second["updated_at"] > first["updated_at"]
    late = await fresh.save(text("late"), updated_at=first["updated_at"])
    problem = assert_problem(late, 409, "evidence_changed")
    assert problem["success"] is False
    assert texts(await fresh.read()) == ["two"]


async def test_every_write_makes_a_later_version_whatever_the_clock_says(
    spark: Spark, student: SignedIn, assignment: Assignment, desk: Desk, sessions: Sessions
) -> None:
    async with sessions() as session, session.begin():
        await session.execute(
            update(EvidenceDocument)
            .where(EvidenceDocument.task_id == UUID(desk.task_id))
            .values(updated_at=func.now() + timedelta(hours=1))
        )
    seen = [await desk.read()]
    body_of(await spark.submit(submission(student, assignment, submission_text="again")))
    seen.append(await desk.read())
    await desk.saved(*map(as_read, seen[-1]["blocks"]))
    seen.append(await desk.read())
    versions = [datetime.fromisoformat(evidence["document"]["updated_at"]) for evidence in seen]
    assert versions[0] < versions[1] < versions[2]


async def test_a_version_of_a_document_that_does_not_exist_is_another_one(fresh: Desk) -> None:
    answer = await fresh.save(text(), updated_at="2026-11-23T14:30:00Z")
    assert_problem(answer, 409, "evidence_changed")


async def test_without_a_version_no_block_may_be_left_out(fresh: Desk) -> None:
    saved = await fresh.saved(text("one"), text("two"))
    answer = await fresh.save({"id": saved["blocks"][1]["id"], **text("two")})
    assert "updated_at" in str(assert_problem(answer, 409, "evidence_changed")["hint"])
    await fresh.saved(
        {"id": saved["blocks"][1]["id"], **text("two")}, updated_at=saved["updated_at"]
    )
    assert texts(await fresh.read()) == ["two"]


async def test_a_block_of_another_document_is_answered_as_one_that_is_not_there(
    desk: Desk, fresh: Desk
) -> None:
    saved = await fresh.saved(text("mine"))
    mine = {"id": saved["blocks"][0]["id"], **text("mine")}
    elsewhere = (await desk.read())["blocks"][0]["id"]
    answers = [
        await fresh.save(mine, {"id": block_id, **text()}) for block_id in (elsewhere, str(uuid4()))
    ]
    problems = [assert_problem(answer, 409, "evidence_changed") for answer in answers]
    assert problems[0] | {"request_id": ""} == problems[1] | {"request_id": ""}
    assert texts(await fresh.read()) == ["mine"]


async def test_a_resubmission_between_read_and_save_is_a_conflict(
    spark: Spark, student: SignedIn, assignment: Assignment, desk: Desk
) -> None:
    before = await desk.read()
    body_of(await spark.submit(submission(student, assignment, submission_text="again")))
    mine = [as_read(block) for block in before["blocks"]]
    for version in ({}, {"updated_at": before["document"]["updated_at"]}):
        assert_problem(await desk.save(*mine, text(), **version), 409, "evidence_changed")
    assert texts(await desk.read()) == ["again"]


# ---------------------------------------------------------------------------- Spark's blocks


async def test_an_edited_block_of_sparks_survives_a_resubmission(
    spark: Spark, student: SignedIn, assignment: Assignment, desk: Desk
) -> None:
    words, picture = (await desk.read())["blocks"]
    await desk.saved(as_read(picture), as_read(words, content={"text": "in my own words"}))
    evidence = await desk.read()
    assert [block["provenance"]["written_by"] for block in evidence["blocks"]] == [
        "spark",
        "student",
    ]
    body_of(await spark.submit(submission(student, assignment, submission_text="again")))
    after = await desk.read()
    assert sorted(texts(after)) == ["again", "in my own words"]


async def test_moving_and_hiding_leave_a_block_sparks_and_its_successor_hidden(
    spark: Spark, student: SignedIn, assignment: Assignment, desk: Desk
) -> None:
    words, picture = (await desk.read())["blocks"]
    await desk.saved(
        as_read(picture, is_private=True), text("mine"), as_read(words, is_private=True)
    )
    blocks = (await desk.read())["blocks"]
    assert [block["provenance"]["written_by"] for block in blocks] == ["spark", "student", "spark"]
    body_of(await spark.submit(submission(student, assignment, submission_text="again")))
    after = {
        block["content"]["text"]: block["is_private"] for block in (await desk.read())["blocks"]
    }
    assert after == {"again": True, "mine": False}


async def _edit_and_hide(desk: Desk, words: dict[str, Any], picture: dict[str, Any]) -> None:
    mine = as_read(words, content={"text": "without the typo"}, is_private=True)
    await desk.saved(mine, as_read(picture))


async def _edit_and_hide_later(desk: Desk, words: dict[str, Any], picture: dict[str, Any]) -> None:
    mine = as_read(words, content={"text": "without the typo"})
    await desk.saved(mine, as_read(picture))
    await desk.saved(mine | {"is_private": True}, as_read(picture))


async def _remove(desk: Desk, words: dict[str, Any], picture: dict[str, Any]) -> None:
    version = (await desk.read())["document"]["updated_at"]
    await desk.saved(as_read(words), updated_at=version)


async def _take_the_file_out(desk: Desk, words: dict[str, Any], picture: dict[str, Any]) -> None:
    body_of(await desk.delete_file(picture["id"]))


async def _empty(desk: Desk, words: dict[str, Any], picture: dict[str, Any]) -> None:
    await desk.saved(as_read(words, content={"text": ""}), as_read(picture))


@pytest.mark.parametrize("row", ["P274"])
@pytest.mark.parametrize(
    "take_back", [_edit_and_hide, _edit_and_hide_later, _remove, _take_the_file_out, _empty]
)
@pytest.mark.parametrize("restored", [False, True], ids=["resubmitted", "restored"])
async def test_what_the_student_took_back_is_not_shown_by_what_comes_instead(
    desk: Desk,
    *,
    spark: Spark,
    main_app: dict[str, str],
    student: SignedIn,
    assignment: Assignment,
    handed_in: dict[str, Any],
    take_back: Callable[..., Any],
    row: str,
    restored: bool,
) -> None:
    if restored:
        again = submission(student, assignment, submission_text="second")
        body_of(await spark.submit_form(again, PICTURE))
    words, picture = (await desk.read())["blocks"]
    await take_back(desk, words, picture)
    if restored:
        path = f"/internal/v1/submissions/{handed_in['submission_id']}/revisions/1/restore"
        body_of(await desk.browser.post(path, headers=main_app))
    else:
        graded = submission(student, assignment, submission_text=words["content"]["text"], grade=90)
        body_of(await spark.submit_form(graded, PICTURE))
    sparks = [
        block["is_private"]
        for block in (await desk.read())["blocks"]
        if block["provenance"]["written_by"] == "spark"
    ]
    assert sparks == [True, True]


async def test_an_edit_that_stays_public_hides_nothing(
    desk: Desk, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    words, picture = (await desk.read())["blocks"]
    await desk.saved(as_read(words, content={"text": "without the typo"}), as_read(picture))
    body_of(await spark.submit(submission(student, assignment, submission_text="again")))
    assert [block["is_private"] for block in (await desk.read())["blocks"]] == [False, False]


async def test_a_type_of_its_own_makes_a_block_the_students(desk: Desk) -> None:
    words, picture = (await desk.read())["blocks"]
    await desk.saved(as_read(words), as_read(picture, type="document"))
    blocks = (await desk.read())["blocks"]
    assert [block["provenance"]["written_by"] for block in blocks] == ["spark", "student"]


@pytest.fixture
async def raw(settings: Settings) -> Any:
    """A service that keeps texts in evidence_text."""
    async with run_app(settings.model_copy(update={"evidence_text_mode": "raw"})) as running:
        yield running


@pytest.mark.parametrize("row", ["P274"])
async def test_what_is_hidden_stands_in_no_other_column(
    raw: Any, student: SignedIn, assignment: Assignment, spark: Spark, sessions: Sessions, row: str
) -> None:
    payload = submission(student, assignment, submission_text="only for me")
    async with httpx.AsyncClient(base_url=raw.url, trust_env=False) as browser:
        handed_in = body_of(
            await Spark(browser, spark.sso_secret, spark.webhook_secret).submit(payload)
        )
        desk = desk_of(browser, student, handed_in["task_id"])
        [kept] = await completions_of(sessions, desk)
        assert kept.evidence_text == "only for me"
        async with sessions() as session, session.begin():
            await session.execute(
                update(QuestTaskCompletion)
                .where(QuestTaskCompletion.task_id == UUID(desk.task_id))
                .values(evidence_url="https://example.com/only-for-me")
            )
        evidence = await desk.read()
        await desk.saved(*(as_read(block, is_private=True) for block in evidence["blocks"]))
    [kept] = await completions_of(sessions, desk)
    placeholder = f"Multi-format evidence document (Document ID: {evidence['document']['id']})"
    assert (kept.evidence_text, kept.evidence_url) == (placeholder, None)


# ---------------------------------------------------------------------------- completing


async def _save_as_completed(desk: Desk) -> httpx.Response:
    blocks = (await desk.read())["blocks"]
    return await desk.save(*map(as_read, blocks), status="completed")


@pytest.mark.parametrize("complete", [_save_as_completed, Desk.complete], ids=["save", "complete"])
async def test_completing_has_the_effects_of_a_native_completion_once(
    fresh: Desk, student: SignedIn, sessions: Sessions, complete: Callable[[Desk], Any]
) -> None:
    async with sessions() as session, session.begin():
        await session.execute(
            update(UserQuestTask)
            .where(UserQuestTask.id == UUID(fresh.task_id))
            .values(subject_xp_distribution={"Science": 50})
        )
    draft = await fresh.saved(text("done"))
    completed = body_of(await complete(fresh))
    assert completed.keys() == draft.keys()
    assert (completed["status"], completed["xp_awarded"]) == ("completed", 150)
    assert completed["blocks"] == draft["blocks"]
    [kept] = await completions_of(sessions, fresh)
    assert kept.evidence_text == (
        f"Multi-format evidence document (Document ID: {completed['document_id']})"
    )
    first = kept.completed_at
    again = body_of(await complete(fresh))
    assert (again["status"], again["xp_awarded"]) == ("completed", 0)
    [kept] = await completions_of(sessions, fresh)
    assert kept.completed_at == first
    assert await total_xp(sessions, student.user_id) == 100 + 150
    async with sessions() as session, session.begin():
        subject = await session.execute(
            select(UserSubjectXp.xp_amount).where(UserSubjectXp.user_id == UUID(student.user_id))
        )
        assert list(subject.scalars()) == ([] if IS_ADOPTED else [50])  # paid when it is approved


async def test_what_the_main_app_completed_and_paid_is_not_paid_again(
    fresh: Desk, student: SignedIn, sessions: Sessions
) -> None:
    body_of(await fresh.save(text(), status="completed"))
    async with sessions() as session, session.begin():  # it has no ledger of ours
        await session.execute(delete(XpAward).where(XpAward.task_id == UUID(fresh.task_id)))
    assert body_of(await fresh.complete())["xp_awarded"] == 0
    assert await total_xp(sessions, student.user_id) == 100 + 150


async def test_the_last_task_completes_the_quest_and_it_stays_editable(
    browser: httpx.AsyncClient,
    student: SignedIn,
    spark: Spark,
    assignment: Assignment,
    desk: Desk,
    sessions: Sessions,
) -> None:
    other = await spark.sign_in()  # whose open tasks are nobody's business (DEFECTS 11)
    body_of(await spark.submit(submission(other, assignment)))
    _, second, third = await tasks_of(sessions, student.user_id)
    done = [
        await desk_of(browser, student, task).saved(text(), status="completed")
        for task in (second, third)
    ]
    assert [answer["quest_completed"] for answer in done] == [False, True]
    evidence = await desk.read()
    edited = await desk.saved(*map(as_read, evidence["blocks"]), text("An afterthought."))
    assert (edited["status"], edited["quest_completed"]) == ("completed", True)
    async with sessions() as session, session.begin():
        enrolment = (
            await session.execute(
                update(UserQuest)
                .where(UserQuest.user_id == UUID(student.user_id))
                .values(is_active=False)
                .returning(UserQuest.completed_at)
            )
        ).one()
    assert enrolment.completed_at
    assert texts(await desk.read())[-1] == "An afterthought."
    await desk.saved(*map(as_read, (await desk.read())["blocks"]), text("and one more"))


async def test_completing_tells_the_places_that_blocks_have(
    desk: Desk, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    """A resubmission with fewer files leaves a gap before the student's own block."""
    blocks = (await desk.read())["blocks"]
    await desk.saved(*map(as_read, blocks), text("mine"))
    body_of(await spark.submit(submission(student, assignment)))
    places = [(block["id"], block["order_index"]) for block in (await desk.read())["blocks"]]
    assert [place for _, place in places] == [0, 2]
    completed = body_of(await desk.complete())
    assert [(block["id"], block["order_index"]) for block in completed["blocks"]] == places


async def test_a_completed_document_stays_completed(fresh: Desk) -> None:
    await fresh.saved(text("one"), status="completed")
    before = await fresh.read()
    saved = await fresh.saved(*map(as_read, before["blocks"]), text("two"), status="draft")
    assert saved["status"] == "completed"
    after = await fresh.read()
    assert after["document"]["status"] == "completed"
    assert after["document"]["completed_at"] == before["document"]["completed_at"]


async def test_nothing_is_completed_without_evidence(fresh: Desk, sessions: Sessions) -> None:
    assert_problem(await fresh.complete(), 400, "evidence_empty")
    assert_problem(await fresh.save(status="completed"), 400, "evidence_empty")
    assert (await fresh.read())["document"] is None
    await fresh.saved()
    assert_problem(await fresh.complete(), 400, "evidence_empty")
    assert await completions_of(sessions, fresh) == []


# ---------------------------------------------------------------------------- native evidence


@pytest.mark.parametrize("how", ["edit", "hand in"])
async def test_plain_evidence_of_a_native_completion_becomes_the_students_blocks(
    desk: Desk,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
    *,
    how: str,
) -> None:
    """As the main app completes without a document (CONTRACT 12): none of it is lost."""
    of_task = EvidenceDocument.task_id == UUID(desk.task_id)
    completed = QuestTaskCompletion.task_id == UUID(desk.task_id)
    told = {"evidence_text": "My essay on rain.", "evidence_url": "https://example.com/essay"}
    async with sessions() as session, session.begin():
        await session.execute(delete(SubmissionRevision).where(_of(student)))
        await session.execute(delete(EvidenceDocument).where(of_task))
        await session.execute(update(QuestTaskCompletion).where(completed).values(told))
    if how == "edit":
        await desk.saved(text("mine"))
    else:
        body_of(await spark.submit(submission(student, assignment)))
    _, essay, link = (await desk.read())["blocks"]
    assert essay["content"] == {"text": "My essay on rain."}
    assert link["content"]["url"] == "https://example.com/essay"
    assert [block["provenance"]["written_by"] for block in (essay, link)] == ["student"] * 2
    [completion] = await completions_of(sessions, desk)
    document_id = (await desk.read())["document"]["id"]
    assert completion.evidence_text.endswith(f"(Document ID: {document_id})")
    body_of(await spark.submit(submission(student, assignment)))
    assert texts(await desk.read()).count("My essay on rain.") == 1


def _of(student: SignedIn) -> ColumnElement[bool]:
    return SubmissionRevision.user_id == UUID(student.user_id)


# ---------------------------------------------------------------------------- who wrote, who told


@pytest.mark.parametrize("row", ["P239"])
async def test_only_what_is_the_editors_is_taken_from_what_comes_back(desk: Desk, row: str) -> None:
    """A whole answer is sent back, and all that was made up in it has no effect."""
    before = await desk.read()
    other = str(uuid4())
    owner = {"user_id": other, "quest_id": other, "completed_at": None}
    mine = {"document_id": other, "order_index": 7, "created_at": None, "user_id": other}
    author = {"uploaded_by_user_id": other, "provenance": {"written_by": "student"}}
    blocks = [as_read(block, **block | mine | author) for block in before["blocks"]]
    document = before["document"] | owner | {"id": other}
    await desk.saved(*blocks, document=document, success=False, permissions={}, **owner)
    after = await desk.read()
    for block in (*before["blocks"], *after["blocks"]):
        del block["content"]  # is the editor's, and its links are new each time
    assert after["blocks"] == before["blocks"]
    written = {name: after["document"][name] for name in ("updated_at", "version")}
    assert after["document"] == before["document"] | written


async def test_a_service_may_say_who_wrote_a_new_block_and_a_student_may_not(
    fresh: Desk, student: SignedIn, spark: Spark, main_app: dict[str, str]
) -> None:
    parent = await spark.sign_in()
    theirs = {"uploaded_by_user_id": parent.user_id, "uploaded_by_role": "parent"}
    service = Desk(fresh.browser, main_app, fresh.task_id, {"user_id": student.user_id})
    await fresh.saved(text("mine", **theirs))
    [mine] = (await fresh.read())["blocks"]
    await service.saved(as_read(mine, **theirs), text("theirs", **theirs), text("nobody's"))
    blocks = (await fresh.read())["blocks"]
    assert [(block["uploaded_by_user_id"], block["uploaded_by_role"]) for block in blocks] == [
        (student.user_id, "student"),
        (parent.user_id, "parent"),
        (student.user_id, "student"),
    ]
    assert blocks[1]["provenance"] == {"written_by": "parent"}
    stranger = text(uploaded_by_user_id=str(uuid4()))
    answer = await service.save(*map(as_read, blocks), stranger)
    problem = assert_problem(answer, 400, "field_invalid")
    assert problem["error"] == "Invalid field: blocks.3.uploaded_by_user_id"


async def test_the_main_app_and_the_audit_log_learn_of_it_by_ids_alone(
    fresh: Desk, student: SignedIn, handed_in: dict[str, Any], sessions: Sessions
) -> None:
    saved = await fresh.saved(text("a secret of mine"))
    async with sessions() as session, session.begin():
        [event] = await session.execute(
            select(ActivityEvent).where(
                ActivityEvent.user_id == UUID(student.user_id),
                ActivityEvent.event_type == "spark_evidence_updated",
            )
        )
    ids = {"document_id": saved["document_id"], "task_id": fresh.task_id}
    assert event.event_data == ids | {"quest_id": handed_in["quest_id"], "status": "draft"}
    entry = (f"user:{student.user_id}", "sensitive_update", ids)
    assert await audited(sessions, student.user_id) == [entry]


# ---------------------------------------------------------------------------- large ones


async def test_r44_a_large_save_that_waited_in_vain_for_a_slow_one_comes_again(
    settings: Settings, sessions: Sessions, fresh: Desk
) -> None:
    """One at a time is saved, and none waits for ever."""
    saved = await fresh.saved(text())
    large = text("rain " * THREAD_BYTES)
    async with (
        run_app(settings) as running,
        httpx.AsyncClient(base_url=running.url, trust_env=False) as browser,
        own_connection(settings) as holder,
    ):
        opened = running.app.state.resources
        one = Places(
            asyncio.Semaphore(1), each=1, wait_seconds=0.1, running=metrics.LARGE_SAVES_RUNNING
        )
        running.app.state.resources = replace(opened, large_saves=one)
        desk = replace(fresh, browser=browser)
        await holder.execute(
            select(EvidenceDocument.id)
            .where(EvidenceDocument.id == UUID(saved["document_id"]))
            .with_for_update()
        )
        slow = asyncio.create_task(desk.save(large, version=saved["version"]))

        async def it_waits() -> bool:
            return bool(await waiting_backends(sessions, holder))

        await eventually(it_waits)
        refused = await desk.save(large, version=saved["version"])
        assert_problem(refused, 503, "overloaded")
        assert int(refused.headers["retry-after"]) > 0
        await holder.rollback()
        body_of(await slow)
