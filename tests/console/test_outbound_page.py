"""Outbound at the console: targets, what was given up by its reason, and all of it sent again."""

import re
import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select, update

from app.database import Sessions
from app.models import AuditEntry, Job, JobTarget
from app.settings import Settings
from tests.conftest import create_assignment
from tests.grades.conftest import Grading
from tests.support.console import at_console, words
from tests.support.elsewhere import run_elsewhere
from tests.support.outward import run_outward
from tests.support.spark import submission
from tests.support.work import forget_jobs

PATH = "/console/outbound"
SPARK = {"name": "spark"}
NOT_FOUND = {"status": 404}


@pytest.fixture(scope="module")
async def opened(
    settings: Settings, sessions: Sessions, main_app: dict[str, str]
) -> AsyncIterator[Grading]:
    async with (
        run_outward(settings) as (calling, fake),
        run_elsewhere(calling) as elsewhere,
    ):
        yield Grading(elsewhere, fake, sessions, main_app)


@pytest.fixture
async def grading(opened: Grading, sessions: Sessions) -> Grading:
    await forget_jobs(sessions)
    await opened.fake.forget()
    return opened


@pytest.fixture
async def operator(grading: Grading, sessions: Sessions) -> AsyncIterator[httpx.AsyncClient]:
    async with at_console(grading.elsewhere.running.url, sessions) as signed_in:
        yield signed_in


@pytest.fixture
async def reader(grading: Grading, sessions: Sessions) -> AsyncIterator[httpx.AsyncClient]:
    url = grading.elsewhere.running.url
    async with at_console(url, sessions, ["read"]) as signed_in:
        yield signed_in


async def read(browser: httpx.AsyncClient, path: str = PATH, **query: str) -> str:
    """What is read of a page, without the marks."""
    answer = await browser.get(path, params=query or None)
    assert answer.status_code == 200, answer.text
    return words(answer.text)


async def give_two(grading: Grading) -> list[str]:
    """Grades of one student in two quests."""
    student = await grading.student()
    given = []
    for _ in range(2):
        task = await grading.task_of(student, await create_assignment(grading.sessions))
        given.append((await grading.give(student, task, 90)).json()["id"])
    return given


async def refused(grading: Grading) -> list[str]:
    """Two dead grades."""
    await grading.fake.script("/grades", NOT_FOUND, NOT_FOUND)
    given = await give_two(grading)
    await grading.work_off()
    return given


async def test_grades_that_were_given_up_are_sent_again_by_their_reason(
    grading: Grading, operator: httpx.AsyncClient
) -> None:
    """The page counts them, a second page says what is about to be done, and then they arrive."""
    given = await refused(grading)
    listed = await read(operator)
    assert re.search(r"2 grades spark_404 .* Send all again \(2\)", listed)
    assert "Dead 2" in listed
    alike = {"kind": "grade", "reason": "spark_404"}
    asked = await read(operator, f"{PATH}/retry", **alike)
    assert "2 grades of 2 quests" in asked
    assert "Send all again (2)" in asked
    done = await operator.post(f"{PATH}/retry", data=alike)
    assert (done.status_code, done.headers["location"]) == (303, f"{PATH}?kind=grade")
    followed = await read(operator, kind="grade")
    assert "2 begin anew" in followed
    assert {"Waiting 2", "Dead 0"} <= set(re.findall(r"(?:Waiting|Dead) \d", followed))
    await grading.work_off()
    assert "Waiting 0" in await read(operator, kind="grade")
    assert {(await grading.state(each))["state"] for each in given} == {"delivered"}
    gone = await operator.get(f"{PATH}/retry", params=alike)
    assert (gone.status_code, gone.headers["location"]) == (303, PATH)


async def test_one_is_looked_into_attempt_by_attempt_and_sent_again(
    grading: Grading, operator: httpx.AsyncClient
) -> None:
    await refused(grading)
    job = (await grading.jobs())[0]
    path = f"{PATH}/{job.id}"
    looked = await read(operator, path)
    for piece in ("spark_404", "404", "ms", "90 of 100", "Given up"):
        assert piece in looked, piece
    assert (await operator.post(f"{path}/retry")).status_code == 303
    await grading.work_off()
    assert (await grading.state(job.key))["state"] == "delivered"
    assert (await operator.get(path)).status_code == 404


async def test_a_dead_grade_is_explained_and_sent_again_there(
    grading: Grading, operator: httpx.AsyncClient
) -> None:
    [grade_id, _] = await refused(grading)
    grade = await grading.state(grade_id)
    whose = {"student": grade["spark_user_id"], "assignment": grade["spark_assignment_id"]}
    explained = (await operator.get("/console/explain", params=whose)).text
    [send] = re.findall(r'action="(/console/outbound/grades/[^"]+/send)"', explained)
    assert (await operator.post(send)).status_code == 303
    await grading.work_off()
    assert (await grading.state(grade_id))["state"] == "delivered"
    assert "taken by Spark" in await read(operator, "/console/explain", **whose)


async def test_one_is_discarded_after_a_second_look(
    grading: Grading, operator: httpx.AsyncClient
) -> None:
    await refused(grading)
    job = (await grading.jobs())[0]
    assert "cannot be brought back" in await read(operator, f"{PATH}/{job.id}")
    assert (await operator.post(f"{PATH}/{job.id}/discard")).status_code == 303
    assert job.id not in {each.id for each in await grading.jobs()}


async def test_a_target_is_tested_paused_and_resumed(
    grading: Grading, operator: httpx.AsyncClient, sessions: Sessions
) -> None:
    """While it is paused its grades wait; what was done is in the audit log."""
    assert "Nobody has been called yet" in await read(operator)
    tested = await operator.post(f"{PATH}/targets/test")
    assert tested.status_code == 200
    assert "Grades can be sent." in tested.text
    paused = await operator.post(f"{PATH}/targets/pause", data=SPARK)
    assert paused.status_code == 303
    given = await give_two(grading)
    await grading.work_off()
    looked = await read(operator)
    assert re.search(r"spark paused by_hand .* 2 .* by hand", looked)
    assert (await operator.post(f"{PATH}/targets/resume", data=SPARK)).status_code == 303
    await grading.work_off()
    assert {(await grading.state(each))["state"] for each in given} == {"delivered"}
    async with sessions() as session, session.begin():
        asked = select(AuditEntry.detail).where(AuditEntry.detail["what"].astext == "targets")
        found = await session.execute(asked.order_by(AuditEntry.occurred_at.desc()).limit(2))
        assert [detail["state"] for detail in found.scalars()] == ["open", "paused"]


async def test_a_key_that_is_wrong_is_told_by_the_test(
    grading: Grading, operator: httpx.AsyncClient
) -> None:
    await grading.fake.change(api_key=secrets.token_hex(16))
    tested = await operator.post(f"{PATH}/targets/test")
    await grading.fake.change(api_key=grading.key)
    assert "spark_401" in tested.text
    assert "compare SPARK_API_KEY" in tested.text


async def test_a_file_that_was_given_up_is_fetched_by_a_new_link(
    grading: Grading, operator: httpx.AsyncClient
) -> None:
    """Its own link is gone, so that a whole kind of them is not begun anew."""
    name = f"{secrets.token_hex(4)}.txt"
    student, gone = await grading.student(), f"{grading.fake.files_url}/files/status/403"
    assignment = await create_assignment(grading.sessions)
    files = {"submission_files": [{"url": gone, "filename": "<b>rain.txt"}]}
    await grading.elsewhere.spark.submit(submission(student, assignment, **files))
    await grading.work_off()
    listed = await read(operator)
    assert "1 file by URL status_403" in listed
    assert "name a new link for each" in listed
    assert "all again" not in listed
    async with grading.sessions() as session, session.begin():
        dead = await session.execute(select(Job).where(Job.kind == "download"))
        job = dead.one()
    path = f"{PATH}/{job.id}"
    assert (await operator.post(f"{path}/retry")).status_code == 409
    assert (await operator.post(f"{PATH}/retry", data={"kind": "download"})).status_code == 303
    assert "0 begin anew" in await read(operator)
    text = (await operator.get(path)).text
    assert "&lt;b&gt;rain.txt" in text
    fetch = f"{PATH}/downloads/{job.key}/fetch"
    assert f'action="{fetch}"' in text
    elsewhere = await operator.post(fetch, data={"url": "https://elsewhere.example/x"})
    assert (elsewhere.status_code, "url_not_allowed" in elsewhere.text) == (400, True)
    url = await grading.fake.serve_file(name, b"Rain.")
    assert (await operator.post(fetch, data={"url": url})).status_code == 303
    await grading.work_off()
    assert (await operator.get(path)).status_code == 404


async def test_who_may_only_read_sees_no_button_and_changes_nothing(
    grading: Grading, reader: httpx.AsyncClient
) -> None:
    [grade_id, _] = await refused(grading)
    before = await grading.jobs()
    path = f"{PATH}/{before[0].id}"
    for each in (PATH, path):
        text = (await reader.get(each)).text
        assert 'action="/console/outbound' not in text.replace('method="get" action', "")
        assert "all again" not in text
    acts: dict[str, Any] = {
        f"{PATH}/retry": {"kind": "grade"},
        f"{path}/retry": {},
        f"{path}/discard": {},
        f"{PATH}/grades/{grade_id}/send": {},
        f"{PATH}/downloads/{grade_id}/fetch": {},
        f"{PATH}/targets/test": {},
        f"{PATH}/targets/pause": {},
        f"{PATH}/targets/resume": {},
    }
    for each, data in acts.items():
        assert (await reader.post(each, data=data)).status_code == 403, each
    assert await grading.jobs() == before


@pytest.mark.parametrize("act", ["retry", "targets/pause"])
async def test_a_form_of_another_site_changes_nothing(
    grading: Grading, operator: httpx.AsyncClient, act: str
) -> None:
    await refused(grading)
    before = await grading.jobs()
    answer = await operator.post(
        f"{PATH}/{act}", data={"kind": "grade"}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status_code == 403
    assert await grading.jobs() == before


async def test_a_name_of_a_target_is_only_text(
    grading: Grading, operator: httpx.AsyncClient, sessions: Sessions
) -> None:
    name = "<script>alert(1)</script>&x=1"
    async with sessions() as session, session.begin():
        await session.execute(insert(JobTarget).values(name=name))
        await session.execute(update(JobTarget).values(reason="<i>"))
    text = (await operator.get(PATH)).text
    assert "<script" not in text
    paused = await operator.post(f"{PATH}/targets/pause", data={"name": name})
    assert paused.status_code == 303
    assert "&lt;script&gt;" in (await operator.get(PATH)).text
    assert "by_hand" in await read(operator)
