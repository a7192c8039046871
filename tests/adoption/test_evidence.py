"""Evidence that the main app's own editor writes as well."""

# ruff: noqa: S608 - no value comes from outside

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text as sql

from app.settings import Settings
from tests.support.beside import Beside, serve_beside
from tests.support.evidence import Desk, as_read, body_of, text, texts
from tests.support.people import ANN, ANNS_DOCUMENT, ANNS_TASK, PAT
from tests.support.problems import assert_problem
from tests.support.stored import eventually, somebody_waits

PARENTS = f"""
insert into evidence_document_blocks
  (document_id, block_type, content, order_index, uploaded_by_user_id, uploaded_by_role)
values
  ('{ANNS_DOCUMENT}', 'text', jsonb_build_object('text', 'From a parent.'), 90, '{PAT}', 'parent')
"""
FIRST_BLOCK = f"where document_id = '{ANNS_DOCUMENT}' and order_index = 0"
NATIVE = {
    "18-added": PARENTS,
    "18-edited": f"""update evidence_document_blocks
        set content = jsonb_build_object('text', 'Edited.') {FIRST_BLOCK}""",
    "18-hidden": f"update evidence_document_blocks set is_private = true {FIRST_BLOCK}",
    "18-deleted": f"delete from evidence_document_blocks {FIRST_BLOCK}",
}


@pytest.fixture
async def beside(settings: Settings) -> AsyncIterator[Beside]:
    async with serve_beside(settings, "optio_owner") as running:
        yield running


@pytest.fixture
def desk(beside: Beside) -> Desk:
    return beside.desk(ANNS_TASK, ANN)


async def test_14_who_is_not_named_is_the_student(beside: Beside, desk: Desk) -> None:
    read = await desk.read()
    roles = ["student", "student", "parent"]
    assert [block["uploaded_by_role"] for block in read["blocks"]] == roles
    assert [block["provenance"]["written_by"] for block in read["blocks"]] == roles
    path = "/internal/v1/completions/f1000000-0000-4000-8000-000000000001"
    completion = body_of(await beside.spark.browser.get(path, headers=beside.key))
    assert [block["uploaded_by_role"] for block in completion["blocks"]] == roles
    body_of(await desk.ask("PUT", desk.path, json=read))


@pytest.mark.parametrize("act", NATIVE)
async def test_what_the_main_app_did_meanwhile_is_not_written_over(
    beside: Beside, desk: Desk, act: str
) -> None:
    read = await desk.read()
    await beside.rows(NATIVE[act])
    now = await desk.read()
    assert_problem(await desk.save(text("mine"), version=read["version"]), 409, "evidence_changed")
    if_match = {"If-Match": f'"{read["version"]}"'}
    body = {"blocks": [text("mine")]}
    answer = await desk.ask("PUT", desk.path, json=body, headers=if_match)
    assert_problem(answer, 409, "evidence_changed")
    assert await desk.read() == now
    assert now["version"] != read["version"]


async def test_18_a_block_that_was_added_is_newer_than_the_moment_that_was_read(
    beside: Beside, desk: Desk
) -> None:
    before = (await desk.read())["document"]["updated_at"]
    await beside.rows(PARENTS)
    answer = await desk.save(text("mine"), updated_at=before)
    assert_problem(answer, 409, "evidence_changed")
    now = (await desk.read())["document"]["updated_at"]
    body_of(await desk.save(text("mine"), updated_at=now[:23] + "Z"))
    assert texts(await desk.read()) == ["mine"]


ANNS_SECOND = f"""update evidence_document_blocks
    set content = jsonb_build_object('text', 'Added and edited.')
    where document_id = '{ANNS_DOCUMENT}' and content ->> 'text' = 'Added.'"""
ADD_TWO = f"""insert into evidence_document_blocks
    (document_id, block_type, content, order_index, created_at)
    select '{ANNS_DOCUMENT}', 'text', jsonb_build_object('text', words), place,
        clock_timestamp() + place * interval '1 ms'
    from (values ('Added.', 91), ('Added last.', 92)) as added (words, place)"""


async def write_two(desk: Desk) -> None:
    version = (await desk.read())["version"]
    await desk.saved(text("first"), text("second"), version=version)


@pytest.mark.parametrize("act", ["18-edited", "18-hidden", "18-deleted", "18-added-then-edited"])
@pytest.mark.parametrize("status", ["draft", "completed"])
async def test_18_an_edit_is_not_lost_to_who_names_the_moment_alone(
    beside: Beside, desk: Desk, act: str, status: str
) -> None:
    if act == "18-added-then-edited":
        await beside.rows(ADD_TWO)
    else:
        await write_two(desk)
    before = await desk.read()
    moment = before["document"]["updated_at"][:23] + "Z"
    mine = [as_read(block, is_private=False) for block in before["blocks"]] + [text("mine")]
    await beside.rows(NATIVE.get(act, ANNS_SECOND))
    now = (await desk.read())["blocks"]
    answer = await desk.save(*mine, updated_at=moment, status=status)
    assert_problem(answer, 409, "evidence_changed")
    again = await desk.read()
    assert again["blocks"] == now
    kept = [as_read(block) for block in again["blocks"]]
    moment = again["document"]["updated_at"][:23] + "Z"
    body_of(await desk.save(*kept, text("mine"), updated_at=moment, status=status))
    assert texts(await desk.read()) == [*texts(again), "mine"]


async def test_18_who_sends_an_edit_back_as_it_is_has_seen_it(beside: Beside, desk: Desk) -> None:
    await write_two(desk)
    await beside.rows(NATIVE["18-edited"])
    read = await desk.read()
    edited, second = map(as_read, read["blocks"])
    moment = read["document"]["updated_at"]
    body_of(await desk.save(edited, second | text("changed"), updated_at=moment))
    assert texts(await desk.read()) == ["Edited.", "changed"]


async def test_18_a_block_that_is_just_being_added_is_waited_for(
    beside: Beside, desk: Desk
) -> None:
    version = (await desk.read())["version"]
    async with beside.resources.sessions() as session, session.begin():
        await session.execute(sql(PARENTS))
        saving = asyncio.create_task(desk.save(text("mine"), version=version))
        await eventually(partial(somebody_waits, beside.resources.sessions))
    assert_problem(await saving, 409, "evidence_changed")
    assert texts(await desk.read())[-1] == "From a parent."


async def test_26_what_a_save_answers_is_the_version_that_the_trigger_left(desk: Desk) -> None:
    version = (await desk.read())["version"]
    for words in ("one", "two", "three"):
        saved = await desk.saved(text(words), version=version)
        version = saved["version"]
        read = await desk.read()
        assert (read["version"], texts(read)) == (version, [words])
    kept = [as_read(block) for block in read["blocks"]]
    moment = read["document"]["updated_at"]
    body_of(await desk.save(*kept, text("four"), updated_at=moment))


# As the main app's editor saves: every block anew, under a new id.
REWRITE = """
with gone as (
  delete from evidence_document_blocks where document_id = cast(:document as uuid) returning *)
insert into evidence_document_blocks (document_id, block_type, content, order_index)
select document_id, block_type, content, order_index from gone
union all select cast(:document as uuid), 'text', jsonb_build_object('text', 'mine'), 7
"""


async def test_19_what_the_main_apps_editor_wrote_anew_is_replaced_once(beside: Beside) -> None:
    """Ann's homework goes to her newest enrolment, whose copy has no document yet."""

    async def hand_in(words: str) -> dict[str, Any]:
        payload = {
            "spark_user_id": "spark_ann",
            "spark_assignment_id": "essay_1",
            "submission_text": words,
            "submitted_at": datetime.now(tz=UTC).isoformat(),
        }
        return body_of(await beside.spark.submit(payload))

    desk = beside.desk((await hand_in("first"))["task_id"], ANN)
    document = (await desk.read())["document"]["id"]
    await beside.rows(REWRITE, document=document)
    read = await desk.read()
    assert [block["provenance"]["written_by"] for block in read["blocks"]] == ["spark", "student"]
    await beside.rows(PARENTS.replace(ANNS_DOCUMENT, document))
    assert (await hand_in("second"))["revision"] == 2
    assert sorted(texts(await desk.read())) == ["From a parent.", "mine", "second"]
