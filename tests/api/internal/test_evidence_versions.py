"""A document's version, in each form in which a client may keep and send it (DESIGN R38)."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, update

from app.database import Sessions
from app.models import EvidenceDocument
from tests.support import samples
from tests.support.bodies import Part, form
from tests.support.evidence import EVIDENCE, Desk, as_read, body_of, desk_of, tasks_of, text, texts
from tests.support.problems import assert_problem
from tests.support.spark import FORM, Assignment, SignedIn, Spark, submission

PICTURE = Part("file", samples.png(), filename="gauge.png")


@pytest.fixture
async def desk(
    browser: httpx.AsyncClient,
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    sessions: Sessions,
) -> Desk:
    """Open on a task without evidence."""
    body_of(await spark.submit(submission(student, assignment)))
    return desk_of(browser, student, (await tasks_of(sessions, student.user_id))[1])


def by_version(evidence: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Members of the body, and headers."""
    return {"version": evidence["version"]}, {}


def by_moment(evidence: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    return {"updated_at": evidence["document"]["updated_at"]}, {}


def by_moment_of_javascript(evidence: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """`new Date(updated_at).toISOString()`"""
    moment = datetime.fromisoformat(evidence["document"]["updated_at"])
    return {"updated_at": moment.isoformat(timespec="milliseconds")[:23] + "Z"}, {}


def by_etag(evidence: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    return {}, {"If-Match": f'"{evidence["version"]}"'}


def by_weak_etag(evidence: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """As a proxy that compresses passes it on."""
    return {}, {"If-Match": f'"other", W/"{evidence["version"]}"'}


WAYS = [by_version, by_moment, by_moment_of_javascript, by_etag, by_weak_etag]
Way = Callable[[dict[str, Any]], tuple[dict[str, str], dict[str, str]]]


async def save(
    desk: Desk, *blocks: dict[str, Any], members: dict[str, str], headers: dict[str, str]
) -> httpx.Response:
    body = {"blocks": list(blocks), "status": "draft"} | members
    return await desk.ask("PUT", desk.path, json=body, headers=headers)


async def test_what_was_read_may_be_sent_back_as_it_is(
    browser: httpx.AsyncClient, spark: Spark, student: SignedIn, assignment: Assignment
) -> None:
    handed_in = body_of(await spark.submit_form(submission(student, assignment), PICTURE))
    desk = desk_of(browser, student, handed_in["task_id"])
    before = await desk.read()
    saved = body_of(await desk.ask("PUT", desk.path, json=before))
    assert (saved["status"], saved["xp_awarded"]) == ("completed", 0)
    after = await desk.read()
    for block in (*before["blocks"], *after["blocks"]):
        block["content"].pop("url", None)  # a new link each time
    assert after["blocks"] == before["blocks"]
    assert_problem(await desk.ask("PUT", desk.path, json=before), 409, "evidence_changed")


async def test_without_a_status_a_new_document_is_a_draft(desk: Desk) -> None:
    """Reading a task without evidence gives what makes it: no version, and no blocks yet."""
    before = await desk.read()
    blocks = [{"block_type": "text", "content": {"text": "mine"}}]
    saved = body_of(await desk.ask("PUT", desk.path, json=before | {"blocks": blocks}))
    assert saved["status"] == "draft"
    nameless = {"blocks": [{"content": {"text": "mine"}}]}
    problem = assert_problem(await desk.ask("PUT", desk.path, json=nameless), 400, "field_invalid")
    assert problem["error"] == "Invalid field: blocks.0.type"


async def add_picture_block(desk: Desk) -> str:
    block_id: str = (await desk.saved({"type": "image", "content": {"alt": "mine"}}))["blocks"][0][
        "id"
    ]
    return block_id


async def test_every_answer_about_evidence_has_its_version_as_a_member_and_as_etag(
    desk: Desk,
) -> None:
    nothing = await desk.ask("GET", desk.path)
    assert body_of(nothing)["version"] is None
    assert "etag" not in nothing.headers
    saved = await desk.save({"type": "image", "content": {"alt": "mine"}})
    block_id = body_of(saved)["blocks"][0]["id"]
    answers = [
        saved,
        await desk.upload(block_id, PICTURE),
        await desk.delete_file(block_id),
        await desk.complete(),
        await desk.ask("GET", desk.path),
        await desk.ask("GET", f"{EVIDENCE}/documents/by-id/{body_of(saved)['document_id']}"),
    ]
    versions = [body_of(answer)["version"] for answer in answers]
    assert [answer.headers["etag"] for answer in answers] == [f'"{known}"' for known in versions]
    assert len(set(versions)) == 4
    assert versions[3] == versions[4] == versions[5]
    assert body_of(answers[4])["document"]["version"] == versions[4]


@pytest.mark.parametrize("way", WAYS)
async def test_who_names_the_version_that_is_there_may_leave_a_block_out(
    desk: Desk, way: Way
) -> None:
    await desk.saved(text("one"), text("two"))
    evidence = await desk.read()
    members, headers = way(evidence)
    kept = as_read(evidence["blocks"][1])
    body_of(await save(desk, kept, members=members, headers=headers))
    assert texts(await desk.read()) == ["two"]


@pytest.mark.parametrize("way", WAYS)
async def test_who_names_an_older_version_changes_nothing(desk: Desk, way: Way) -> None:
    await desk.saved(text("one"))
    before = await desk.read()
    members, headers = way(before)
    await desk.saved(*map(as_read, before["blocks"]), text("two"))
    late = await save(desk, *map(as_read, before["blocks"]), members=members, headers=headers)
    problem = assert_problem(late, 409, "evidence_changed")
    assert "version" in str(problem["hint"])
    assert texts(await desk.read()) == ["one", "two"]


async def test_of_two_versions_that_are_named_both_must_fit(desk: Desk) -> None:
    older = await desk.saved(text("one"))
    await desk.saved(*map(as_read, (await desk.read())["blocks"]))
    newer = await desk.read()
    for stale, current in ((by_version, by_etag), (by_etag, by_version), (by_version, by_moment)):
        members, headers = stale(older)
        more, others = current(newer)
        answer = await save(desk, members=members | more, headers=headers | others)
        assert_problem(answer, 409, "evidence_changed")


async def test_any_version_is_asked_for_with_a_star_and_nothing_is_left_out_by_that(
    desk: Desk,
) -> None:
    any_version = {"If-Match": "*"}
    first = await save(desk, text("one"), members={}, headers=any_version)
    assert_problem(first, 409, "evidence_changed")
    await desk.saved(text("one"))
    [block] = (await desk.read())["blocks"]
    body_of(await save(desk, as_read(block), members={}, headers=any_version))
    assert_problem(await save(desk, members={}, headers=any_version), 409, "evidence_changed")


async def test_what_is_no_list_of_tags_is_refused_by_its_name(desk: Desk) -> None:
    many = {"If-Match": '"v1",' * 300}
    problem = assert_problem(await desk.ask("PUT", desk.path, headers=many), 400, "field_invalid")
    assert (problem["error"], problem["success"]) == ("Invalid field: If-Match", False)


@pytest.mark.parametrize("act", ["complete", "upload", "delete"])
async def test_no_write_ignores_if_match(desk: Desk, act: str) -> None:
    block_id = await add_picture_block(desk)
    old = (await desk.read())["version"]
    body_of(await desk.upload(block_id, PICTURE))
    now = (await desk.read())["version"]
    path = f"{EVIDENCE}/blocks/{block_id}"

    async def ask(version: str) -> httpx.Response:
        headers = {"If-Match": f'"{version}"'}
        match act:
            case "complete":
                return await desk.ask("POST", f"{desk.path}/complete", headers=headers)
            case "upload":
                headers["Content-Type"] = FORM
                body = form(PICTURE)
                return await desk.ask("POST", f"{path}/upload", content=body, headers=headers)
            case _:
                return await desk.ask("DELETE", f"{path}/file", headers=headers)

    problem = assert_problem(await ask(old), 409, "evidence_changed")
    assert problem["success"] is False
    assert (await desk.read())["version"] == now
    assert body_of(await ask(now))["version"] != now


async def test_of_editors_at_once_who_read_the_same_one_saves(desk: Desk) -> None:
    await desk.saved(text("one"))
    members, headers = by_moment_of_javascript(await desk.read())
    answers = await asyncio.gather(
        *(save(desk, text(str(n)), members=members, headers=headers) for n in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]


async def test_versions_of_one_millisecond_differ_also_when_they_are_cut(
    desk: Desk, sessions: Sessions
) -> None:
    await desk.saved(text())
    async with sessions() as session, session.begin():
        await session.execute(  # the clock stands still for whoever writes
            update(EvidenceDocument)
            .where(EvidenceDocument.task_id == UUID(desk.task_id))
            .values(updated_at=func.now() + timedelta(hours=1))
        )
    cut = set()
    for _ in range(3):
        evidence = await desk.read()
        cut.add(by_moment_of_javascript(evidence)[0]["updated_at"])
        await desk.saved(*map(as_read, evidence["blocks"]))
    assert len(cut) == 3
