"""A student's link to Spark by hand: made, paused, resumed, ended."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select, update

from app.database import Sessions
from app.models import AuditEntry, User
from tests.support.evidence import body_of
from tests.support.problems import assert_problem
from tests.support.roster import new_student
from tests.support.spark import Assignment, SignedIn, Spark, submission


class Panel:
    """What the main app's admin does with one student."""

    def __init__(self, browser: httpx.AsyncClient, key: dict[str, str], user_id: str) -> None:
        self._browser, self._key = browser, key
        self._path = f"/internal/v1/students/{user_id}"

    async def link(self, spark_user_id: str) -> httpx.Response:
        said = {"spark_user_id": spark_user_id}
        return await self._browser.post(f"{self._path}/link", json=said, headers=self._key)

    async def set(self, status: str) -> httpx.Response:
        said = {"status": status}
        return await self._browser.patch(f"{self._path}/link", json=said, headers=self._key)

    async def unlink(self) -> httpx.Response:
        return await self._browser.delete(f"{self._path}/link", headers=self._key)

    async def read(self) -> dict[str, Any]:
        return body_of(await self._browser.get(self._path, headers=self._key))


@pytest.fixture
def panel(browser: httpx.AsyncClient, main_app: dict[str, str], student: SignedIn) -> Panel:
    return Panel(browser, main_app, student.user_id)


async def test_whoever_is_linked_by_hand_signs_in_to_that_account(
    spark: Spark, student: SignedIn, panel: Panel
) -> None:
    """By whom, and since when, is shown; an account that Spark linked says null."""
    assert (await panel.read())["link"]["linked_by"] is None
    assert (await panel.unlink()).status_code == 204
    other = new_student()
    for _ in range(2):
        assert (await panel.link(other)).status_code == 200
    link = (await panel.read())["link"]
    assert (link["spark_user_id"], link["status"]) == (other, "active")
    assert link["linked_by"] == "INTERNAL_API_KEYS[0]"
    assert (link["linked_at"] is None, link["last_sync_at"]) == (False, None)
    assert (await spark.sign_in(sub=other)).user_id == student.user_id
    # The id it had before is somebody new.
    assert (await spark.sign_in(sub=student.spark_user_id)).user_id != student.user_id


async def test_a_paused_link_refuses_clicks_and_homework_until_it_is_resumed(
    spark: Spark, student: SignedIn, panel: Panel, assignment: Assignment
) -> None:
    work = submission(student, assignment)
    assert (await panel.set("paused")).status_code == 204
    assert (await panel.read())["link"]["status"] == "paused"
    click = await spark.launch(spark.launch_token(sub=student.spark_user_id))
    assert_problem(click, 403, "account_inactive")
    assert_problem(await spark.submit(work), 403, "account_inactive")
    for _ in range(2):
        assert (await panel.set("active")).status_code == 204
    assert (await spark.submit(work)).status_code == 200
    assert (await spark.sign_in(sub=student.spark_user_id)).user_id == student.user_id


async def test_who_is_unlinked_is_unknown_to_spark_and_signed_out(
    spark: Spark, student: SignedIn, panel: Panel, assignment: Assignment
) -> None:
    assert (await spark.submit(submission(student, assignment))).status_code == 200
    assert (await panel.unlink()).status_code == 204
    left = await panel.read()
    assert (left["link"], left["sessions"]) == (None, [])
    again = submission(student, assignment, submission_text="Later")
    assert_problem(await spark.submit(again), 404, "user_not_found")
    for act in (panel.unlink(), panel.set("paused")):
        assert "not linked to Spark" in str(assert_problem(await act, 404, "not_found")["hint"])


async def test_what_is_linked_otherwise_is_refused_with_what_to_do(
    browser: httpx.AsyncClient, main_app: dict[str, str], spark: Spark, panel: Panel
) -> None:
    other = await spark.sign_in()
    taken = assert_problem(await panel.link(other.spark_user_id), 409, "account_link_forbidden")
    assert "unlink it there" in str(taken["hint"])
    held = assert_problem(await panel.link(new_student()), 409, "account_link_forbidden")
    assert "another Spark id" in str(held["hint"])
    nobody = Panel(browser, main_app, str(uuid4()))
    assert_problem(await nobody.link(new_student()), 404, "not_found")
    assert_problem(await panel.link(""), 400, "field_invalid")
    assert_problem(await panel.set("error"), 400, "field_invalid")


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"role": "parent"}, (409, "not_a_student")),
        ({"deletion_status": "pending"}, (403, "account_inactive")),
    ],
)
async def test_only_a_student_who_stays_is_linked(
    sessions: Sessions,
    student: SignedIn,
    panel: Panel,
    changed: dict[str, str],
    refusal: tuple[int, str],
) -> None:
    await panel.unlink()
    async with sessions() as session, session.begin():
        whose = User.id == UUID(student.user_id)
        await session.execute(update(User).where(whose).values(changed))
    assert_problem(await panel.link(new_student()), *refusal)


async def test_an_erased_student_is_not_linked(
    browser: httpx.AsyncClient, main_app: dict[str, str], spark: Spark, panel: Panel
) -> None:
    gone = await spark.sign_in()
    erased = await browser.delete(f"/internal/v1/students/{gone.user_id}", headers=main_app)
    assert erased.status_code == 200
    await panel.unlink()
    assert_problem(await panel.link(gone.spark_user_id), 403, "account_inactive")


async def test_of_several_links_at_once_one_is_made(
    browser: httpx.AsyncClient, main_app: dict[str, str], spark: Spark, panel: Panel
) -> None:
    """One id for one account, whoever links: by hand and by a click, too."""
    await panel.unlink()
    ids = [new_student() for _ in range(5)]
    answers = await asyncio.gather(*map(panel.link, ids))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 4}

    free = await spark.sign_in()
    other = Panel(browser, main_app, free.user_id)
    await other.unlink()
    await panel.unlink()
    one = new_student()
    both = await asyncio.gather(panel.link(one), other.link(one), spark.sign_in(sub=one))
    linked = [answer.status_code for answer in both[:2]]
    shown = [(await each.read())["link"] is not None for each in (panel, other)]
    assert shown == [status == 200 for status in linked]
    assert sum(shown) <= 1


async def test_each_change_is_in_the_audit_log(
    sessions: Sessions, student: SignedIn, panel: Panel
) -> None:
    new = new_student()
    for act in (panel.set("paused"), panel.set("active"), panel.unlink(), panel.link(new)):
        assert (await act).is_success
    async with sessions() as session, session.begin():
        mine = AuditEntry.user_id == UUID(student.user_id)
        found = await session.execute(select(AuditEntry.action, AuditEntry.detail).where(mine))
    entries = [(action, detail) for action, detail in found if "read" not in action]
    assert sorted(entries, key=str) == [
        ("sensitive_create", {"linked": new}),
        ("sensitive_delete", {"unlinked": [student.spark_user_id]}),
        ("sensitive_update", {"link": "active"}),
        ("sensitive_update", {"link": "paused"}),
    ]
