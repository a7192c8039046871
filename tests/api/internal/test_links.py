"""A person links an assignment to a quest or a task: homework and grades go there (issue 22)."""

# ruff: noqa: S608 - no value comes from outside

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from app.database import Sessions
from app.learning.assignments import matches_sql
from tests.conftest import create_assignment
from tests.support.courses import Course, course, hand_in, items, synced, templates
from tests.support.evidence import body_of
from tests.support.plans import plan
from tests.support.problems import assert_problem
from tests.support.roster import Course as SyncedCourse
from tests.support.roster import entry, roster, send
from tests.support.spark import Assignment, SignedIn, Spark, submission

LINKS = "/internal/v1/links"
TASK = """
insert into course_quest_tasks (quest_id, title, pillar, xp_value, order_index)
values ('{}', '{}', 'art', 30, {}) returning id
"""
QUEST = (
    "insert into quests (title, quest_type, is_public) values ('Rain', 'optio', true) returning id"
)


class Linking:
    """A course of one assignment, and a quest of the library with two tasks."""

    def __init__(
        self, spark: Spark, key: dict[str, str], sessions: Sessions, payload: Course
    ) -> None:
        self.spark, self.key, self.sessions, self.payload = spark, key, sessions, payload
        self.course_quest = self.quest_id = self.first = self.second = ""

    async def open(self) -> None:
        self.course_quest = await synced(self.spark, self.payload)
        self.quest_id = str(await self.run(QUEST))
        self.first = str(await self.run(TASK.format(self.quest_id, "First", 0)))
        self.second = str(await self.run(TASK.format(self.quest_id, "Second", 1)))

    async def run(self, statement: str) -> Any:
        async with self.sessions() as session, session.begin():
            found = await session.execute(text(statement))
            return found.scalar_one_or_none() if found.returns_rows else None

    async def put(self, **changes: Any) -> httpx.Response:
        body = {
            "spark_course_id": self.payload["spark_course_id"],
            "spark_assignment_id": "essay",
            "quest_id": self.quest_id,
            "task_id": self.second,
        } | changes
        return await self.spark.browser.put(LINKS, json=body, headers=self.key)

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        whole = f"/internal/v1/{path}"
        return body_of(await self.spark.browser.get(whole, params=query, headers=self.key))

    async def links(self) -> list[dict[str, Any]]:
        found = await self.get("links", spark_course_id=self.payload["spark_course_id"])
        return list(found["items"])

    async def student(self) -> SignedIn:
        return await self.spark.sign_in(courses=[self.payload["spark_course_id"]])

    async def landed(self, **changes: Any) -> str:
        """The template on which a new student's homework lands."""
        raw = hand_in(await self.student(), self.payload, "essay", **changes)
        answer = body_of(await self.spark.submit(raw))
        whole = f"select source_task_id from user_quest_tasks where id = '{answer['task_id']}'"
        return str(await self.run(whole))

    async def synced_task(self) -> str:
        [template] = await templates(self.sessions, self.course_quest)
        return str(template.id)

    async def explained(self, student: SignedIn) -> dict[str, Any]:
        return await self.get(
            "explain", spark_user_id=student.spark_user_id, spark_assignment_id="essay",
            spark_course_id=self.payload["spark_course_id"],
        )  # fmt: skip


@pytest.fixture
async def linking(spark: Spark, main_app: dict[str, str], sessions: Sessions) -> Linking:
    linking = Linking(spark, main_app, sessions, course("essay"))
    await linking.open()
    return linking


# ---------------------------------------------------------------------------- where homework lands


async def test_a_link_goes_before_the_courses_sync(linking: Linking) -> None:
    assert await linking.landed() == await linking.synced_task()
    link = body_of(await linking.put())
    assert (link["task_title"], link["quest_title"], link["holds"]) == ("Second", "Rain", True)
    assert link["spark_org_id"] == linking.payload["spark_org_id"]
    assert await linking.landed() == linking.second
    assert await linking.landed(spark_course_id=...) == linking.second  # the one course it is in


async def test_a_link_to_a_whole_quest_means_its_first_task(linking: Linking) -> None:
    link = body_of(await linking.put(task_id=None))
    assert (link["task_id"], link["task_title"]) == (None, None)
    assert await linking.landed() == linking.first


async def test_a_link_goes_before_a_quest_of_the_assignment(
    linking: Linking, sessions: Sessions, spark: Spark
) -> None:
    seed = await create_assignment(sessions)
    of_seed = {
        "spark_course_id": seed.spark_course_id,
        "spark_assignment_id": seed.spark_assignment_id,
    }
    body_of(await linking.put(**of_seed))
    for named in (seed.spark_course_id, ...):
        raw = submission(await spark.sign_in(), seed, spark_course_id=named)
        assert body_of(await spark.submit(raw))["quest_id"] == linking.quest_id


async def test_a_course_that_nobody_synced_may_have_links(linking: Linking, spark: Spark) -> None:
    link = body_of(await linking.put(spark_course_id="never synced", spark_assignment_id="alone"))
    assert link["spark_org_id"] == ""
    where = Assignment(uuid4(), "alone", "never synced")
    answer = body_of(await spark.submit(submission(await spark.sign_in(), where)))
    assert (answer["quest_id"], answer["warnings"]) == (linking.quest_id, [])


async def test_an_assignment_id_of_two_courses_is_linked_in_one(
    linking: Linking, spark: Spark
) -> None:
    other = linking.payload | {"spark_course_id": f"{linking.payload['spark_course_id']}_b"}
    quest_id = await synced(spark, other)
    body_of(await linking.put())
    student = await spark.sign_in(courses=[other["spark_course_id"]])
    unnamed = await spark.submit(hand_in(student, other, "essay", spark_course_id=...))
    assert body_of(unnamed)["quest_id"] == quest_id, "the one they are enrolled in"
    answers = [
        body_of(await spark.submit(hand_in(student, each, "essay")))["quest_id"]
        for each in (other, linking.payload)
    ]
    assert answers == [quest_id, linking.quest_id]
    assert await linking.landed(spark_course_id=...) == linking.second


async def test_the_same_task_in_two_courses_is_paid_once(linking: Linking, spark: Spark) -> None:
    other = course("essay", spark_org_id=linking.payload["spark_org_id"])
    await synced(spark, other)
    for each in (linking.payload, other):
        body_of(await linking.put(spark_course_id=each["spark_course_id"]))
    student = await linking.student()
    first, second = [
        body_of(await spark.submit(hand_in(student, each, "essay", submission_text=f"{place}")))
        for place, each in enumerate((linking.payload, other))
    ]
    assert first["completion_id"] == second["completion_id"]
    assert (first["xp_awarded"], second["xp_awarded"], second["revision"]) == (30, 0, 2)


async def test_what_was_handed_in_before_stays_where_it_is(linking: Linking, spark: Spark) -> None:
    student = await linking.student()
    before = body_of(await spark.submit(hand_in(student, linking.payload, "essay")))
    body_of(await linking.put())
    shown = await linking.get(f"submissions/{before['submission_id']}")
    assert (shown["task_id"], shown["quest_id"]) == (before["task_id"], linking.course_quest)


async def test_one_link_with_and_one_without_the_organisation_are_not_ambiguous(
    linking: Linking,
) -> None:
    """The newer one counts."""
    body_of(await linking.put(spark_org_id=linking.payload["spark_org_id"], task_id=None))
    await linking.run("update spark.links set spark_org_id = '' where retired_at is null")
    body_of(await linking.put())
    assert len(await linking.links()) == 2
    assert await linking.landed() == linking.second


async def test_homework_that_came_too_early_is_tried_when_its_link_comes(
    linking: Linking, spark: Spark, sessions: Sessions
) -> None:
    name = f"early {uuid4()}"
    where = Assignment(uuid4(), name, "of no course")
    assert_problem(
        await spark.submit(submission(await linking.student(), where)), 400, "assignment_not_found"
    )
    body_of(await linking.put(spark_course_id="of no course", spark_assignment_id=name))
    [delivery] = (await linking.get("deliveries", spark_assignment_id=name))["items"]
    jobs = f"select count(*) from spark.jobs where key = '{delivery['id']}'"
    assert await linking.run(jobs) == 1


# ---------------------------------------------------------------------------- what leaves it alone


async def test_neither_course_message_nor_roster_changes_a_link(
    linking: Linking, spark: Spark
) -> None:
    link = body_of(await linking.put())
    for changed in (items("essay", title="Anew"), items("other"), []):
        await synced(spark, linking.payload | {"assignments": changed})
        assert await linking.links() == [link]
    where = Assignment(uuid4(), "essay", linking.payload["spark_course_id"])
    course_id, org_id = (str(linking.payload[each]) for each in ("spark_course_id", "spark_org_id"))
    known = SyncedCourse(where.quest_id, course_id, org_id, where)
    body_of(await send(spark, roster(known, entry((await linking.student()).spark_user_id))))
    assert await linking.links() == [link]
    assert await linking.landed() == linking.second


async def test_of_two_who_choose_at_once_the_later_one_wins_in_one_row(linking: Linking) -> None:
    answers = await asyncio.gather(
        *(linking.put(task_id=task) for task in (linking.first, linking.second) * 3)
    )
    assert {answer.status_code for answer in answers} == {200}
    [link] = await linking.links()
    assert {answer.json()["id"] for answer in answers} == {link["id"]}
    assert await linking.landed() == link["task_id"]


GONE = {
    "task deleted": "delete from course_quest_tasks where id = '{second}'",
    "quest retired": "update quests set is_active = false where id = '{quest_id}'",
    "quest deleted": "delete from quests where id = '{quest_id}'",
}


@pytest.mark.parametrize("what", GONE)
async def test_a_link_whose_work_went_gives_way_and_explain_says_so(
    linking: Linking, what: str
) -> None:
    body_of(await linking.put())
    student = await linking.student()
    said = await linking.explained(student)
    assert said["assignment"]["linked_at"]
    assert said["assignment"]["link_lost"] is False
    assert any("A link that was chosen at" in sentence for sentence in said["summary"])
    await linking.run(GONE[what].format(second=linking.second, quest_id=linking.quest_id))
    said = await linking.explained(student)
    assert (said["assignment"]["linked_at"], said["assignment"]["link_lost"]) == (None, True)
    assert any("is there no more" in sentence for sentence in said["summary"])
    assert said["next"].startswith("Let the teacher choose again")
    [link] = await linking.links()
    assert link["holds"] is False
    assert await linking.landed() == await linking.synced_task()


async def test_a_task_that_the_editor_made_anew_is_known_by_its_title(linking: Linking) -> None:
    body_of(await linking.put())
    await linking.run(f"delete from course_quest_tasks where quest_id = '{linking.quest_id}'")
    anew = str(await linking.run(TASK.format(linking.quest_id, "Second", 5)))
    assert await linking.landed() == anew


async def test_a_link_that_is_taken_back_may_be_put_again(linking: Linking, spark: Spark) -> None:
    path = f"{LINKS}/{body_of(await linking.put())['id']}"
    for _ in range(2):
        assert (await spark.browser.delete(path, headers=linking.key)).status_code == 204
    [link] = await linking.links()
    assert (link["holds"], bool(link["retired_at"])) == (False, True)
    assert await linking.landed() == await linking.synced_task()
    said = await linking.explained(await linking.student())
    assert said["assignment"]["link_lost"] is False
    body_of(await linking.put())
    assert await linking.landed() == linking.second
    nothing = await spark.browser.delete(f"{LINKS}/{uuid4()}", headers=linking.key)
    assert_problem(nothing, 404, "not_found")


# ---------------------------------------------------------------------------- what may be chosen


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"quest_id": str(UUID(int=4))}, "field_invalid"),
        ({"task_id": str(UUID(int=4))}, "field_invalid"),
        ({"task_id": "x"}, "field_invalid"),
        ({"spark_assignment_id": ""}, "field_invalid"),
        ({"task": "x"}, "field_invalid"),
        ({"quest_id": None}, "field_invalid"),
    ],
    ids=str,
)
async def test_what_cannot_be_linked_is_named(
    linking: Linking, changes: dict[str, Any], code: str
) -> None:
    assert_problem(await linking.put(**changes), 400, code)
    assert await linking.links() == []


async def test_neither_a_retired_quest_nor_one_without_tasks_can_be_linked(
    linking: Linking,
) -> None:
    empty = str(await linking.run(QUEST))
    problem = assert_problem(await linking.put(quest_id=empty, task_id=None), 400, "field_invalid")
    assert "no task" in str(problem["hint"])
    await linking.run(f"update quests set is_active = false where id = '{linking.quest_id}'")
    assert_problem(await linking.put(), 400, "field_invalid")


async def test_a_link_is_in_the_audit_log_and_among_the_events(linking: Linking) -> None:
    link = body_of(await linking.put())
    audited = "select detail from spark.audit_log where detail ->> 'link_id' = '{}' order by id"
    said = await linking.run(audited.format(link["id"]) + " limit 1")
    assert (said["what"], said["task_id"]) == ("link", linking.second)
    told = "select event_data from user_activity_events where event_data ->> 'link_id' = '{}'"
    event = await linking.run(told.format(link["id"]))
    assert event.keys() == {"link_id", "spark_course_id", "spark_assignment_id", "quest_id"}


async def test_links_come_in_pages(linking: Linking, spark: Spark) -> None:
    for name in ("essay", "other"):
        body_of(await linking.put(spark_assignment_id=name))
    query = f"{LINKS}?quest_id={linking.quest_id}&limit=1"
    first = await spark.browser.get(query, headers=linking.key)
    second = await spark.browser.get(first.links["next"]["url"], headers=linking.key)
    found = [*body_of(first)["items"], *body_of(second)["items"]]
    assert {each["spark_assignment_id"] for each in found} == {"other", "essay"}


async def test_links_of_an_assignment_are_found_by_an_index(sessions: Sessions) -> None:
    sql = matches_sql(f"'{uuid4()}'::uuid").replace(":assignment_id", "'essay'")
    async with sessions() as session, session.begin():
        planned = await plan(session, sql)
    assert "ix_links_spark_assignment_id" in planned, planned


# ---------------------------------------------------------------------------- grades


async def copy_of(linking: Linking, student: SignedIn, template: str) -> str:
    """The student's own, as the main app enrols natively."""
    enrolled = await linking.run(
        "insert into user_quests (user_id, quest_id, started_at)"
        f" select '{student.user_id}', quest_id, now() from course_quest_tasks"
        f" where id = '{template}' on conflict (user_id, quest_id) do update"
        " set started_at = now() returning id"
    )
    copied = await linking.run(
        "insert into user_quest_tasks (user_id, quest_id, user_quest_id, source_task_id, title,"
        f" pillar, order_index) select '{student.user_id}', quest_id, '{enrolled}', id, title,"
        f" pillar, order_index from course_quest_tasks where id = '{template}'"
        " on conflict do nothing returning id"
    )
    found = f"select id from user_quest_tasks where source_task_id = '{template}'"
    return str(copied or await linking.run(f"{found} and user_id = '{student.user_id}'"))


async def graded(linking: Linking, student: SignedIn, task_id: str) -> tuple[str, str] | int:
    grade = {"user_id": student.user_id, "task_id": task_id, "score": 90}
    path = "/internal/v1/grades"
    given = await linking.spark.browser.post(path, json=grade, headers=linking.key)
    if given.status_code != 202:
        return given.status_code
    found = await linking.get(f"grades/{given.json()['id']}")
    return str(found["spark_course_id"]), str(found["spark_assignment_id"])


@pytest.mark.parametrize("what", ["task", "whole quest"])
@pytest.mark.own_database("the main app's tables want more of a copy that is made by hand")
async def test_a_native_grade_goes_to_the_assignment_of_the_link(
    linking: Linking, what: str
) -> None:
    student = await linking.student()
    linked, other = linking.second, linking.first
    if what == "whole quest":
        linked, other = other, linked
    body_of(await linking.put(task_id=linked if what == "task" else None))
    mine, others = [await copy_of(linking, student, each) for each in (linked, other)]
    assert await graded(linking, student, mine) == (linking.payload["spark_course_id"], "essay")
    assert await graded(linking, student, others) == 404


@pytest.mark.own_database("the main app's tables want more of a copy that is made by hand")
async def test_a_task_that_the_assignment_no_longer_means_has_no_grade_for_it(
    linking: Linking,
) -> None:
    """Until the link gives way."""
    student = await linking.student()
    mine = await copy_of(linking, student, await linking.synced_task())
    body_of(await linking.put())
    assert await graded(linking, student, mine) == 404
    await linking.run(GONE["task deleted"].format(second=linking.second))
    assert await graded(linking, student, mine) == (linking.payload["spark_course_id"], "essay")
