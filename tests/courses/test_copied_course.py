"""A course that was copied in Spark keeps the links and choices of its original (issue 22.6)."""

from typing import Any

import pytest
from sqlalchemy import text

from app.database import Sessions
from tests.support.courses import Course, course, items, sync, templates
from tests.support.evidence import body_of
from tests.support.spark import Spark

API = "/internal/v1"
TEACHERS = """
insert into course_quest_tasks (quest_id, title, description, pillar, xp_value, order_index)
values ('{}', 'Of a teacher', 'As they wrote it', 'art', 30, 7) returning id
"""
LIBRARY = """
with quest as (
  insert into quests (title, quest_type, is_public) values ('Rain', 'optio', true) returning id)
insert into course_quest_tasks (quest_id, title, pillar, xp_value, order_index)
select id, 'Of the library', 'art', 30, 0 from quest returning quest_id, id
"""


class Copying:
    """An original with three assignments, which Spark will copy."""

    def __init__(self, spark: Spark, key: dict[str, str], sessions: Sessions) -> None:
        self.spark, self.key, self.sessions = spark, key, sessions
        self.original = course("rain", "wind", "sun")

    async def run(self, statement: str) -> Any:
        async with self.sessions() as session, session.begin():
            return (await session.execute(text(statement))).one()

    async def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self.spark.browser.put(f"{API}/{path}", json=body, headers=self.key)
        return body_of(answer)

    async def get(self, path: str) -> list[dict[str, Any]]:
        answer = await self.spark.browser.get(f"{API}/{path}", headers=self.key)
        return list(body_of(answer)["items"])

    async def link(self, payload: Course, name: str, quest_id: object, task_id: object) -> None:
        ids = {"spark_course_id": payload["spark_course_id"], "spark_assignment_id": name}
        work = {"quest_id": str(quest_id), "task_id": task_id and str(task_id)}
        await self.put("links", ids | work)

    async def links(self, payload: Course) -> dict[str, tuple[str, str | None]]:
        found = await self.get(f"links?spark_course_id={payload['spark_course_id']}")
        return {each["spark_assignment_id"]: (each["quest_id"], each["task_id"]) for each in found}

    async def assignments(self, payload: Course) -> dict[str, dict[str, Any]]:
        [known] = await self.get(f"courses?spark_course_id={payload['spark_course_id']}")
        found = await self.get(f"courses/{known['id']}/assignments")
        return {each["spark_assignment_id"]: each | {"course": known["id"]} for each in found}

    async def choose(self, payload: Course, name: str, task_id: object) -> None:
        course_id = (await self.assignments(payload))[name]["course"]
        path = f"courses/{course_id}/assignments/{name}/task"
        await self.put(path, {"task_id": str(task_id)})

    async def sync(self, payload: Course, **query: str) -> dict[str, Any]:
        return body_of(await sync(self.spark, payload, **query))

    def copy(self, assignments: list[dict[str, Any]]) -> Course:
        anew = course(spark_org_id=self.original["spark_org_id"], assignments=assignments)
        return anew | {"copied_from": self.original["spark_course_id"]}


@pytest.fixture
async def copying(spark: Spark, main_app: dict[str, str], sessions: Sessions) -> Copying:
    copying = Copying(spark, main_app, sessions)
    await copying.sync(copying.original)
    return copying


def renamed(*names: str) -> list[dict[str, Any]]:
    """Under other ids, in other spacing and case: the titles agree."""
    return [
        {"spark_assignment_id": f"{name}_copy", "title": f"DO  {name.upper()}"} for name in names
    ]


@pytest.mark.parametrize("by", ["ids", "titles"])
async def test_links_and_chosen_tasks_are_carried_over(copying: Copying, by: str) -> None:
    quest_id, task_id = await copying.run(LIBRARY)
    original_quest = (await copying.sync(copying.original))["quest_id"]
    known = await copying.assignments(copying.original)
    await copying.link(copying.original, "rain", quest_id, task_id)
    await copying.link(copying.original, "sun", original_quest, known["wind"]["task_id"])
    [teachers] = await copying.run(TEACHERS.format(original_quest))
    await copying.choose(copying.original, "wind", teachers)
    await copying.link(copying.original, "sun", original_quest, teachers)
    names = ("sun", "rain", "wind")
    copy = copying.copy(items(*names) if by == "ids" else renamed(*names))
    end = "" if by == "ids" else "_copy"

    rehearsed = await copying.sync(copy, dry_run="true")
    assert (rehearsed["would"], rehearsed["warnings"]) == ("create", [])
    answer = await copying.sync(copy)
    assert answer["warnings"] == []
    carried = await copying.assignments(copy)
    wind = carried[f"wind{end}"]
    assert (wind["task_title"], bool(wind["mapped_at"])) == ("Of a teacher", True)
    [task] = [
        each
        for each in await templates(copying.sessions, answer["quest_id"])
        if str(each.id) == wind["task_id"]
    ]
    assert (task.description, task.pillar, task.xp_value) == ("As they wrote it", "art", 30)
    assert await copying.links(copy) == {
        f"rain{end}": (str(quest_id), str(task_id)),
        f"sun{end}": (answer["quest_id"], wind["task_id"]),  # of the copy's own quest
    }
    for _ in range(2):
        assert (await copying.sync(copy))["warnings"] == []
    assert await copying.assignments(copy) == carried


async def test_what_was_chosen_in_the_copy_stays(copying: Copying) -> None:
    quest_id, task_id = await copying.run(LIBRARY)
    copy = copying.copy(items("rain"))
    copy_quest = (await copying.sync(copy))["quest_id"]
    await copying.link(copy, "rain", copy_quest, None)
    await copying.link(copying.original, "rain", quest_id, task_id)
    await copying.sync(copy)
    assert await copying.links(copy) == {"rain": (copy_quest, None)}


async def test_what_does_not_agree_is_told(copying: Copying) -> None:
    quest_id, task_id = await copying.run(LIBRARY)
    known = await copying.assignments(copying.original)
    await copying.link(copying.original, "rain", quest_id, task_id)
    await copying.choose(copying.original, "wind", known["wind"]["task_id"])
    twice = [*items("other"), *renamed("sun"), {**renamed("sun")[0], "spark_assignment_id": "two"}]
    answer = await copying.sync(copying.copy(twice))
    told = [(each["code"], each["field"]) for each in answer["warnings"]]
    assert told == [("not_carried_over", "copied_from")] * 2
    details = " ".join(each["detail"] for each in answer["warnings"])
    assert "rain" in details
    assert "wind" in details


@pytest.mark.parametrize("named", ["of nobody", {"id": 1}], ids=str)
async def test_a_course_that_cannot_be_found_is_no_reason_to_refuse(
    copying: Copying, named: object
) -> None:
    answer = await copying.sync(copying.copy(items("rain")) | {"copied_from": named})
    code = "copied_course_unknown" if isinstance(named, str) else "value_ignored"
    assert [each["code"] for each in answer["warnings"]] == [code]


async def test_a_course_of_another_organisation_is_not_copied(copying: Copying) -> None:
    copy = copying.copy(items("rain")) | {"spark_org_id": "another"}
    [warning] = (await copying.sync(copy))["warnings"]
    assert warning["code"] == "copied_course_unknown"
