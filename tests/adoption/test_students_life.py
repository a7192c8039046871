"""One student's life beside the main app, in both shapes, as the owner and as the role that has
only its grants: each row is as the main app would have it, and none is left at its end.
"""

# ruff: noqa: S608 - no value comes from outside

import io
import json
import zipfile
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import pytest

from app.settings import Settings
from app.worker import sweep
from tests.support.adopted import Shape
from tests.support.beside import Beside, serve_beside
from tests.support.bodies import Part
from tests.support.courses import course, hand_in, synced
from tests.support.evidence import as_read, body_of, desk_of, text, texts
from tests.support.kinds import ORGANIZATION
from tests.support.roster import entry
from tests.support.roster import send as send_roster
from tests.support.samples import pdf
from tests.support.service_role import Role
from tests.support.spark import SignedIn

MAIN_APP = "https://db.example.test"
COURSE = course("one", "two")
ROLES: tuple[Role, ...] = ("optio_owner", "spark_service")
SHAPES: tuple[Shape, ...] = ("2026_08", "2025_12")

# What the main app's code sends, one statement a transaction.
GIVE_CREDIT = "update course_quest_tasks set subject_xp_distribution = '{\"science\": 100}'"
SAVE = (
    """update user_task_evidence_documents set status = 'completed', updated_at = now()
    where id = :document""",
    "delete from evidence_document_blocks where document_id = :document",
    """insert into evidence_document_blocks
      (document_id, block_type, content, order_index, is_private, uploaded_by_role)
    select :document, block ->> 'type', block -> 'content', number - 1, false, 'student'
    from jsonb_array_elements(cast(cast(:blocks as text) as jsonb))
      with ordinality as sent (block, number)""",
)
ADDED_BY_A_PARENT = """insert into evidence_document_blocks
      (document_id, block_type, content, order_index, uploaded_by_role)
    select id, 'text', jsonb_build_object('text', 'From a parent.'), 9, 'parent'
    from user_task_evidence_documents where id = :document"""
BAKE = (
    """insert into user_quest_tasks
      (user_id, quest_id, user_quest_id, title, pillar, xp_value, order_index, is_manual)
    select user_id, quest_id, id, 'Bake bread', 'art', 60, 2, true
    from user_quests where user_id = :student""",
    """insert into user_task_evidence_documents (user_id, quest_id, task_id, status, completed_at)
    select user_id, quest_id, id, 'completed', now()
    from user_quest_tasks where user_id = :student and is_manual""",
    """insert into quest_task_completions
      (user_id, quest_id, task_id, user_quest_task_id, evidence_text, completed_at)
    select d.user_id, d.quest_id, d.task_id, d.task_id,
      'Multi-format evidence document (Document ID: ' || d.id || ')', now()
    from user_task_evidence_documents d join user_quest_tasks t on t.id = d.task_id
    where t.user_id = :student and t.is_manual""",
    "select increment_user_xp(:student, 'art', 60)",
    "update users set total_xp = get_user_total_xp(id) where id = :student",
)
EDIT_COURSE = """
    with gone as (delete from course_quest_tasks where quest_id = :quest returning *)
    insert into course_quest_tasks (quest_id, title, pillar, xp_value, order_index)
    select quest_id, title, pillar, 70, order_index from gone"""

# By table: the rows of `:student`, as the main app reads them.
ROWS = {
    "users": "email, role, total_xp, deletion_status, first_name, last_name",
    "lms_integrations": "lms_platform, lms_user_id, sync_enabled, sync_status",
    "user_quests": "is_active, completed_at is null, status",
    "user_quest_tasks": "title, pillar, xp_value, is_manual, exists (select from"
    " course_quest_tasks t where t.id = source_task_id and t.title = user_quest_tasks.title)",
    "quest_task_completions": "user_quest_task_id = task_id, evidence_url, exists (select from"
    " user_task_evidence_documents d where d.task_id = quest_task_completions.task_id"
    " and evidence_text = 'Multi-format evidence document (Document ID: ' || d.id || ')')",
    "user_task_evidence_documents": "status, completed_at is not null, is_confidential",
    "user_skill_xp": "pillar, xp_amount",
    "user_mastery": "total_xp",
    "diplomas": "portfolio_slug is not null",
    "learning_events": "id",
    "lms_sessions": "id",
    "lms_grade_sync": "id",
}
TABLES = """
select n.nspname || '.' || c.relname as name from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname in ('public', 'spark', 'auth') order by 1
"""


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> Shape:
    found: Shape = request.param
    return found


@pytest.fixture(params=ROLES)
async def beside(
    request: pytest.FixtureRequest, settings: Settings, shape: Shape
) -> AsyncIterator[Beside]:
    role: Role = request.param
    async with serve_beside(
        settings, role, shape, supabase_url=MAIN_APP, complete_quests=None
    ) as running:
        yield running


async def test_a_students_life(beside: Beside, shape: Shape) -> None:
    spark, quest = beside.spark, await synced(beside.spark, COURSE)
    await beside.rows(GIVE_CREDIT)
    student = await spark.sign_in(
        given_name="Lia",
        family_name="Life",
        email="lia@example.test",
        courses=[COURSE["spark_course_id"]],
    )
    one = body_of(await spark.submit(hand_in(student, COURSE, "one", submission_text="First.")))
    two = hand_in(student, COURSE, "two", submission_text=None)
    body_of(await spark.submit_form(two, Part("file", pdf(), "essay.pdf")))
    document = await edit_in_both(beside, student, one["task_id"])
    await send(beside, BAKE, student=student.user_id)
    await beside.rows(EDIT_COURSE, quest=quest)
    assert await synced(spark, COURSE) == quest
    again = hand_in(student, COURSE, "one", submission_text="Second.")
    later = body_of(await spark.submit(again))
    assert (later["task_id"], later["revision"], later["xp_awarded"]) == (one["task_id"], 2, 0)
    for action in ("drop", "enroll"):
        roster = {
            "spark_course_id": COURSE["spark_course_id"],
            "entries": [entry(student.spark_user_id, action)],
        }
        assert (await send_roster(spark, roster)).json()["errors"] == []
    await sweep(beside.resources)
    await find_all_as_it_should_be(beside, student, document, shape)
    await read_everywhere(beside, student)
    await erase(beside, student)


async def send(beside: Beside, statements: tuple[str, ...], **values: object) -> None:
    for statement in statements:
        await beside.rows(statement, **values)


async def edit_in_both(beside: Beside, student: SignedIn, task_id: str) -> str:
    """By the student here, then there, and by a parent there: the document."""
    desk = desk_of(beside.spark.browser, student, task_id)
    read = await desk.read()
    kept = [as_read(block) for block in read["blocks"]]
    await desk.saved(*kept, text("Added here."), version=read["version"])
    read = await desk.read()
    blocks = [{"type": b["block_type"], "content": b["content"]} for b in read["blocks"]]
    blocks.append(text("Added there."))
    document: str = read["document"]["id"]
    await beside.rows(SAVE[0], document=document)
    await beside.rows(SAVE[1], document=document)
    await beside.rows(SAVE[2], document=document, blocks=json.dumps(blocks))
    await beside.rows(ADDED_BY_A_PARENT, document=document)
    assert texts(await desk.read()) == ["First.", "Added here.", "Added there.", "From a parent."]
    return document


async def find_all_as_it_should_be(
    beside: Beside, student: SignedIn, document: str, shape: Shape
) -> None:
    found = {table: await rows_of(beside, student, table, ROWS[table]) for table in ROWS}
    assert found == {
        "users": [("lia@example.test", "student", 260, "none", "Lia", "Life")],
        "lms_integrations": [("spark", student.spark_user_id, True, "active")],
        "user_quests": [(True, True, "picked_up")],
        "user_quest_tasks": [
            ("Bake bread", "art", 60, True, False),
            ("Do one", "stem", 100, False, True),
            ("Do two", "stem", 100, False, True),
        ],
        "quest_task_completions": [(True, None, True)] * 3,
        "user_task_evidence_documents": [("completed", True, False)] * 3,
        "user_skill_xp": [("art", 60), ("stem", 200)],
        "user_mastery": [(260,)],
        "diplomas": [(True,)],
        "learning_events": [],
        "lms_sessions": [],
        "lms_grade_sync": [],
    }
    assert await beside.rows(
        "select content ->> 'text', order_index, uploaded_by_role::text, is_private"
        " from evidence_document_blocks where document_id = :id order by order_index",
        id=document,
    ) == [
        ("Second.", 0, "student", False),
        ("Added here.", 1, "student", False),
        ("Added there.", 2, "student", False),
        ("From a parent.", 9, "parent", False),
    ]
    [(address,)] = await beside.rows(
        "select content ->> 'url' from evidence_document_blocks where block_type = 'document'"
        " and uploaded_by_user_id = :id",
        id=student.user_id,
    )
    bucket = beside.main_app.s3_bucket
    assert address.startswith(f"{MAIN_APP}/storage/v1/object/public/{bucket}/{student.user_id}/")
    await find_what_differs_by_shape(beside, student, shape)


async def find_what_differs_by_shape(beside: Beside, student: SignedIn, shape: Shape) -> None:
    """Credit is asked for since there are reviews, and a link names its organisation."""
    subjects = await rows_of(beside, student, "user_subject_xp", "school_subject::text, xp_amount")
    links = await rows_of(beside, student, "lms_integrations", "organization_id")
    if shape == "2026_08":
        reviews = await rows_of(
            beside, student, "quest_task_completions", "diploma_status, revision_number"
        )
        assert (subjects, links, reviews) == ([], [(ORGANIZATION,)], [("none", 1)] * 3)
    else:
        assert (subjects, links) == ([("science", 200)], [(ORGANIZATION,)])


async def rows_of(beside: Beside, student: SignedIn, table: str, columns: str) -> list[Any]:
    who = "id" if table == "users" else "user_id"
    return await beside.rows(
        f"select {columns} from {table} where {who} = :id order by {columns}", id=student.user_id
    )


async def read_everywhere(beside: Beside, student: SignedIn) -> None:
    """An export has as many rows of each table, but for the sum that a trigger keeps."""
    about = f"/internal/v1/students/{student.user_id}"
    for path in (about, f"{about}/xp", "/internal/v1/events", "/readyz"):
        answer = await beside.spark.browser.get(path, headers=beside.key)
        assert answer.status_code == HTTPStatus.OK, path
    exported = await beside.spark.browser.get(f"{about}/export", headers=beside.key)
    files = zipfile.ZipFile(io.BytesIO(exported.content))
    assert files.testzip() is None
    for table in ROWS.keys() - {"user_mastery"}:
        there = await rows_of(beside, student, table, "1")
        name = f"public.{table}.jsonl"
        told = files.read(name).splitlines() if name in files.namelist() else []
        assert len(told) == len(there), table


async def erase(beside: Beside, student: SignedIn) -> None:
    """No row of any table says the student's ids, address or words any more."""
    path = f"/internal/v1/students/{student.user_id}"
    erased = await beside.spark.browser.delete(path, headers=beside.key)
    assert (erased.status_code, erased.json()["completed_at"] is not None) == (HTTPStatus.OK, True)
    await sweep(beside.resources)
    words = (student.user_id, student.spark_user_id, "lia@example.test", "Added here.", "Second.")
    tables = [table for (table,) in await beside.rows(TABLES)]
    looking = " union all ".join(
        f"select '{table}', t::text from {table} t where t::text like any (:words)"
        for table in tables
    )
    assert await beside.rows(looking, words=[f"%{word}%" for word in words]) == []
