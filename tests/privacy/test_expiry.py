"""Homework that is old goes, announced and in batches; what the student made of it stays (SECURITY
section 7). Time passes by `now`: what is handed in today is looked at again months later.
"""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.alerts.evaluate import evaluate_alerts
from app.files.uploads import sweep_uploads
from app.main import open_resources
from app.privacy.expire_submissions import BATCH_ROWS, expire_submissions
from app.settings import Settings
from app.worker import sweep
from tests.support.evidence import as_read, body_of, text, texts
from tests.support.families import Child, Family, dump
from tests.support.killed import run_apart
from tests.support.locks import hold
from tests.support.roster import entry, roster, send, sync_course
from tests.support.samples import png
from tests.support.spark import submission

DAYS = 40
ANNOUNCED, GOES = 12, 42  # days after it came: in the notice of that week, and 30 days later
INTERNAL = "/internal/v1"


@dataclass(frozen=True)
class Later:
    """The worker's step, so many days from now."""

    family: Family
    settings: Settings
    start: datetime

    async def at(self, *days: int) -> list[int]:
        """How many submissions went on each of these days."""
        sessions = self.family.resources.sessions
        return [
            await expire_submissions(sessions, self.settings, now=self.start + timedelta(days=day))
            for day in days
        ]

    async def old(self) -> int:
        """How many went when what is there now had grown old."""
        announced, gone = await self.at(ANNOUNCED, GOES)
        assert announced == 0
        return gone

    async def ask(self, path: str, method: str = "GET", **more: Any) -> Any:
        client, headers = self.family.client, self.family.main_app
        return await client.request(method, f"{INTERNAL}/{path}", headers=headers, **more)


@pytest.fixture
async def later(family: Family) -> Later:
    """Nothing was announced or held before, and nobody's homework is there."""
    for table in ("expiry_notices", "expiry_counts", "holds", "submission_revisions"):
        await family.stores.execute(f"DELETE FROM spark.{table}")  # noqa: S608 - our own
    settings = family.settings.model_copy(update={"submission_retention_days": DAYS})
    return Later(family, settings, datetime.now(tz=UTC))


async def forget_inbox(family: Family) -> None:
    """As long ago as submissions stay: deliveries and answers are gone with the next pass."""
    for table, moment in (("deliveries", "received_at"), ("idempotency_keys", "created_at")):
        await family.stores.execute(
            f"UPDATE spark.{table} SET {moment} = {moment} - interval '{DAYS} days'"  # noqa: S608
        )
    await sweep(family.resources)


async def completion_of(later: Later, child: Child) -> dict[str, Any]:
    listed = await later.ask(f"completions?user_id={child.user_id}")
    [completion] = listed.json()["items"]
    return body_of(await later.ask(f"completions/{completion['id']}"))


async def test_what_spark_handed_in_goes_and_what_the_student_wrote_stays(
    family: Family, later: Later
) -> None:
    child = await family.raise_child()
    desk = family.desk(child)
    before = await desk.read()
    saved = await desk.saved(*map(as_read, before["blocks"]), own := text("My own thoughts."))
    shown = await completion_of(later, child)
    assert await later.old() == 2
    await forget_inbox(family)
    after = await completion_of(later, child)
    assert texts(after) == [own["content"]["text"]]
    assert (after["xp_awarded"], after["revision"], after["files"]) == (
        shown["xp_awarded"],
        None,
        [],
    )
    assert after["document"]["status"] == "completed"
    kept = "\n".join((await dump(family.stores)).values())
    assert [word for word in (*texts(before)[:1], *child.files) if word in kept] == []
    assert (await later.ask(f"submissions/{child.submission_id}")).status_code == 404
    restore = f"submissions/{child.submission_id}/revisions/1/restore"
    assert (await later.ask(restore, "POST")).status_code == 404
    stale = {"updated_at": saved["updated_at"]}
    assert (await desk.save(*map(as_read, shown["blocks"]), **stale)).status_code == 409
    assert len(await forgotten_objects(family, child)) == 0


async def forgotten_objects(family: Family, child: Child) -> set[str]:
    keys = await asyncio.to_thread(family.stores.object_keys)
    return {key for key in keys if key.startswith(child.user_id)}


async def test_what_the_student_changed_is_theirs_with_the_file_it_shows(
    family: Family, later: Later
) -> None:
    child = await family.raise_child()
    desk = family.desk(child)
    said, *files = (as_read(block) for block in (await desk.read())["blocks"])
    picture = next(each for each in files if each["type"] == "image")
    picture["content"] |= {"caption": "How I measured it"}
    said["content"] = {"text": "Rain fell, and I have found out why."}
    await desk.saved(said, *files)
    assert await later.old() == 2
    await sweep_uploads(family.resources.sessions, family.resources.bucket)
    left = (await completion_of(later, child))["blocks"]
    assert [block["block_type"] for block in left] == ["text", "image"]
    shown = await family.client.get(left[1]["content"]["url"])
    assert shown.content == next(file for name, file in child.files.items() if "png" in name)
    assert len(await forgotten_objects(family, child)) == 1
    again = await desk.saved(*(as_read(block) for block in (await desk.read())["blocks"]))
    assert len(again["blocks"]) == 2
    await desk.saved(as_read(left[0]), updated_at=again["updated_at"])
    assert await forgotten_objects(family, child) == set()


async def test_a_text_beside_the_document_goes_too(family: Family, later: Later) -> None:
    """EVIDENCE_TEXT_MODE=raw keeps it in the completion as well."""
    async with family._changed(evidence_text_mode="raw") as raw:
        student = await raw.spark.sign_in()
        said = submission(student, family.course.assignment)
        assert (await raw.spark.submit(said)).status_code == 200
    assert await later.old() == 1
    await forget_inbox(family)
    kept = await dump(family.stores)
    assert said["submission_text"] not in "\n".join(kept.values())


# One more of the same task, recorded far ahead in time.
YOUNGER = """
    INSERT INTO spark.submission_revisions (id, completion_id, user_id, quest_id, revision,
      spark_assignment_id, fingerprint, submitted_at, replaced_at)
    SELECT '01f00000-7a5c-7000-8000-000000000000', completion_id, user_id, quest_id, 9,
      spark_assignment_id, '', submitted_at, now()
    FROM spark.submission_revisions WHERE id = '{of}'
"""
TURN = "SELECT pg_advisory_xact_lock(hashtextextended('enrolment:{of}', 0))"


async def test_all_revisions_go_so_long_after_the_last(family: Family, later: Later) -> None:
    child = await family.raise_child()
    await family.stores.execute(YOUNGER.format(of=child.submission_id))
    assert await later.old() == 0
    rows = await family.stores.execute("SELECT id FROM spark.submission_revisions")
    assert len(rows) == 3


async def test_what_is_handed_in_while_a_batch_goes_keeps_all_of_its_task(
    family: Family, later: Later
) -> None:
    """It comes first by the student's turn, for which the batch waits."""
    child = await family.raise_child()
    await later.at(ANNOUNCED)
    async with hold(family.stores, "spark.milestones") as holder:
        await holder.execute(TURN.format(of=child.user_id))
        going = asyncio.create_task(later.at(GOES))
        await holder.wait_for()
        await holder.execute(YOUNGER.format(of=child.submission_id))
        await holder.commit()
        assert await going == [0]
    assert (await later.ask(f"submissions/{child.submission_id}")).status_code == 200


async def test_a_hold_waits_for_the_batch_that_is_going(family: Family, later: Later) -> None:
    """So that nothing goes any more once it is answered."""
    child = await family.raise_child()
    await later.at(ANNOUNCED)
    async with hold(family.stores, "spark.milestones") as holder:
        await holder.execute(TURN.format(of=child.user_id))
        going = asyncio.create_task(later.at(GOES))
        await holder.wait_for()
        said = {"user_id": child.user_id, "reason": "Too late"}
        placing = asyncio.create_task(later.ask("holds", "POST", json=said))
        await holder.wait_for(2)
        await holder.release()
        assert await going == [2]
        assert (await placing).status_code == 200


async def test_nothing_goes_that_was_not_announced_for_30_days(
    family: Family, later: Later
) -> None:
    """However old it is when the setting is new, and not by another setting than now."""
    await family.raise_child()
    assert await later.at(400, 407, 414, 429) == [0, 0, 0, 0]
    [notice] = await family.stores.execute(
        "SELECT event_data FROM user_activity_events WHERE event_type = 'spark_expiry_announced'"
        " ORDER BY created_at DESC LIMIT 1"
    )
    assert notice["event_data"]["submissions"] == 2
    longer = later.settings.model_copy(update={"submission_retention_days": 1000})
    assert await Later(family, longer, later.start).at(430) == [0]
    unset = later.settings.model_copy(update={"submission_retention_days": None})
    assert await Later(family, unset, later.start).at(430) == [0]
    assert await later.at(437) == [2]


async def test_operators_are_told_once_a_week(family: Family, later: Later) -> None:
    async def firing(day: int) -> dict[str, Any] | None:
        now = later.start + timedelta(days=day)
        await evaluate_alerts(family.resources.sessions, later.settings, now=now)
        items = (await later.ask("alerts")).json()["items"]
        [alert] = [each for each in items if each["name"] == "submissions_expire"]
        return alert["codes"] if alert["state"] == "firing" else None

    await family.raise_child()
    await later.at(ANNOUNCED)
    assert await firing(ANNOUNCED) == {"submissions": 2}
    await firing(ANNOUNCED + 2)
    assert await firing(ANNOUNCED + 3) is None


async def test_homework_of_a_held_student_or_school_stays(family: Family, later: Later) -> None:
    child, other, third = [await family.raise_child() for _ in range(3)]
    there = await sync_course(family.spark, org_id=f"org_{uuid4().hex}")
    enrolled = await send(family.spark, roster(there, entry(third.spark_user_id)))
    assert enrolled.status_code == 200
    holds = []
    for of in ({"user_id": child.user_id}, {"spark_org_id": there.spark_org_id}):
        placed = body_of(await later.ask("holds", "POST", json=of | {"reason": "A lawsuit"}))
        holds.append(placed["id"])
    assert await later.old() == 2  # of the one whom nobody holds
    assert (await later.ask(f"submissions/{other.submission_id}")).status_code == 404
    for hold_id, held in zip(holds, (child, third), strict=True):
        assert (await later.ask(f"submissions/{held.submission_id}")).status_code == 200
        assert (await later.ask(f"holds/{hold_id}", "DELETE")).status_code == 204
    assert await later.at(GOES + 1) == [0]  # what was looked at is looked at again in a week
    assert sum(await later.at(*range(GOES + 7, GOES + 50, 7))) == 4


async def test_an_old_message_brings_nothing_back(family: Family, later: Later) -> None:
    """By whichever signature."""
    child = await family.raise_child()
    long_ago = (later.start - timedelta(days=DAYS + 1)).isoformat()
    late = submission(child.student, family.course.assignment, submitted_at=long_ago)
    raw = json.dumps(late).encode()
    refused = await family.spark.submit(raw)
    assert refused.json()["code"] == "timestamp_too_old"
    listed = (await later.ask(f"deliveries?spark_user_id={child.spark_user_id}")).json()["items"]
    replayed = await later.ask(f"deliveries/{listed[0]['id']}/replay", "POST")
    assert replayed.status_code == 200, replayed.text
    assert await later.old() == 3
    await forget_inbox(family)
    assert (await family.spark.submit(raw)).json()["code"] == "timestamp_too_old"
    again = await family.spark.post(raw, family.spark.sign_v1(raw))
    assert again.json()["code"] == "timestamp_too_old"
    assert await family.stores.execute("SELECT id FROM spark.submission_revisions") == []


async def test_new_homework_is_taken_and_pays_nothing_twice(family: Family, later: Later) -> None:
    child = await family.raise_child()
    assert await later.old() == 2
    work = submission(child.student, family.course.assignment)
    answer = body_of(await family.spark.submit(work))
    assert (answer["revision"], answer["xp_awarded"], answer["duplicate"]) == (1, 0, False)
    assert work["submission_text"] in texts(await completion_of(later, child))


async def test_explain_says_that_it_went(family: Family, later: Later) -> None:
    child = await family.raise_child()
    assert await later.old() == 2
    await forget_inbox(family)
    asked = f"spark_user_id={child.spark_user_id}&spark_assignment_id=essay"
    course = family.course.spark_course_id
    said = body_of(await later.ask(f"explain?{asked}&spark_course_id={course}"))
    assert "has gone because it was old" in said["summary"][-1], said


async def test_a_student_whose_homework_went_is_exported_and_erased(
    family: Family, later: Later
) -> None:
    child = await family.raise_child()
    assert await later.old() == 2
    exported = await later.ask(f"students/{child.user_id}/export")
    assert exported.status_code == 200
    await family.erased(child)
    assert await family.traces([child]) == []


FILL = (
    """
    INSERT INTO user_quest_tasks (id, user_id, quest_id, user_quest_id, title, pillar)
    SELECT gen_random_uuid(), user_id, quest_id, user_quest_id, 'Many', pillar
    FROM user_quest_tasks, generate_series(1, {rows}) WHERE id = '{child.task_id}'
    """,
    """
    INSERT INTO quest_task_completions (id, user_id, quest_id, task_id)
    SELECT gen_random_uuid(), user_id, quest_id, id FROM user_quest_tasks
    WHERE title = 'Many' AND user_id = '{child.user_id}'
    """,
    """
    INSERT INTO spark.submission_revisions (id, completion_id, user_id, quest_id, revision,
      spark_assignment_id, fingerprint, submitted_at)
    SELECT overlay(gen_random_uuid()::text placing '0193b5a2-7a5c-7' from 1 for 15)::uuid, id,
      user_id, quest_id, 1, 'many', '', now()
    FROM quest_task_completions c WHERE user_id = '{child.user_id}' AND NOT EXISTS (
      SELECT FROM spark.submission_revisions r WHERE r.completion_id = c.id)
    """,
)


async def fill(family: Family, child: Child, rows: int) -> None:
    """So many more tasks that this student handed in."""
    for statement in FILL:
        await family.stores.execute(statement.format(rows=rows, child=child))


async def test_two_workers_count_each_once(family: Family, later: Later) -> None:
    child = await family.raise_child()
    rows = 2 * BATCH_ROWS + 10
    await fill(family, child, rows)
    await later.at(ANNOUNCED)
    both = await asyncio.gather(later.at(GOES), later.at(GOES))
    assert sum(gone for (gone,) in both) == rows + 2
    assert await counted(family) == rows + 2


async def counted(family: Family) -> int:
    [found] = await family.stores.execute(
        "SELECT sum(submissions)::int AS found FROM spark.expiry_counts WHERE spark_org_id = '24'"
    )
    count: int = found["found"]
    return count


@pytest.mark.parametrize("transaction", [4, 5])
async def test_a_worker_that_was_killed_is_gone_on_from(
    family: Family, later: Later, transaction: int
) -> None:
    child = await family.raise_child()
    rows = 2 * BATCH_ROWS
    await fill(family, child, rows)
    await later.at(ANNOUNCED)

    async def act() -> None:
        async with open_resources(family.settings) as opened:
            now = later.start + timedelta(days=GOES)
            await expire_submissions(opened.sessions, later.settings, now=now)

    assert await run_apart(act, "commit", kill_at=transaction) is None
    [left] = await family.stores.execute(
        "SELECT count(*)::int AS found FROM spark.submission_revisions"
    )
    assert 0 < left["found"] < rows + 2
    assert await later.at(GOES) == [left["found"]]
    assert await counted(family) == rows + 2


async def test_it_is_in_the_audit_log_of_each_student(family: Family, later: Later) -> None:
    child = await family.raise_child()
    await later.old()
    found = await family.stores.execute(
        "SELECT action, detail FROM spark.audit_log"  # noqa: S608 - an id
        f" WHERE caller = 'retention' AND user_ids @> array['{child.user_id}'::uuid]"
    )
    assert found == [{"action": "sensitive_delete", "detail": {"what": "submissions"}}]


async def test_a_picture_that_is_handed_in_again_is_another_file(
    family: Family, later: Later
) -> None:
    """Nothing of what went is found by what comes."""
    child = await family.raise_child()
    await later.old()
    await sweep_uploads(family.resources.sessions, family.resources.bucket)
    added = await family.add_file(child, png(), "mine.png")
    assert added.status_code == 200, added.text
    assert len(await forgotten_objects(family, child)) == 1
