"""What the main app reads of a completion (DESIGN R20, CONTRACT 12), and who may read it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest

from app.settings import Settings
from tests.support import samples
from tests.support.bodies import Part
from tests.support.problems import assert_problem
from tests.support.spark import Assignment, SignedIn, Spark, submission

PICTURE = Part("f", samples.png(), filename="gauge.png")
REPORT = Part("f", samples.pdf(), filename="rapport été.pdf")


@pytest.fixture
async def handed_in(spark: Spark, student: SignedIn, assignment: Assignment) -> dict[str, Any]:
    """The answer to a submission of a text and two files."""
    answer = await spark.submit_form(submission(student, assignment), PICTURE, REPORT)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def path_of(handed_in: dict[str, Any]) -> str:
    return f"/internal/v1/completions/{handed_in['completion_id']}"


async def read(
    browser: httpx.AsyncClient, main_app: dict[str, str], handed_in: dict[str, Any]
) -> dict[str, Any]:
    answer = await browser.get(path_of(handed_in), headers=main_app)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_a_completion_has_exactly_the_promised_members(
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    student: SignedIn,
    handed_in: dict[str, Any],
) -> None:
    completion = await read(browser, main_app, handed_in)
    assert completion.keys() == {
        *("id", "user_id", "quest_id", "task_id", "completed_at", "xp_awarded", "revision"),
        *("document", "blocks", "files"),
    }
    assert completion["id"] == handed_in["completion_id"]
    assert completion["user_id"] == student.user_id
    assert completion["quest_id"] == handed_in["quest_id"]
    assert completion["task_id"] == handed_in["task_id"]
    assert (completion["xp_awarded"], completion["revision"]) == (100, 1)
    assert completion["document"].keys() == {"id", "status"}
    assert completion["document"]["status"] == "completed"


async def test_it_was_completed_when_it_was_handed_in(
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
) -> None:
    submitted_at = datetime.now(tz=UTC) - timedelta(minutes=2)
    payload = submission(student, assignment, submitted_at=submitted_at.isoformat())
    completion = await read(browser, main_app, (await spark.submit(payload)).json())
    assert datetime.fromisoformat(completion["completed_at"]) == submitted_at


async def test_a_block_has_exactly_the_promised_members(
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    student: SignedIn,
    handed_in: dict[str, Any],
) -> None:
    completion = await read(browser, main_app, handed_in)
    text, picture, report = completion["blocks"]
    assert text.keys() == {
        *("id", "document_id", "block_type", "content", "order_index", "is_private"),
        *("created_at", "uploaded_by_user_id", "uploaded_by_role"),
    }
    assert [block["order_index"] for block in (text, picture, report)] == [0, 1, 2]
    assert text["document_id"] == completion["document"]["id"]
    assert (text["is_private"], text["uploaded_by_role"]) == (False, "student")
    assert text["uploaded_by_user_id"] == student.user_id


async def test_the_content_of_a_block_has_the_members_its_editor_reads(
    browser: httpx.AsyncClient, main_app: dict[str, str], handed_in: dict[str, Any]
) -> None:
    completion = await read(browser, main_app, handed_in)
    shapes = [(block["block_type"], set(block["content"])) for block in completion["blocks"]]
    file = {"url", "filename", "file_size", "content_type"}
    assert shapes == [
        ("text", {"text"}),
        ("image", file | {"alt", "caption"}),
        ("document", file | {"title"}),
    ]


async def test_a_file_has_exactly_the_promised_members(
    browser: httpx.AsyncClient, main_app: dict[str, str], handed_in: dict[str, Any]
) -> None:
    completion = await read(browser, main_app, handed_in)
    members = {"id", "filename", "content_type", "size_bytes", "sha256", "url", "url_expires_at"}
    members |= {"stored_bytes", "stored_sha256", "location", "scan", "picture"}
    assert [file.keys() for file in completion["files"]] == [members] * 2
    assert [file["scan"] for file in completion["files"]] == [None] * 2
    facts = [
        {
            "name": file["filename"],
            "size": file["size_bytes"],
            "content_type": file["content_type"],
            "sha256": file["sha256"],
        }
        for file in completion["files"]
    ]
    assert facts == handed_in["files"]


async def test_links_end_within_five_minutes(
    browser: httpx.AsyncClient, main_app: dict[str, str], handed_in: dict[str, Any]
) -> None:
    completion = await read(browser, main_app, handed_in)
    latest = datetime.now(tz=UTC) + timedelta(minutes=5)
    links = [file["url"] for file in completion["files"]]
    links += [block["content"]["url"] for block in completion["blocks"][1:]]
    for link in links:
        [seconds] = parse_qs(urlsplit(link).query)["X-Amz-Expires"]
        assert 0 < int(seconds) <= 300
    for file in completion["files"]:
        assert datetime.fromisoformat(file["url_expires_at"]) <= latest


@pytest.mark.parametrize("position", [0, 1])
async def test_a_file_downloads_as_an_attachment_of_the_detected_type(
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    handed_in: dict[str, Any],
    position: int,
) -> None:
    file = (await read(browser, main_app, handed_in))["files"][position]
    download = await browser.get(file["url"])
    assert download.content == (PICTURE, REPORT)[position].content
    assert download.headers["content-type"] == ("image/png", "application/pdf")[position]
    assert download.headers["content-disposition"].startswith("attachment; filename=")


async def test_a_block_links_to_the_same_download(
    browser: httpx.AsyncClient, main_app: dict[str, str], handed_in: dict[str, Any]
) -> None:
    completion = await read(browser, main_app, handed_in)
    download = await browser.get(completion["blocks"][1]["content"]["url"])
    assert download.content == PICTURE.content
    assert download.headers["content-disposition"].startswith("attachment; filename=")


async def test_without_its_signature_a_link_opens_nothing(
    browser: httpx.AsyncClient, main_app: dict[str, str], handed_in: dict[str, Any]
) -> None:
    [file, _] = (await read(browser, main_app, handed_in))["files"]
    assert (await browser.get(file["url"].partition("?")[0])).status_code == 403


async def test_the_files_are_those_of_the_current_revision(
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    handed_in: dict[str, Any],
) -> None:
    notes = Part("f", b"calm\n", filename="notes.txt")
    await spark.submit_form(submission(student, assignment), notes)
    completion = await read(browser, main_app, handed_in)
    assert (completion["revision"], completion["xp_awarded"]) == (2, 100)
    assert [file["filename"] for file in completion["files"]] == ["notes.txt"]


async def test_a_late_older_message_does_not_become_the_current_revision(
    browser: httpx.AsyncClient,
    main_app: dict[str, str],
    spark: Spark,
    student: SignedIn,
    assignment: Assignment,
    handed_in: dict[str, Any],
) -> None:
    late = (datetime.now(tz=UTC) - timedelta(minutes=3)).isoformat()
    await spark.submit(submission(student, assignment, submission_text="x", submitted_at=late))
    completion = await read(browser, main_app, handed_in)
    assert (completion["revision"], len(completion["files"])) == (1, 2)


# ---------------------------------------------------------------------------- who may read


async def test_p234_without_a_key_nothing_is_read(
    browser: httpx.AsyncClient, handed_in: dict[str, Any]
) -> None:
    answer = await browser.get(path_of(handed_in))
    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("who", ["P234-wrong", "P234-webhook", "P234-sso", "P234-student"])
async def test_nobody_but_the_main_app_reads_a_completion(
    browser: httpx.AsyncClient,
    settings: Settings,
    student: SignedIn,
    handed_in: dict[str, Any],
    who: str,
) -> None:
    assert settings.spark_webhook_secret
    assert settings.spark_sso_secret
    keys = {
        "P234-wrong": "0" * 64,
        "P234-webhook": settings.spark_webhook_secret.get_secret_value(),
        "P234-sso": settings.spark_sso_secret.get_secret_value(),
        "P234-student": student.access_token,
    }
    headers = {"Authorization": f"Bearer {keys[who]}"}
    assert_problem(await browser.get(path_of(handed_in), headers=headers), 401, "unauthorized")


async def test_a_key_is_sent_as_a_bearer_token(
    browser: httpx.AsyncClient, main_app: dict[str, str], handed_in: dict[str, Any]
) -> None:
    headers = {"Authorization": main_app["Authorization"].replace("Bearer", "Basic")}
    assert_problem(await browser.get(path_of(handed_in), headers=headers), 401, "unauthorized")


async def test_an_unknown_completion_is_not_found(
    browser: httpx.AsyncClient, main_app: dict[str, str]
) -> None:
    answer = await browser.get(f"/internal/v1/completions/{uuid4()}", headers=main_app)
    assert_problem(answer, 404, "not_found")


@pytest.mark.parametrize("completion_id", ["1", "x' OR '1'='1", "%00", "a" * 10_000])
async def test_p237_what_is_no_uuid_is_invalid(
    browser: httpx.AsyncClient, main_app: dict[str, str], completion_id: str
) -> None:
    answer = await browser.get(f"/internal/v1/completions/{completion_id}", headers=main_app)
    problem = assert_problem(answer, 400, "field_invalid")
    assert problem["error"] == "Invalid field: completion_id"


async def test_p237_without_a_key_an_id_is_not_even_looked_at(browser: httpx.AsyncClient) -> None:
    assert_problem(await browser.get("/internal/v1/completions/1"), 401, "unauthorized")
