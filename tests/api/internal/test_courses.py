"""Which task an assignment of Spark's means, and a person who says so (issue 17.2)."""

# ruff: noqa: S608 - no value comes from outside

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from app.database import Sessions
from tests.support.courses import Course, course, hand_in, items, synced
from tests.support.evidence import body_of
from tests.support.problems import assert_problem
from tests.support.spark import Spark

COURSES = "/internal/v1/courses"
TEACHERS = """
insert into course_quest_tasks (quest_id, title, description, pillar, xp_value, order_index)
values (:quest_id, 'Of a teacher', 'As they wrote it', 'art', 30, 7) returning id
"""


class Mapped:
    """A course of two assignments, and a task that a teacher added to its quest."""

    def __init__(self, browser: httpx.AsyncClient, key: dict[str, str], payload: Course) -> None:
        self.browser, self.key, self.payload = browser, key, payload
        self.path = self.quest_id = self.task_id = ""

    async def open(self, spark: Spark, sessions: Sessions) -> None:
        self.quest_id = await synced(spark, self.payload)
        self.task_id = str(await self.scalar(sessions, TEACHERS))
        query = {"spark_course_id": self.payload["spark_course_id"]}
        [found] = body_of(await self.browser.get(COURSES, params=query, headers=self.key))["items"]
        assert (found["quest_id"], found["title"]) == (self.quest_id, "Weather")
        self.path = f"{COURSES}/{found['id']}/assignments"

    async def scalar(self, sessions: Sessions, statement: str) -> Any:
        async with sessions() as session, session.begin():
            found = await session.execute(text(statement), {"quest_id": self.quest_id})
            return found.scalar_one_or_none() if found.returns_rows else None

    async def choose(self, name: str, task_id: object) -> httpx.Response:
        body = {"task_id": str(task_id)}
        return await self.browser.put(f"{self.path}/{name}/task", json=body, headers=self.key)

    async def assignments(self) -> dict[str, dict[str, Any]]:
        found = body_of(await self.browser.get(self.path, headers=self.key))
        return {each["spark_assignment_id"]: each for each in found["items"]}


@pytest.fixture
async def mapped(
    browser: httpx.AsyncClient, main_app: dict[str, str], spark: Spark, sessions: Sessions
) -> Mapped:
    found = Mapped(browser, main_app, course("one", "two/2"))
    await found.open(spark, sessions)
    return found


async def test_homework_goes_to_the_task_that_was_chosen_and_explain_says_so(
    mapped: Mapped, spark: Spark, sessions: Sessions
) -> None:
    student = await spark.sign_in(courses=[mapped.payload["spark_course_id"]])
    body_of(await mapped.choose("two/2", mapped.task_id))
    answer = body_of(await spark.submit(hand_in(student, mapped.payload, "two/2")))
    assert answer["xp_awarded"] == 30
    query = {
        "spark_user_id": student.spark_user_id,
        "spark_assignment_id": "two/2",
        "spark_course_id": mapped.payload["spark_course_id"],
    }
    path = "/internal/v1/explain"
    said = body_of(await mapped.browser.get(path, params=query, headers=mapped.key))
    assert said["assignment"]["task_template_id"] == mapped.task_id
    assert said["assignment"]["mapped_at"]
    assert any("chosen by hand" in sentence for sentence in said["summary"])
    one = query | {"spark_assignment_id": "one"}
    said = body_of(await mapped.browser.get(path, params=one, headers=mapped.key))
    assert said["assignment"]["mapped_at"] is None
    assert not any("chosen by hand" in sentence for sentence in said["summary"])


RENAMED = items("one", "two/2", title="Spark's new title")


@pytest.mark.parametrize(
    "assignments",
    [RENAMED, items("one"), [*reversed(RENAMED)], []],
    ids=["renamed", "retired", "moved", "none"],
)
async def test_a_course_message_changes_neither_the_choice_nor_the_task(
    mapped: Mapped, spark: Spark, sessions: Sessions, assignments: list[dict[str, Any]]
) -> None:
    chosen = body_of(await mapped.choose("two/2", mapped.task_id))
    await synced(spark, mapped.payload | {"assignments": assignments})
    after = (await mapped.assignments())["two/2"]
    kept = ("task_id", "task_title", "title", "mapped_at")
    assert [after[name] for name in kept] == [chosen[name] for name in kept]
    whole = "select to_jsonb(t) from course_quest_tasks t where id = '{}'"
    task = await mapped.scalar(sessions, whole.format(mapped.task_id))
    assert (task["title"], task["description"]) == ("Of a teacher", "As they wrote it")
    assert (task["order_index"], task["is_required"]) == (7, True)


async def test_the_choice_is_found_again_when_the_main_apps_editor_made_the_task_anew(
    mapped: Mapped, spark: Spark, sessions: Sessions
) -> None:
    body_of(await mapped.choose("one", mapped.task_id))
    await mapped.scalar(sessions, f"delete from course_quest_tasks where id = '{mapped.task_id}'")
    anew = await mapped.scalar(sessions, TEACHERS)
    await synced(spark, mapped.payload)
    assert (await mapped.assignments())["one"]["task_id"] == str(anew)


async def test_a_choice_whose_task_is_gone_for_good_is_the_syncs_again(
    mapped: Mapped, spark: Spark, sessions: Sessions
) -> None:
    body_of(await mapped.choose("one", mapped.task_id))
    await mapped.scalar(sessions, "delete from course_quest_tasks where quest_id = :quest_id")
    await synced(spark, mapped.payload)
    after = (await mapped.assignments())["one"]
    assert (after["title"], after["task_title"], after["mapped_at"]) == ("Do one", "Do one", None)


async def test_a_task_has_one_assignment(mapped: Mapped) -> None:
    before = await mapped.assignments()
    answer = await mapped.choose("one", before["two/2"]["task_id"])
    problem = assert_problem(answer, 409, "mapping_conflict")
    assert "Another assignment" in str(problem["hint"])
    assert await mapped.assignments() == before


async def test_of_two_who_choose_one_task_at_once_one_gets_it(mapped: Mapped) -> None:
    names = ("one", "two/2")
    answers = await asyncio.gather(*(mapped.choose(name, mapped.task_id) for name in names))
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_recorded_homework_keeps_its_task_and_is_paid_once(
    mapped: Mapped, spark: Spark, sessions: Sessions
) -> None:
    student = await spark.sign_in(courses=[mapped.payload["spark_course_id"]])
    body_of(await spark.submit(hand_in(student, mapped.payload, "one")))
    before = await mapped.assignments()
    problem = assert_problem(await mapped.choose("one", mapped.task_id), 409, "mapping_conflict")
    assert "paid twice" in str(problem["hint"])
    assert await mapped.assignments() == before
    same = body_of(await mapped.choose("one", before["one"]["task_id"]))
    assert same["mapped_at"]


@pytest.mark.parametrize(
    ("name", "task_id", "status", "code"),
    [
        ("three", None, 404, "not_found"),
        ("one", uuid4(), 400, "field_invalid"),
        ("one", "x", 400, "field_invalid"),
    ],
)
async def test_what_is_not_there_is_named(
    mapped: Mapped, name: str, task_id: object, status: int, code: str
) -> None:
    problem = assert_problem(await mapped.choose(name, task_id or mapped.task_id), status, code)
    assert problem["hint"]


async def test_a_task_of_another_quest_and_an_unknown_course_are_refused(
    mapped: Mapped, spark: Spark, sessions: Sessions
) -> None:
    other = Mapped(mapped.browser, mapped.key, course("one"))
    await other.open(spark, sessions)
    assert_problem(await mapped.choose("one", other.task_id), 400, "field_invalid")
    other.path = f"{COURSES}/{uuid4()}/assignments"
    nowhere = assert_problem(await other.choose("one", other.task_id), 404, "not_found")
    assert "no such course" in str(nowhere["hint"])
    nothing = await mapped.browser.get(other.path, headers=mapped.key)
    assert_problem(nothing, 404, "not_found")


async def test_a_choice_is_in_the_audit_log(mapped: Mapped, sessions: Sessions) -> None:
    was = (await mapped.assignments())["one"]["task_id"]
    body_of(await mapped.choose("one", mapped.task_id))
    detail = await mapped.scalar(
        sessions,
        "select detail from spark.audit_log where action = 'sensitive_update'"
        f" and detail ->> 'task_id' = '{mapped.task_id}'",
    )
    assert (detail["what"], detail["was"]) == ("assignment_task", was)


async def test_both_lists_come_in_pages(mapped: Mapped, spark: Spark) -> None:
    await synced(spark, mapped.payload | {"spark_org_id": "another"})
    query = f"?spark_course_id={mapped.payload['spark_course_id']}"
    for path in (f"{COURSES}{query}", f"{mapped.path}?"):
        whole = body_of(await mapped.browser.get(path, headers=mapped.key))
        first = await mapped.browser.get(f"{path}&limit=1", headers=mapped.key)
        second = await mapped.browser.get(first.links["next"]["url"], headers=mapped.key)
        assert body_of(first)["items"] + body_of(second)["items"] == whole["items"]
        assert (len(whole["items"]), "next" in second.links) == (2, False)
