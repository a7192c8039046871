"""The main app takes no turns with us: what it does while an act of ours is at work (#18, #19)."""

# ruff: noqa: S608 - no value comes from outside

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text as sql

from app.settings import Settings
from tests.support.beside import Beside, serve_beside
from tests.support.beside_spark import ESSAY, handed_in, looking
from tests.support.evidence import Desk, text, texts
from tests.support.people import ANN, ANNS_NEW_ESSAY
from tests.support.spark import SignedIn, submission
from tests.support.stored import eventually, somebody_waits

PAID = "select coalesce(sum(xp_amount), 0) from user_skill_xp where user_id = :id"
OF_SPARK = f"""where order_index = 0 and document_id = (
    select id from user_task_evidence_documents where task_id = '{ANNS_NEW_ESSAY}')"""
EDITED = f"""update evidence_document_blocks
    set content = jsonb_build_object('text', 'Mine now.') {OF_SPARK}"""
HIDDEN = f"update evidence_document_blocks set is_private = true {OF_SPARK}"
REWRITTEN = f"""
    with gone as (delete from evidence_document_blocks {OF_SPARK} returning *)
    insert into evidence_document_blocks (document_id, block_type, content, order_index)
    select gone.document_id, told.kind, told.content, told.place
    from gone, lateral (values
      ('text', gone.content, 0), ('text', jsonb_build_object('text', 'Mine.'), 1)
    ) as told (kind, content, place)"""
COMPLETED = f"""
    insert into quest_task_completions (user_id, quest_id, task_id, user_quest_task_id)
    select user_id, quest_id, id, id from user_quest_tasks where id = '{ANNS_NEW_ESSAY}'"""
OPENED = f"""
    insert into user_task_evidence_documents (user_id, quest_id, task_id)
    select user_id, quest_id, id from user_quest_tasks where id = '{ANNS_NEW_ESSAY}'"""
TASK_GONE = f"delete from user_quest_tasks where id = '{ANNS_NEW_ESSAY}'"
ENROLMENT_GONE = f"""delete from user_quests where id = (
    select user_quest_id from user_quest_tasks where id = '{ANNS_NEW_ESSAY}')"""


@pytest.fixture
async def beside(settings: Settings) -> AsyncIterator[Beside]:
    async with serve_beside(settings, "spark_service") as running:
        yield running


async def meanwhile(beside: Beside, act: str, answering: Any) -> Any:
    """The answer to ours, which waits until the main app's act ends."""
    async with looking(beside) as sessions, sessions() as session, session.begin():
        await session.execute(sql(act))
        ours = asyncio.create_task(answering)
        await eventually(partial(somebody_waits, beside.resources.sessions))
    return await ours


def hand_in(beside: Beside, words: str) -> Any:
    payload = submission(SignedIn("spark_ann", "", "", ""), ESSAY, submission_text=words)
    return beside.spark.submit(payload)


def desk_of(beside: Beside) -> Desk:
    return beside.desk(ANNS_NEW_ESSAY, ANN)


@pytest.mark.parametrize(
    ("act", "left"),
    [
        pytest.param(EDITED, ["Mine now.", "Again."], id="19-edited"),
        pytest.param(REWRITTEN, ["Again.", "Mine."], id="19-rewritten"),
    ],
)
async def test_what_the_student_writes_while_a_revision_comes_stays(
    beside: Beside, act: str, left: list[str]
) -> None:
    await handed_in(beside.spark, "ann", ESSAY, submission_text="Once.")
    answer = await meanwhile(beside, act, hand_in(beside, "Again."))
    assert (answer.status_code, answer.json()["revision"]) == (200, 2)
    assert texts(await desk_of(beside).read()) == left


async def test_what_the_student_hides_while_a_revision_comes_stays_hidden(beside: Beside) -> None:
    await handed_in(beside.spark, "ann", ESSAY, submission_text="Once.")
    answer = await meanwhile(beside, HIDDEN, hand_in(beside, "Again."))
    assert (answer.status_code, answer.json()["revision"]) == (200, 2)
    [block] = (await desk_of(beside).read())["blocks"]
    assert (block["content"]["text"], block["is_private"]) == ("Again.", True)


@pytest.mark.parametrize("act", [COMPLETED, OPENED], ids=["completed", "opened"])
async def test_a_task_is_paid_once_by_either(beside: Beside, act: str) -> None:
    answer = await meanwhile(beside, act, hand_in(beside, "Once."))
    assert answer.status_code == 200, answer.text
    assert answer.json()["xp_awarded"] == (0 if act is COMPLETED else 150)


@pytest.mark.parametrize("act", [TASK_GONE, ENROLMENT_GONE], ids=["task", "enrolment"])
async def test_homework_for_a_task_that_is_just_deleted_goes_to_a_new_one(
    beside: Beside, act: str
) -> None:
    answer = await meanwhile(beside, act, hand_in(beside, "Once."))
    assert answer.status_code == 200, answer.text
    assert answer.json()["task_id"] != ANNS_NEW_ESSAY


@pytest.mark.parametrize("act", [TASK_GONE, ENROLMENT_GONE], ids=["task", "enrolment"])
async def test_a_save_for_a_task_that_is_just_deleted_is_404(beside: Beside, act: str) -> None:
    answer = await meanwhile(beside, act, desk_of(beside).save(text("mine")))
    assert answer.status_code == 404, answer.text
