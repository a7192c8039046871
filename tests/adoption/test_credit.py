"""XP and credit, which the main app reckons as well (ADOPTION #17, #22)."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from app.clock import new_id, utc_now
from app.learning.check_experience import check_experience, repair_student
from app.settings import Settings
from tests.support.beside import Beside, serve_beside
from tests.support.beside_spark import ESSAY, handed_in, looking
from tests.support.evidence import Desk, text
from tests.support.people import ANN, ANNS_NEW_ESSAY
from tests.support.spark import Spark

TOTALS = """
select u.total_xp, (select sum(xp_amount) from user_skill_xp x where x.user_id = u.id) as xp_amount
from users u where id = :id
"""
SUBJECTS = "select school_subject::text, xp_amount, pending_xp from user_subject_xp"
CREDIT = """
update user_quest_tasks
set subject_xp_distribution = jsonb_build_object('language_arts', 150), is_required = true
"""


@pytest.fixture
async def beside(settings: Settings) -> AsyncIterator[Beside]:
    async with serve_beside(settings, "spark_service", complete_quests=None) as running:
        await running.rows(CREDIT)
        yield running


@pytest.fixture
def spark(beside: Beside) -> Spark:
    return beside.spark


async def test_17_credit_is_neither_given_nor_asked_for(beside: Beside, spark: Spark) -> None:
    before = await beside.rows(SUBJECTS)
    body = await handed_in(spark, "ann", ESSAY, submission_text="Once.")
    assert body["xp_awarded"] == 150
    await handed_in(spark, "ann", ESSAY, submission_text="Again.")
    path = f"/internal/v1/submissions/{body['submission_id']}/revisions/1/restore"
    assert (await beside.spark.browser.post(path, headers=beside.key)).status_code == 200
    assert await beside.rows(SUBJECTS) == before
    async with looking(beside) as sessions:
        report = await check_experience(sessions, tell=lambda _: None, repair=None)
    assert report.faults == 0


async def test_17_an_editor_gives_none_either(beside: Beside) -> None:
    before = await beside.rows(SUBJECTS)
    desk = Desk(beside.spark.browser, beside.key, ANNS_NEW_ESSAY, {"user_id": ANN})
    saved = await desk.saved(text("Mine."), status="completed")
    assert saved["xp_awarded"] == 150
    assert not saved["quest_completed"]
    assert await beside.rows(SUBJECTS) == before
    assert await beside.rows(TOTALS, id=ANN) == [(400, 400)]


async def test_22_the_total_is_what_the_pillars_add_up_to(beside: Beside, spark: Spark) -> None:
    await beside.rows("update users set total_xp = null where id = :id", id=ANN)
    await handed_in(spark, "ann", ESSAY)
    assert await beside.rows(TOTALS, id=ANN) == [(400, 400)]


async def test_22_a_repair_raises_the_total_too(beside: Beside, spark: Spark) -> None:
    await handed_in(spark, "ann", ESSAY)
    await beside.rows("update user_skill_xp set xp_amount = 0 where user_id = :id", id=ANN)
    async with looking(beside) as sessions:
        await repair_student(sessions, UUID(ANN), now=utc_now(), new_id=new_id)
    assert await beside.rows(TOTALS, id=ANN) == [(150, 150)]
