"""Teachers choose work of the main app's own quests, whose tasks stand in its own tables."""

import re
from collections.abc import AsyncIterator
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from app.api.dependencies import FORM
from app.settings import Settings
from tests.support.beside import Beside, serve_beside
from tests.support.commands import run_on
from tests.support.evidence import body_of
from tests.support.spark import RETURN_URL, Assignment, submission

LINKS = "/internal/v1/links"
QUEST = """
insert into quests (title, is_active, is_public, quest_type)
values ('Of the library', true, true, 'optio') returning id
"""
TASKS = """
insert into quest_template_tasks (quest_id, title, pillar, xp_value, order_index)
select :quest_id, name, 'art', 70, place
from (values ('First', 0), ('Second', 1)) as each (name, place)
returning id
"""


@pytest.fixture
async def beside(settings: Settings) -> AsyncIterator[Beside]:
    async with serve_beside(settings, "spark_service", spark_return_urls=(RETURN_URL,)) as running:
        yield running


@pytest.mark.parametrize("by", ["picker", "picker, whole quest", "api"])
async def test_a_quest_with_template_tasks_alone_can_be_chosen(beside: Beside, by: str) -> None:
    spark, client = beside.spark, beside.spark.browser
    [[quest_id]] = await beside.rows(QUEST)
    first, second = [str(row.id) for row in await beside.rows(TASKS, quest_id=quest_id)]
    wanted = None if "whole" in by else second
    where = Assignment(uuid4(), f"draft {uuid4()}", f"course {uuid4()}")
    ids = {
        "spark_course_id": where.spark_course_id,
        "spark_assignment_id": where.spark_assignment_id,
    }
    if by == "api":
        body = ids | {"quest_id": str(quest_id), "task_id": wanted}
        body_of(await client.put(LINKS, json=body, headers=beside.key))
    else:
        token = spark.signed(spark.deep_link_claims(**ids))
        page = await client.get("/spark/deep-link", params={"token": token})
        assert "Second" in page.text
        assert await beside.rows("select from course_quest_tasks where title = 'Second'") == []
        [sealed, *_] = re.findall(r'name="request" value="([^"]+)"', page.text)
        form = {"request": sealed, "act": "choose", "choice": f"{quest_id}:{wanted or ''}"}
        headers = {"Content-Type": FORM}
        answer = await client.post("/spark/deep-link", content=urlencode(form), headers=headers)
        assert answer.status_code == 200, answer.text
    handed_in = body_of(await spark.submit(submission(await spark.sign_in(), where)))
    copy = "select source_task_id from user_quest_tasks where id = :task_id"
    [[landed]] = await beside.rows(copy, task_id=handed_in["task_id"])
    assert str(landed) == (wanted or first)
    assert handed_in["xp_awarded"] == 70


async def test_adopting_again_leaves_links_alone(beside: Beside) -> None:
    [[quest_id]] = await beside.rows(QUEST)
    await beside.rows(TASKS, quest_id=quest_id)
    ids = {"spark_course_id": f"course {uuid4()}", "spark_assignment_id": "essay"}
    body = ids | {"quest_id": str(quest_id)}
    client = beside.spark.browser
    link = body_of(await client.put(LINKS, json=body, headers=beside.key))
    assert (await run_on(beside.main_app)("adopt", "--apply", "--courses")).exit_code == 0
    found = await client.get(LINKS, params={"quest_id": str(quest_id)}, headers=beside.key)
    assert body_of(found)["items"] == [link]
