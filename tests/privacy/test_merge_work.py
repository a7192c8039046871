"""Both accounts of a child have work on one task: `prefer` says whose stands (ADOPTION 7)."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from app.learning.check_experience import check_experience
from app.worker import sweep
from tests.support.bodies import Part
from tests.support.evidence import Desk, as_read, body_of, text, texts
from tests.support.families import STUDENTS, Child, Family
from tests.support.homework import note
from tests.support.locks import hold
from tests.support.moves import ask, hand_in, moved, older_account, shown_files, state, total
from tests.support.spark import SignedIn, minutes_ago, submission

PREFER = pytest.mark.parametrize("prefer", ["target", "moved"])
OWN = b"my own notes"


@dataclass(frozen=True)
class Both:
    """A child's two accounts, of one task, and what each has handed in; what the other was
    answered.
    """

    child: Child
    older: SignedIn
    theirs: list[dict[str, Any]]
    ours: list[dict[str, Any]]
    answer: dict[str, Any]

    def of(self, prefer: str) -> list[dict[str, Any]]:
        return self.ours if prefer == "target" else self.theirs


async def revisions_of(family: Family, submission_id: str) -> list[dict[str, Any]]:
    """All beside it, with the bytes of their files."""
    path = f"/internal/v1/submissions/{submission_id}"
    found = body_of(await family.client.get(path, headers=family.main_app))
    async with httpx.AsyncClient(trust_env=False) as reader:
        for revision in found["revisions"]:
            answers = [await reader.get(file["url"]) for file in revision["files"]]
            assert {answer.status_code for answer in answers} <= {200}
            revision["files"] = [answer.content for answer in answers]
    revisions: list[dict[str, Any]] = found["revisions"]
    return revisions


def said_in(revisions: list[dict[str, Any]]) -> list[tuple[str, list[bytes]]]:
    return [(revision["text"], revision["files"]) for revision in revisions]


async def both_handed_in(family: Family, *, child_first: bool = True) -> Both:
    """With files; the child's account has added one in the editor."""
    older, answer = await older_account(family), dict[str, Any]()
    if not child_first:
        _, answer = await hand_in(family, older, note(500), submitted_at=minutes_ago(2))
    child = await family.raise_child()
    assert (await family.add_file(child, OWN, "own.txt")).status_code == 200
    if child_first:
        _, answer = await hand_in(family, older, note(500))
    theirs = await revisions_of(family, child.submission_id)
    ours = await revisions_of(family, answer["submission_id"])
    return Both(child, older, theirs, ours, answer)


async def shown(family: Family, completion_id: str) -> dict[str, Any]:
    path = f"/internal/v1/completions/{completion_id}"
    return body_of(await family.client.get(path, headers=family.main_app))


async def enrolled_account(family: Family) -> tuple[SignedIn, Desk]:
    """One that Spark does not know, and where its copy of the task is edited."""
    older = await older_account(family, courses=[family.course.assignment.spark_course_id])
    rows = await family.stores.execute(
        "SELECT t.id::text FROM user_quest_tasks t"  # noqa: S608
        " JOIN spark.assignments a ON a.task_id = t.source_task_id"
        f" WHERE t.user_id = '{older.user_id}'"
        f" AND a.spark_assignment_id = '{family.course.assignment.spark_assignment_id}'"
    )
    return older, Desk(family.client, family.main_app, rows[0]["id"], {"user_id": older.user_id})


async def assert_paid_once(
    family: Family, child: Child, older: SignedIn, xp: int, *, by_us: bool = True
) -> None:
    """In totals, and by us in ledger and events; the check of XP finds nothing to repair."""
    assert (await total(family, child.user_id), await total(family, older.user_id)) == (0, xp)
    for told in (
        "SELECT sum(xp_amount) AS xp FROM spark.xp_ledger",
        "SELECT sum((event_data ->> 'xp_awarded')::int) AS xp FROM user_activity_events",
    ):
        of_both = f"{told} WHERE user_id IN ('{child.user_id}', '{older.user_id}')"
        assert (await family.stores.execute(of_both))[0]["xp"] == (xp if by_us else 0), told
    faults: list[object] = []
    await check_experience(family.resources.sessions, tell=faults.append, repair=None)
    assert [fault for fault in faults if older.user_id in str(fault)] == []


@PREFER
@pytest.mark.parametrize("first", ["child", "other"])
async def test_the_other_work_stays_as_earlier_revisions(
    family: Family, prefer: str, first: str
) -> None:
    child_first = first == "child"
    both = await both_handed_in(family, child_first=child_first)
    xp = await total(family, both.older.user_id)
    before = await state(family, both.child.user_id, both.older.user_id)
    would = await moved(family, both.child, both.older, dry_run=True, prefer=prefer)
    assert await state(family, both.child.user_id, both.older.user_id) == before
    done = await moved(family, both.child, both.older, prefer=prefer)
    assert done == would | {"conflicts": []}
    assert len(would["conflicts"]) == done["moved"]["merged"] == 1
    assert done["moved"]["submissions"] == len(both.theirs)

    revisions = await revisions_of(family, both.child.submission_id)
    one, other = (both.theirs, both.ours) if child_first else (both.ours, both.theirs)
    arrived, stands = [*one, *other], both.of(prefer)[-1]
    # What stands is the last that was handed in, or is shown again behind it.
    again = [] if arrived[-1] is stands else [stands]
    assert said_in(revisions) == said_in([*arrived, *again])
    assert [each["revision"] for each in revisions] == [*range(1, len(revisions) + 1)]
    assert [each["outcome"] for each in revisions] == [
        *["replaced"] * (len(revisions) - 1),
        "current",
    ]
    evidence = await shown(family, both.answer["completion_id"])
    assert evidence["revision"] == len(revisions)
    assert texts(evidence)[0] == stands["text"]
    await assert_paid_once(family, both.child, both.older, xp)
    await sweep(family.resources)
    await family.erased(both.child)
    assert await shown_files(family, both.older.user_id) == [*stands["files"], OWN]
    assert said_in(await revisions_of(family, both.child.submission_id)) == said_in(revisions)


@PREFER
async def test_homework_goes_on_after_the_merge(family: Family, prefer: str) -> None:
    """A repetition is told what is now, new homework replaces it, and what was set aside can be
    shown again.
    """
    both = await both_handed_in(family)
    said = submission(both.child.student, family.course.assignment)
    first = (await family.spark.submit(said)).json()
    await moved(family, both.child, both.older, prefer=prefer)
    now = await revisions_of(family, first["submission_id"])
    repeated = (await family.spark.submit(said)).json()
    assert repeated["duplicate"]
    assert repeated["completion_id"] == both.answer["completion_id"]
    assert repeated["task_id"] == both.answer["task_id"]
    [number] = [each["revision"] for each in now if each["id"] == first["submission_id"]]
    assert repeated["revision"] == number

    aside = both.theirs if prefer == "target" else both.ours
    [number] = [each["revision"] for each in now if each["id"] == aside[-1]["id"]]
    path = f"/internal/v1/submissions/{aside[-1]['id']}/revisions/{number}/restore"
    restored = body_of(await family.client.post(path, headers=family.main_app))
    assert restored["revision"] == len(now) + 1
    assert texts(await shown(family, both.answer["completion_id"]))[0] == aside[-1]["text"]

    new = await family.spark.submit(submission(both.child.student, family.course.assignment))
    assert (new.json()["revision"], new.json()["xp_awarded"]) == (len(now) + 2, 0)
    assert await shown_files(family, both.older.user_id) == [OWN]


@PREFER
async def test_events_and_repetition_name_what_stands(family: Family, prefer: str) -> None:
    both = await both_handed_in(family)
    await moved(family, both.child, both.older, prefer=prefer)
    rows = await family.stores.execute(
        "SELECT event_data FROM user_activity_events"  # noqa: S608
        f" WHERE user_id = '{both.older.user_id}' AND event_data ? 'completion_id' ORDER BY id"
    )
    evidence = await shown(family, both.answer["completion_id"])
    told = [
        json.loads(row["event_data"]) if isinstance(row["event_data"], str) else row["event_data"]
        for row in rows
    ]
    assert {(each["completion_id"], each["task_id"], each["document_id"]) for each in told} == {
        (evidence["id"], evidence["task_id"], evidence["document"]["id"])
    }
    revisions = await revisions_of(family, both.child.submission_id)
    assert {each["submission_id"]: each["revision"] for each in told} == {
        each["id"]: each["revision"] for each in revisions
    }
    assert [each["is_first"] for each in told] == [each["revision"] == 1 for each in told]
    assert await moved(family, both.child, both.older, prefer=prefer) == {
        "moved": {},
        "conflicts": [],
    }


@PREFER
@pytest.mark.parametrize("written", ["in a document", "as a text alone"])
async def test_work_of_the_main_apps_stays_beside_revisions(
    family: Family, prefer: str, written: str
) -> None:
    """It is no revision: it stands alone, or behind what was handed in, and is not paid again."""
    child = await family.raise_child()
    older, desk = await enrolled_account(family)
    if written == "in a document":
        await desk.saved(text("Written natively."))
    await family.stores.execute(
        "INSERT INTO quest_task_completions (id, user_id, quest_id, task_id, evidence_text)"  # noqa: S608
        " SELECT gen_random_uuid(), t.user_id, t.quest_id, t.id, coalesce("
        "   (SELECT 'Multi-format evidence document (Document ID: ' || d.id || ')'"
        "    FROM user_task_evidence_documents d WHERE d.task_id = t.id), 'Written natively.')"
        f" FROM user_quest_tasks t WHERE t.id = '{desk.task_id}' RETURNING id"
    )
    await family.stores.execute(
        "INSERT INTO user_skill_xp (user_id, pillar, xp_amount)"  # noqa: S608
        f" SELECT user_id, pillar, 70 FROM user_quest_tasks WHERE id = '{desk.task_id}'"
        " RETURNING id"
    )
    works = ("quest_task_completions", "user_task_evidence_documents")
    for table in works:
        await family.stores.execute(
            f"UPDATE {table} SET is_confidential = true"  # noqa: S608
            f" WHERE user_id = '{child.user_id}' RETURNING id"
        )
    theirs = await revisions_of(family, child.submission_id)
    await moved(family, child, older, prefer=prefer)
    revisions = await revisions_of(family, child.submission_id)
    assert said_in(revisions) == said_in(theirs)
    rows = await state(family, older.user_id)
    assert [row["row"]["is_confidential"] for table in works for row in rows[table]] == [True] * 2
    before = [theirs[-1]["text"]] if prefer == "moved" else []
    shows = [words for words in texts(await desk.read()) if words]
    assert shows == [*before, "Written natively."]
    assert await shown_files(family, older.user_id) == (theirs[-1]["files"] if before else [])
    await assert_paid_once(family, child, older, 70, by_us=False)
    path = f"/internal/v1/submissions/{child.submission_id}/revisions/1/restore"
    restored = body_of(await family.client.post(path, headers=family.main_app))
    assert restored["revision"] == len(theirs) + 1
    now = [words for words in texts(await desk.read()) if words]
    assert sorted(now) == [theirs[0]["text"], "Written natively."]


@PREFER
async def test_a_draft_is_kept_and_the_work_is_paid(family: Family, prefer: str) -> None:
    """What was handed in completes the task of the other account."""
    child = await family.raise_child()
    older, desk = await enrolled_account(family)
    await desk.saved(text("A first thought."))
    theirs, xp = await revisions_of(family, child.submission_id), await total(family, child.user_id)
    await moved(family, child, older, prefer=prefer)
    assert said_in(await revisions_of(family, child.submission_id)) == said_in(theirs)
    standing = [] if prefer == "target" else [theirs[-1]["text"]]
    evidence = await desk.read()
    assert [words for words in texts(evidence) if words] == [*standing, "A first thought."]
    assert evidence["document"]["status"] == "completed"
    await assert_paid_once(family, child, older, xp)


async def grade(family: Family, user_id: str, task_id: str, score: int) -> dict[str, Any]:
    """What somebody gave, as it is kept."""
    said = {"user_id": user_id, "task_id": task_id, "score": score}
    given = await family.client.post("/internal/v1/grades", json=said, headers=family.main_app)
    assert given.status_code == 202, given.text
    return await grade_of(family, given.json()["id"])


async def grade_of(family: Family, grade_id: str) -> dict[str, Any]:
    path = f"/internal/v1/grades/{grade_id}"
    return body_of(await family.client.get(path, headers=family.main_app))


async def test_a_grade_goes_along_and_the_next_score_is_its_next_version(family: Family) -> None:
    both = await both_handed_in(family)
    first = await grade(family, both.child.user_id, both.child.task_id, 70)
    of_canvas = await family.stores.execute(
        "INSERT INTO lms_grade_sync (user_id, quest_id, lms_platform, lms_assignment_id, score)"  # noqa: S608
        " SELECT user_id, quest_id, 'canvas', lms_assignment_id, 50 FROM lms_grade_sync"
        f" WHERE id = '{first['id']}' RETURNING id"
    )
    await moved(family, both.child, both.older, prefer="target")
    gone_along = await grade_of(family, first["id"])
    assert (gone_along["user_id"], gone_along["task_id"]) == (
        *(both.older.user_id, both.answer["task_id"]),
    )
    mirrors = await family.stores.execute(
        f"SELECT user_id::text FROM lms_grade_sync"  # noqa: S608
        f" WHERE id IN ('{first['id']}', '{of_canvas[0]['id']}') ORDER BY lms_platform DESC"
    )
    assert mirrors == [{"user_id": both.older.user_id}, {"user_id": both.child.user_id}]
    later = await grade(family, both.older.user_id, both.answer["task_id"], 80)
    assert (later["id"], later["version"]) == (first["id"], 2)


async def test_of_two_grades_each_account_keeps_its_own(family: Family) -> None:
    """Each went to Spark under its own id; the next score is the linked one's."""
    both = await both_handed_in(family)
    link = f"{STUDENTS}/{both.older.user_id}/link"
    own = {"spark_user_id": both.older.spark_user_id}
    await family.client.post(link, json=own, headers=family.main_app)
    theirs = await grade(family, both.child.user_id, both.child.task_id, 70)
    ours = await grade(family, both.older.user_id, both.answer["task_id"], 60)
    await family.client.delete(link, headers=family.main_app)
    await moved(family, both.child, both.older, prefer="moved")
    assert await grade_of(family, theirs["id"]) == theirs
    assert await grade_of(family, ours["id"]) == ours
    later = await grade(family, both.older.user_id, both.answer["task_id"], 80)
    assert (later["id"], later["spark_user_id"]) == (ours["id"], both.child.spark_user_id)


async def test_whoever_moves_back_takes_work_and_xp_along(family: Family) -> None:
    both = await both_handed_in(family)
    xp = await total(family, both.older.user_id)
    await moved(family, both.child, both.older, prefer="target")
    revisions = await revisions_of(family, both.child.submission_id)
    path = f"/internal/v1/students/{both.child.user_id}/link"
    said = {"spark_user_id": both.child.spark_user_id, "from": both.older.user_id}
    back = await family.client.post(path, json=said | {"prefer": "moved"}, headers=family.main_app)
    assert back.status_code == 200, back.text
    assert said_in(await revisions_of(family, both.child.submission_id)) == said_in(revisions)
    assert await shown_files(family, both.child.user_id) == [*revisions[-1]["files"], OWN]
    assert await total(family, both.older.user_id) == 0
    assert await total(family, both.child.user_id) == xp


@pytest.mark.parametrize("whose", ["child's", "other's"])
async def test_what_the_main_app_adds_to_either_document_is_waited_for(
    family: Family, whose: str
) -> None:
    both = await both_handed_in(family)
    user_id = both.child.user_id if whose == "child's" else both.older.user_id
    async with hold(family.stores, "spark.tombstone_key") as main_app:
        await main_app.execute(
            "INSERT INTO evidence_document_blocks"  # noqa: S608
            " (id, document_id, block_type, content, order_index)"
            " SELECT gen_random_uuid(), id, 'text', '{\"text\": \"A parent wrote.\"}', 90"
            f" FROM user_task_evidence_documents WHERE user_id = '{user_id}'"
        )
        moving = asyncio.create_task(ask(family, both.child, both.older, prefer="moved"))
        await main_app.wait_for()
        await main_app.commit()
        assert (await moving).status_code == 200
    assert "A parent wrote." in texts(await shown(family, both.answer["completion_id"]))


async def test_both_accounts_work_on_during_the_move(family: Family) -> None:
    """Homework from Spark and a save at the other account: neither is lost nor doubled."""
    for prefer in ("target", "moved", "target"):
        both = await both_handed_in(family)
        xp = await total(family, both.older.user_id)
        task_id, query = both.answer["task_id"], {"user_id": both.older.user_id}
        desk = Desk(family.client, family.main_app, task_id, query)
        read = await desk.read()
        kept = [as_read(block) for block in read["blocks"]]
        sent = [submission(both.child.student, family.course.assignment) for _ in range(4)]
        part = Part("file", b"rain" * 3000, filename="r.txt")
        saving = desk.save(
            *kept, text("While it moved."), updated_at=read["document"]["updated_at"]
        )
        moving, form, saved, *answers = await asyncio.gather(
            ask(family, both.child, both.older, prefer=prefer),
            family.spark.submit_form(sent[0], part),
            saving,
            *map(family.spark.submit, sent[1:]),
        )
        assert moving.status_code == 200, moving.text
        assert {answer.status_code for answer in answers} == {200}
        assert form.status_code in {200, 503}, form.text
        if form.status_code == 503:
            assert (await family.spark.submit_form(sent[0], part)).status_code == 200
        # Whoever saved later than the move had read another document.
        assert saved.status_code in {200, 409}, saved.text
        revisions = await revisions_of(family, both.child.submission_id)
        assert [each["revision"] for each in revisions] == [*range(1, len(revisions) + 1)]
        whole = said_in([*both.theirs, *both.ours])
        whole += [(one["submission_text"], []) for one in sent[1:]]
        whole.append((sent[0]["submission_text"], [part.content]))
        assert all(one in said_in(revisions) for one in whole)
        assert len(whole) <= len(revisions) <= len(whole) + 1
        assert [each["outcome"] for each in revisions].count("current") == 1
        now = texts(await desk.read())
        assert now.count("While it moved.") == (saved.status_code == 200)
        await assert_paid_once(family, both.child, both.older, xp)


async def test_homework_for_the_other_accounts_own_spark_id_is_in_time_or_refused(
    family: Family,
) -> None:
    """It arrives while that is unlinked and the child's work moves there."""
    child, older = await family.raise_child(), await older_account(family)
    link = f"{STUDENTS}/{older.user_id}/link"
    own = {"spark_user_id": older.spark_user_id}
    assert (await family.client.post(link, json=own, headers=family.main_app)).status_code == 200
    sent = [submission(older, family.course.assignment) for _ in range(4)]

    async def unlink_and_move() -> httpx.Response:
        await family.client.delete(link, headers=family.main_app)
        return await ask(family, child, older, prefer="moved")

    answer, *answers = await asyncio.gather(unlink_and_move(), *map(family.spark.submit, sent))
    assert answer.status_code == 200, answer.text
    assert {each.status_code for each in answers} <= {200, 404}
    taken: list[tuple[str, list[bytes]]] = [
        (one["submission_text"], [])
        for one, each in zip(sent, answers, strict=True)
        if each.status_code == 200
    ]
    revisions = said_in(await revisions_of(family, child.submission_id))
    assert sorted(one for one in revisions if one in taken) == sorted(taken)
    await assert_paid_once(family, child, older, await total(family, older.user_id))
