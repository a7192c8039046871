"""The main app's editor deletes all blocks of a document and writes them anew, under new ids, with
each save (ADOPTION #19). Spark's stay Spark's as long as they say what Spark said.
"""

import asyncio
from functools import partial
from typing import Any

import httpx
import pytest
from sqlalchemy import bindparam
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB

from app.database import Sessions
from tests.support import samples
from tests.support.bodies import Part
from tests.support.evidence import Desk, as_read, body_of, desk_of, text, texts
from tests.support.spark import Assignment, SignedIn, Spark, submission
from tests.support.stored import blocks_of, eventually, somebody_waits

PICTURE = Part("f", samples.png(), filename="gauge.png")
# As the main app's editor does it, in two transactions.
DELETE = "delete from evidence_document_blocks where document_id = cast(:document as uuid)"
WRITE = """
insert into evidence_document_blocks (document_id, block_type, content, order_index, is_private)
values (cast(:document as uuid), :kind, :content, :place, :hidden)
"""

INSERT = sql(WRITE).bindparams(bindparam("content", type_=JSONB))


@pytest.fixture
async def handed_in(spark: Spark, student: SignedIn, assignment: Assignment) -> dict[str, Any]:
    return body_of(
        await spark.submit_form(submission(student, assignment, submission_text="first"), PICTURE)
    )


@pytest.fixture
def desk(browser: httpx.AsyncClient, student: SignedIn, handed_in: dict[str, Any]) -> Desk:
    return desk_of(browser, student, handed_in["task_id"])


async def rewrite(
    sessions: Sessions, student: SignedIn, changes: dict[int, dict[str, Any]] | None = None
) -> None:
    """Every block anew; `changes` by place, None leaves one out."""
    found = await blocks_of(sessions, student.user_id)
    async with sessions() as session, session.begin():
        await session.execute(sql(DELETE), {"document": str(found[0].document_id)})
    async with sessions() as session, session.begin():
        for block in found:
            values = {
                "document": str(block.document_id),
                "kind": block.block_type,
                "content": block.content,
                "place": block.order_index,
                "hidden": block.is_private,
            } | (changes or {}).get(block.order_index, {})
            if values["content"] is not None:
                await session.execute(INSERT, values)


def writers(evidence: dict[str, Any]) -> list[str]:
    return [block["provenance"]["written_by"] for block in evidence["blocks"]]


def hidden(evidence: dict[str, Any]) -> dict[str, bool]:
    """By their texts; of files under no text."""
    return {block["content"].get("text", ""): block["is_private"] for block in evidence["blocks"]}


async def resubmit(spark: Spark, student: SignedIn, assignment: Assignment) -> dict[str, Any]:
    return body_of(await spark.submit(submission(student, assignment, submission_text="second")))


async def test_what_was_written_anew_is_still_sparks(
    desk: Desk, sessions: Sessions, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    read = await desk.read()
    await desk.saved(*map(as_read, read["blocks"]), text("mine"), version=read["version"])
    await rewrite(sessions, student)
    after = await desk.read()
    assert writers(after) == ["spark", "spark", "student"]
    assert [block["provenance"].get("sha256") for block in after["blocks"]] == [
        block["provenance"]["sha256"] for block in read["blocks"]
    ] + [None]
    await resubmit(spark, student, assignment)
    assert hidden(await desk.read()) == {"second": False, "mine": False}


@pytest.mark.parametrize("saved_between", [False, True])
async def test_it_is_replaced_also_by_a_revision_that_is_restored(
    desk: Desk, *, sessions: Sessions, spark: Spark, student: SignedIn, assignment: Assignment,
    main_app: dict[str, str], handed_in: dict[str, Any], saved_between: bool,
) -> None:  # fmt: skip
    await resubmit(spark, student, assignment)
    await rewrite(sessions, student)
    if saved_between:
        await desk.saved(*map(as_read, (await desk.read())["blocks"]), text("mine"))
    path = f"/internal/v1/submissions/{handed_in['submission_id']}/revisions/1/restore"
    body_of(await desk.browser.post(path, headers=main_app))
    after = await desk.read()
    mine = {"mine": False} if saved_between else {}
    assert hidden(after) == {"first": False, "": False} | mine
    assert len(after["blocks"]) == 2 + saved_between


@pytest.mark.parametrize(
    ("row", "changes", "expected"),
    [
        # What became of the rest cannot be told, so what takes its place is hidden.
        ("19-edited", {0: {"content": {"text": "mine"}}}, {"mine": False, "second": True}),
        ("19-removed", {0: {"content": None}}, {"second": True}),
        ("19-hidden", {1: {"hidden": True}}, {"second": True}),
        ("19-another-type", {0: {"kind": "link"}}, {"first": False, "second": True}),
    ],
)
async def test_what_was_changed_on_the_way_is_the_students(
    desk: Desk, *, sessions: Sessions, spark: Spark, student: SignedIn, assignment: Assignment,
    row: str, changes: dict[int, dict[str, Any]], expected: dict[str, bool],
) -> None:  # fmt: skip
    await rewrite(sessions, student, changes)
    await resubmit(spark, student, assignment)
    assert hidden(await desk.read()) == expected


async def test_18_what_the_main_app_changed_in_place_is_the_students(
    desk: Desk, sessions: Sessions, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    [words, _] = (await desk.read())["blocks"]
    change = "update evidence_document_blocks set content = :content where id = :id"
    async with sessions() as session, session.begin():
        await session.execute(
            sql(change).bindparams(bindparam("content", type_=JSONB)),
            {"content": {"text": "mine"}, "id": words["id"]},
        )
    assert writers(await desk.read()) == ["student", "spark"]
    await resubmit(spark, student, assignment)
    assert hidden(await desk.read()) == {"mine": False, "second": False}


@pytest.mark.parametrize("items", ["none", 0, {}, {"0": 0}, [], [0]], ids=str)
async def test_18_items_may_be_anything(
    desk: Desk, spark: Spark, student: SignedIn, assignment: Assignment, items: object
) -> None:
    blocks = [as_read(block) for block in (await desk.read())["blocks"]]
    await desk.saved(*blocks, {"type": "image", "content": {"items": items}})
    assert writers(await desk.read()) == ["spark", "spark", "student"]
    assert (await resubmit(spark, student, assignment))["revision"] == 2
    assert writers(await desk.read()) == ["spark", "student"]


async def test_19_a_parents_block_stays_whatever_it_says(
    desk: Desk, sessions: Sessions, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    await rewrite(sessions, student)
    of_parent = (
        "update evidence_document_blocks set uploaded_by_role = 'parent' where order_index = 0"
        " and document_id = cast(:document as uuid)"
    )
    document = (await desk.read())["document"]["id"]
    async with sessions() as session, session.begin():
        await session.execute(sql(of_parent), {"document": document})
    await resubmit(spark, student, assignment)
    assert sorted(texts(await desk.read())) == ["first", "second"]


async def test_18_a_place_that_the_main_app_is_just_taking_is_not_taken_twice(
    desk: Desk, sessions: Sessions, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    document = (await desk.read())["document"]["id"]
    of_parent = {"document": document, "kind": "text", "place": 2, "hidden": False}
    await desk.saved(text("mine"), *map(as_read, (await desk.read())["blocks"]))  # at 0
    async with sessions() as session, session.begin():
        # Spark's two will be gone, so their places are free, and the first is just being taken.
        await session.execute(sql(DELETE + " and order_index = 1"), {"document": document})
        await session.execute(
            INSERT, of_parent | {"place": 1, "content": {"text": "From a parent."}}
        )
        sending = asyncio.create_task(resubmit(spark, student, assignment))
        await eventually(partial(somebody_waits, sessions))
    await sending
    assert sorted(texts(await desk.read())) == ["From a parent.", "mine", "second"]
