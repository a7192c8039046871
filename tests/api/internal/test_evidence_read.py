"""Reading evidence (CONTRACT 11): exactly the promised members, and whose each block is."""

import hashlib
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import update

from app.database import Sessions
from app.models import EvidenceBlock
from tests.support import samples
from tests.support.bodies import Part
from tests.support.evidence import EVIDENCE, Desk, as_read, body_of, desk_of, tasks_of, text
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, SignedIn, Spark, submission

PICTURE = Part("f", samples.png(), filename="gauge.png")


@pytest.fixture
async def handed_in(spark: Spark, student: SignedIn, assignment: Assignment) -> dict[str, Any]:
    """The answer to a submission of a text and a picture."""
    payload = submission(student, assignment, submission_text="Four days of rain.")
    return body_of(await spark.submit_form(payload, PICTURE))


@pytest.fixture
def desk(browser: httpx.AsyncClient, student: SignedIn, handed_in: dict[str, Any]) -> Desk:
    return desk_of(browser, student, handed_in["task_id"])


async def test_evidence_has_exactly_the_promised_members(
    desk: Desk, student: SignedIn, handed_in: dict[str, Any]
) -> None:
    evidence = await desk.read()
    assert evidence.keys() == {"success", "version", "document", "blocks"}
    assert evidence["success"] is True
    assert evidence["document"].keys() == {
        *("id", "user_id", "quest_id", "task_id", "status", "is_confidential"),
        *("created_at", "updated_at", "version", "completed_at"),
    }
    assert evidence["document"]["user_id"] == student.user_id
    assert evidence["document"]["quest_id"] == handed_in["quest_id"]
    assert evidence["document"]["status"] == "completed"
    for place, block in enumerate(evidence["blocks"]):
        assert block.keys() == {
            *("id", "document_id", "block_type", "content", "order_index", "is_private"),
            *("created_at", "uploaded_by_user_id", "uploaded_by_role", "uploaded_by_name"),
            "provenance",
        }
        assert block["order_index"] == place
        assert block["document_id"] == evidence["document"]["id"]
        assert block["uploaded_by_name"].startswith("Ada")
    assert [block["content"].keys() for block in evidence["blocks"]] == [
        {"text"},
        {"url", "alt", "caption", "filename", "file_size", "content_type"},
    ]


async def test_a_block_tells_which_revision_wrote_it(desk: Desk, handed_in: dict[str, Any]) -> None:
    words, picture = (await desk.read())["blocks"]
    spark = {
        "written_by": "spark",
        "submission_id": handed_in["submission_id"],
        "revision": 1,
    }
    assert words["provenance"] == spark | {
        "sha256": hashlib.sha256(b"Four days of rain.").hexdigest()
    }
    assert picture["provenance"] == spark | {"sha256": handed_in["files"][0]["sha256"]}
    await desk.saved(as_read(picture), as_read(words), text())
    blocks = (await desk.read())["blocks"]
    assert [block["provenance"]["written_by"] for block in blocks] == ["spark", "spark", "student"]
    assert blocks[2]["provenance"] == {"written_by": "student"}


async def test_a_document_is_read_by_its_own_id_as_well(desk: Desk) -> None:
    evidence = await desk.read()
    path = f"{EVIDENCE}/documents/by-id/{evidence['document']['id']}"
    again = body_of(await desk.ask("GET", path))
    for block in (*evidence["blocks"], *again["blocks"]):
        block["content"].pop("url", None)  # signed anew
    assert again == evidence


async def test_a_task_without_evidence_has_no_document(
    desk: Desk, student: SignedIn, sessions: Sessions
) -> None:
    [_, task_id, _] = await tasks_of(sessions, student.user_id)
    evidence = await desk_of(desk.browser, student, task_id).read()
    assert evidence == {"success": True, "version": None, "document": None, "blocks": []}


async def test_a_files_link_downloads_it(desk: Desk, browser: httpx.AsyncClient) -> None:
    [_, picture] = (await desk.read())["blocks"]
    download = await browser.get(picture["content"]["url"])
    assert download.content == PICTURE.content
    assert download.headers["content-disposition"].startswith("attachment; filename=")


async def test_who_asks_again_is_given_the_same_link(desk: Desk) -> None:
    links = {(await desk.read())["blocks"][1]["content"]["url"] for _ in range(3)}
    assert len(links) < 3  # a window may have ended between two of them


async def test_no_block_opens_the_file_of_another_student(
    desk: Desk,
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    handed_in: dict[str, Any],
    sessions: Sessions,
) -> None:
    """Not even if their pointer got into the database."""
    foreign = f"evidence-files/{UUID(int=7)}/{UUID(int=8)}.png"
    [words, _] = (await desk.read())["blocks"]
    async with sessions() as session, session.begin():
        await session.execute(
            update(EvidenceBlock)
            .where(EvidenceBlock.id == UUID(words["id"]))
            .values(content={"url": foreign})
        )
    assert (await desk.read())["blocks"][0]["content"]["url"] == foreign
    path = f"/internal/v1/completions/{handed_in['completion_id']}"
    completion = body_of(await browser.get(path, headers=main_app))
    assert completion["blocks"][0]["content"]["url"] == foreign


@pytest.mark.parametrize("place", ["documents", "documents/by-id"])
async def test_p237_what_is_no_uuid_is_invalid(desk: Desk, place: str) -> None:
    problem = assert_problem(await desk.ask("GET", f"{EVIDENCE}/{place}/1"), 400, "field_invalid")
    assert problem["success"] is False
