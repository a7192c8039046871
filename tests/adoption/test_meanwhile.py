"""Every act of ours while the main app is at work on the same rows: none fails."""

# ruff: noqa: S608 - no value comes from outside

import asyncio
from collections.abc import AsyncIterator, Awaitable

import httpx
import pytest
from sqlalchemy import text as sql

from app.settings import Settings
from tests.support.beside import Beside, serve_beside
from tests.support.beside_spark import (
    RAIN,
    RAIN_QUEST,
    WIND,
    handed_in,
    looking,
    map_predecessors_course,
)
from tests.support.bodies import Part
from tests.support.courses import course, sync
from tests.support.evidence import text
from tests.support.people import BEN, BENS_RAIN
from tests.support.roster import entry, send
from tests.support.samples import pdf
from tests.support.spark import SignedIn, submission
from tests.support.stored import eventually, somebody_waits

OF_BEN = f"where user_id = '{BEN}'"
OF_RAIN = f"where quest_id = '{RAIN_QUEST}'"
# What the main app does to Ben, who has handed in the rain, and to its course.
NATIVE = {
    "completes": f"""insert into quest_task_completions (user_id, quest_id, task_id)
      select user_id, quest_id, id from user_quest_tasks {OF_BEN}
      and id not in (select task_id from quest_task_completions)""",
    "opens": f"""insert into user_task_evidence_documents (user_id, quest_id, task_id)
      select user_id, quest_id, id from user_quest_tasks {OF_BEN}
      and id not in (select task_id from user_task_evidence_documents)""",
    "touches": f"update user_task_evidence_documents set status = 'completed' {OF_BEN}",
    "adds": f"""insert into evidence_document_blocks (document_id, block_type, content, order_index)
      select id, 'text', jsonb_build_object('text', 'Mine.'), 1
      from user_task_evidence_documents {OF_BEN}""",
    "pays": f"select increment_user_xp('{BEN}', 'stem', 5)",
    "enrols": f"""insert into user_quests (user_id, quest_id) values ('{BEN}', '{RAIN_QUEST}')""",
    "sets down": f"update user_quests set is_active = false {OF_BEN}",
    "deletes tasks": f"delete from user_quest_tasks {OF_BEN}",
    "deletes enrolments": f"delete from user_quests {OF_BEN}",
    "deletes completions": f"delete from quest_task_completions {OF_BEN}",
    "deletes documents": f"delete from user_task_evidence_documents {OF_BEN}",
    "deletes templates": f"delete from course_quest_tasks {OF_RAIN}",
    "deletes the quest": f"delete from quests where id = '{RAIN_QUEST}'",
    "deletes the student": f"delete from users where id = '{BEN}'",
    "ends the student's registration": f"delete from auth.users where id = '{BEN}'",
    "unlinks": f"delete from lms_integrations {OF_BEN}",
    "pauses": f"update lms_integrations set sync_status = 'paused' {OF_BEN}",
    "renames": f"update users set first_name = 'Benjamin' where id = '{BEN}'",
    "closes": f"update users set deletion_status = 'pending' where id = '{BEN}'",
}


@pytest.fixture
async def beside(settings: Settings) -> AsyncIterator[Beside]:
    async with serve_beside(settings, "spark_service", database_pool_size=20) as running:
        await map_predecessors_course(running)
        await handed_in(running.spark, "ben", RAIN)
        yield running


def acts(beside: Beside) -> list[Awaitable[httpx.Response]]:
    spark, desk = beside.spark, beside.desk(BENS_RAIN, BEN)
    ben = SignedIn("spark_ben", "", "", "")
    about = f"/internal/v1/students/{BEN}"
    return [
        spark.submit(submission(ben, RAIN)),
        spark.submit_form(submission(ben, WIND), Part("file", pdf(), "rose.pdf")),
        spark.launch(spark.launch_token(sub="spark_ben", email=None, courses=["weather_101"])),
        desk.save(text("mine")),
        desk.complete(),
        sync(spark, course("rain", "wind", "snow", spark_course_id="weather_101")),
        send(spark, {"spark_course_id": "weather_101", "entries": [entry("spark_ben", "drop")]}),
        spark.browser.post(f"{about}/sessions/revoke", headers=beside.key),
        spark.browser.get(f"{about}/export", headers=beside.key),
    ]


async def meanwhile(
    beside: Beside, native: str, ours: list[Awaitable[httpx.Response]]
) -> list[httpx.Response]:
    """The answers to ours, which begin while that is not committed."""
    async with looking(beside) as sessions, sessions() as session, session.begin():
        await session.execute(sql(native))
        begun = [asyncio.ensure_future(act) for act in ours]

        async def are_at_work() -> bool:
            return all(act.done() for act in begun) or await somebody_waits(sessions_of_ours)

        sessions_of_ours = beside.resources.sessions
        await eventually(are_at_work)
    return await asyncio.gather(*begun)


@pytest.mark.parametrize("native", NATIVE)
async def test_no_act_fails_while_the_main_app(beside: Beside, native: str) -> None:
    answers = await meanwhile(beside, NATIVE[native], acts(beside))
    assert [each.text for each in answers if each.status_code >= 500] == []


@pytest.mark.parametrize(
    "native", ["completes", "opens", "adds", "pays", "enrols", "closes", "deletes the student"]
)
async def test_an_erasure_does_not_fail_while_the_main_app(beside: Beside, native: str) -> None:
    path = f"/internal/v1/students/{BEN}"
    erase = beside.spark.browser.delete(path, headers=beside.key)
    [answer] = await meanwhile(beside, NATIVE[native], [erase])
    assert answer.status_code in (200, 404), answer.text
    left = "select 1 from users where id = :id union all select 1 from auth.users where id = :id"
    assert await beside.rows(left, id=BEN) == []
