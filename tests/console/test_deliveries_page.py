"""Deliveries at the console: found, looked into, and processed again, one or all that fit."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import insert, select, update

from app.clock import new_id
from app.database import Sessions
from app.models import InboxDelivery, ServiceKey
from tests.conftest import create_assignment
from tests.support.bodies import Part
from tests.support.console import at_console, words
from tests.support.running import Running
from tests.support.samples import png
from tests.support.spark import Assignment, SignedIn, Spark, encoded, submission
from tests.support.stored import NOTHING, ONCE, audited, deliveries_of, kept
from tests.support.work import Work

PATH = "/console/deliveries"
PICTURE = Part("f", png(), filename="gauge.png")


@pytest.fixture
async def operator(server: Running, sessions: Sessions) -> AsyncIterator[httpx.AsyncClient]:
    async with at_console(server.url, sessions) as signed_in:
        yield signed_in


@pytest.fixture
async def reader(server: Running, sessions: Sessions) -> AsyncIterator[httpx.AsyncClient]:
    async with at_console(server.url, sessions, ["read"]) as signed_in:
        yield signed_in


@pytest.fixture
def unknown() -> Assignment:
    """An assignment that no course has named yet."""
    return Assignment(uuid4(), f"lost_{uuid4().hex}", f"course_{uuid4().hex}")


async def page(browser: httpx.AsyncClient, path: str = PATH, **query: str) -> str:
    answer = await browser.get(path, params=query or None)
    assert answer.status_code == 200, answer.text
    return answer.text


async def delivered(sessions: Sessions, payload: dict[str, Any]) -> UUID:
    [delivery] = await deliveries_of(sessions, encoded(payload))
    found: UUID = delivery.id
    return found


# ---------------------------------------------------------------------------- the list


async def test_a_homework_is_found_by_student_assignment_code_state_and_time(
    operator: httpx.AsyncClient, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    await spark.submit(submission(student, assignment))
    await spark.submit(submission(student, assignment, submission_text=...))
    mine = {"student": student.spark_user_id}
    hour_ago = f"{datetime.now(tz=UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M}"
    for narrow, rows in (
        ({}, 2),
        ({"assignment": assignment.spark_assignment_id}, 2),
        ({"assignment": "another"}, 0),
        ({"code": "content_missing"}, 1),
        ({"state": "refused"}, 1),
        ({"state": "taken", "code": ""}, 1),
        ({"from": hour_ago}, 2),
        ({"to": hour_ago}, 0),
    ):
        text = await page(operator, **mine, **narrow)
        assert text.count(f'<a href="{PATH}/') == rows, narrow
    read = words(await page(operator, **mine))
    assert {"All 2", "Refused 1", "Taken 1"} <= set(re.findall(r"(?:All|Refused|Taken) \d", read))


async def test_an_address_is_masked_and_who_looked_is_written_down(
    operator: httpx.AsyncClient,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
) -> None:
    await spark.submit(submission(student, assignment))
    read = await page(operator, student=student.spark_user_id)
    assert f"{student.spark_user_id[0]}…@example.com" in read
    assert f"{student.spark_user_id}@" not in read
    [*_, (caller, action, detail)] = await audited(sessions, student.user_id)
    assert (action, detail) == ("sensitive_read", {"what": "deliveries"})
    async with sessions() as session, session.begin():
        found = await session.execute(select(ServiceKey.name).where(ServiceKey.id == caller))
        assert found.scalar_one() == "Ada"


async def test_older_ones_are_on_the_next_page(
    operator: httpx.AsyncClient,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
) -> None:
    await spark.submit(submission(student, assignment))
    async with sessions() as session, session.begin():
        [row] = (
            await session.execute(
                select(InboxDelivery).where(InboxDelivery.spark_user_id == student.spark_user_id)
            )
        ).mappings()
        more = [dict(row) | {"id": new_id(), "message": None} for _ in range(60)]
        await session.execute(insert(InboxDelivery), more)
    first = await page(operator, student=student.spark_user_id)
    assert first.count(f'<a href="{PATH}/') == 50
    [older] = re.findall(r'href="([^"]*cursor=[^"]*)"', first)
    second = await page(operator, older.replace("&amp;", "&"))
    assert second.count(f'<a href="{PATH}/') == 11
    assert ">Newest</a>" in second


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"code": "No Code"}, "code"),
        ({"student": "x" * 300}, "student"),
        ({"cursor": "0" * 48}, "cursor"),
        ({"cursor": "x"}, "cursor"),
    ],
    ids=str,
)
async def test_a_filter_that_cannot_be_read_is_a_page_that_names_it(
    operator: httpx.AsyncClient, query: dict[str, str], field: str
) -> None:
    answer = await operator.get(PATH, params=query)
    assert answer.status_code == 400
    assert "field_invalid" in answer.text
    assert field in words(answer.text)


# ---------------------------------------------------------------------------- one


async def test_a_delivery_says_what_was_signed_and_answered_and_what_it_became(
    operator: httpx.AsyncClient,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
) -> None:
    payload = submission(student, assignment)
    await spark.submit_form(payload, PICTURE)
    read = words(await page(operator, f"{PATH}/{await delivered(sessions, payload)}"))
    for piece in ("v0", "1 of 1", "gauge.png", "image/png", "stored", "1 file", "shown"):
        assert piece in read, piece
    signed = submission(student, assignment)
    await spark.post(encoded(signed), spark.sign_v1(encoded(signed), webhook_id="msg_ada"))
    read = words(await page(operator, f"{PATH}/{await delivered(sessions, signed)}"))
    assert "v1, Standard Webhooks msg_ada" in read


async def test_a_text_is_shown_when_asked_for_and_that_is_written_down(
    operator: httpx.AsyncClient,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
) -> None:
    payload = submission(student, assignment)
    await spark.submit(payload)
    path = f"{PATH}/{await delivered(sessions, payload)}"
    text = payload["submission_text"]
    assert text not in await page(operator, path)
    before = len(await audited(sessions, student.user_id))
    assert text in await page(operator, path, text="shown")
    details = [detail for *_, detail in (await audited(sessions, student.user_id))[before:]]
    assert {"delivery_id": path.rpartition("/")[2], "what": "text"} in details


async def test_the_text_of_a_refused_one_is_that_of_the_message(
    operator: httpx.AsyncClient,
    spark: Spark,
    student: SignedIn,
    unknown: Assignment,
    sessions: Sessions,
) -> None:
    payload = submission(student, unknown)
    await spark.submit(payload)
    path = f"{PATH}/{await delivered(sessions, payload)}"
    assert payload["submission_text"] in await page(operator, path, text="shown")
    async with sessions() as session, session.begin():
        mine = InboxDelivery.spark_user_id == student.spark_user_id
        await session.execute(update(InboxDelivery).where(mine).values(message=None))
    assert "not kept any more" in await page(operator, path)
    assert "not kept any more" in await page(operator, path, text="shown")


async def test_a_refused_one_is_rehearsed_then_replayed(
    operator: httpx.AsyncClient,
    spark: Spark,
    student: SignedIn,
    unknown: Assignment,
    sessions: Sessions,
) -> None:
    payload = submission(student, unknown)
    await spark.submit(payload)
    path = f"{PATH}/{await delivered(sessions, payload)}"
    refused = await operator.post(f"{path}/dry-run")
    assert "A replay would be refused" in words(refused.text)
    assert "assignment_not_found" in refused.text
    again = await operator.post(f"{path}/replay")
    assert (again.status_code, again.headers["location"]) == (303, path)
    assert "Not recorded: " in words(await page(operator, path))
    await create_assignment(sessions, spark_assignment_id=unknown.spark_assignment_id)
    assert "A replay would record it" in words((await operator.post(f"{path}/dry-run")).text)
    assert await kept(sessions, student.user_id) == NOTHING
    assert (await operator.post(f"{path}/replay")).status_code == 303
    read = words(await page(operator, path))
    assert "It was recorded." in read
    assert "It was recorded." not in words(await page(operator, path))
    assert await kept(sessions, student.user_id) == ONCE
    changed = [action for _, action, _ in await audited(sessions, student.user_id)]
    assert "sensitive_update" in changed


# ---------------------------------------------------------------------------- all that fit


async def test_homework_that_an_outage_refused_is_replayed_by_a_button_and_is_there(
    operator: httpx.AsyncClient,
    spark: Spark,
    sessions: Sessions,
    unknown: Assignment,
    work: Work,
) -> None:
    """Counted, ordered once, followed, and told what came of it."""
    students = [await spark.sign_in() for _ in range(3)]
    for student in students[:2]:
        await spark.submit(submission(student, unknown))
    await spark.submit_form(submission(students[2], unknown), PICTURE)
    of = {"assignment": unknown.spark_assignment_id}
    listed = await page(operator, **of)
    assert f'href="{PATH}/replay?{urlencode(of)}"' in listed
    path = f"{PATH}/replay"
    read = words(await page(operator, path, **of))
    assert "2 deliveries can be processed again" in read
    assert "2 of 3 that were refused" in read
    assert "The rest Spark must send again" in read
    for _ in range(2):
        ordered = await operator.post(path, data=of)
        assert (ordered.status_code, ordered.headers["location"]) == (
            303,
            f"{path}?{urlencode(of)}",
        )
    read = words(await page(operator, path, **of))
    assert "2 deliveries wait for a turn or run" in read
    assert "can be processed again</h2>" not in read
    await create_assignment(sessions, spark_assignment_id=unknown.spark_assignment_id)
    assert await work() == 2
    read = words(await page(operator, path, **of))
    assert "taken 2 of 2" in read
    assert "wait for a turn" not in read
    assert [await kept(sessions, student.user_id) for student in students] == [
        ONCE,
        ONCE,
        NOTHING,
    ]


async def test_without_a_filter_it_is_of_the_last_day(operator: httpx.AsyncClient) -> None:
    answer = await operator.get(f"{PATH}/replay")
    [since] = re.findall(r'name="from" type="datetime-local" step="1" value="([^"]+)"', answer.text)
    distance = datetime.now(tz=UTC) - datetime.fromisoformat(since).replace(tzinfo=UTC)
    assert timedelta(hours=23) < distance < timedelta(hours=25)
    assert (await operator.post(f"{PATH}/replay", data={"student": ""})).status_code == 400


# ---------------------------------------------------------------------------- who may


async def test_who_may_only_read_sees_no_button_and_changes_nothing(
    reader: httpx.AsyncClient,
    spark: Spark,
    student: SignedIn,
    unknown: Assignment,
    sessions: Sessions,
) -> None:
    payload = submission(student, unknown)
    await spark.submit(payload)
    before = await deliveries_of(sessions, encoded(payload))
    path, of = f"{PATH}/{before[0].id}", {"student": student.spark_user_id}
    for each, query in ((PATH, of), (path, {}), (f"{PATH}/replay", of)):
        text = await page(reader, each, **query)
        assert 'method="post" action="/console/deliveries' not in text
        assert "rocess refused ones again" not in text
    for each in (f"{path}/replay", f"{path}/dry-run", f"{PATH}/replay"):
        refused = await reader.post(each, data=of)
        assert refused.status_code == 403
        assert "lacks the scope" in refused.text
    assert await deliveries_of(sessions, encoded(payload)) == before


@pytest.mark.parametrize("act", ["replay", "dry-run"])
async def test_a_form_of_another_site_changes_nothing(
    operator: httpx.AsyncClient,
    spark: Spark,
    student: SignedIn,
    unknown: Assignment,
    sessions: Sessions,
    act: str,
) -> None:
    payload = submission(student, unknown)
    await spark.submit(payload)
    before = await deliveries_of(sessions, encoded(payload))
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    refused = await operator.post(f"{PATH}/{before[0].id}/{act}", headers=elsewhere)
    assert refused.status_code == 403
    assert await deliveries_of(sessions, encoded(payload)) == before
