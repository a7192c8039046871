"""What the service does, as the role that has only its grants, and as the owner."""

from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest

from app.settings import Settings
from app.worker import sweep
from tests.support.beside import Beside, serve_beside
from tests.support.bodies import Part
from tests.support.problems import assert_problem
from tests.support.samples import pdf
from tests.support.service_role import Role
from tests.support.spark import Assignment, submission

# Of 20_rows.sql: Ann wrote the essay in an enrolment that has ended, the predecessor Eve's.
ANN = UUID("a0000000-0000-4000-8000-000000000003")
EVE = UUID("a0000000-0000-4000-8000-000000000008")
ESSAY = UUID("b0000000-0000-4000-8000-000000000001")
ROLES: tuple[Role, ...] = ("optio_owner", "spark_service")


@pytest.fixture(params=ROLES)
async def beside(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Beside]:
    async with serve_beside(settings, request.param) as running:
        yield running


async def test_a_childs_work_moves_to_the_account_that_did_it_before(beside: Beside) -> None:
    """What the predecessor wrote is no revision: it stays behind, and is not paid again."""
    spark, browser, key = beside.spark, beside.spark.browser, beside.key
    link, of_ann = (f"/internal/v1/students/{each}/link" for each in (EVE, ANN))
    for each in (link, of_ann):
        assert (await browser.delete(each, headers=key)).status_code == 204
    child = await spark.sign_in()
    work = submission(child, Assignment(ESSAY, "essay_1", "")) | {"spark_course_id": None}
    handed_in = await spark.submit_form(work, Part("file", pdf(), "essay.pdf"))
    assert handed_in.status_code == 200, handed_in.text
    said = {"spark_user_id": child.spark_user_id, "from": child.user_id}
    would = await browser.post(of_ann, json=said | {"dry_run": True}, headers=key)
    assert len(would.json()["conflicts"]) == 1, would.text
    refused = await browser.post(link, json=said, headers=key)
    assert_problem(refused, 409, "account_link_forbidden")
    moved = await browser.post(link, json=said | {"prefer": "moved"}, headers=key)
    assert (moved.status_code, moved.json()["moved"]["merged"]) == (200, 1), moved.text
    [completion] = await beside.rows(
        "select c.id, c.evidence_text, d.id as document from quest_task_completions c"
        " join user_task_evidence_documents d using (user_id, task_id) where user_id = :eve",
        eve=EVE,
    )
    assert completion.evidence_text.endswith(f"{completion.document})")
    shown = await browser.get(f"/internal/v1/completions/{completion.id}", headers=key)
    contents = [block["content"] for block in shown.json()["blocks"]]
    assert [each.get("text") or each["filename"] for each in contents] == [
        *(work["submission_text"], "essay.pdf", "My essay.", "essay.pdf")
    ]
    async with httpx.AsyncClient(trust_env=False) as reader:
        assert (await reader.get(contents[1]["url"])).content == pdf()
    paid = "select coalesce(sum(xp_amount), 0) from user_skill_xp where user_id = :of"
    assert await beside.rows(paid, of=EVE) == [(150,)]
    assert await beside.rows(paid, of=child.user_id) == [(0,)]
    erased = await browser.delete(f"/internal/v1/students/{child.user_id}", headers=key)
    assert erased.status_code == 200, erased.text
    later = (await spark.submit(work | {"submission_text": "Corrected."})).json()
    assert (later["completion_id"], later["revision"]) == (str(completion.id), 2)
    assert later["xp_awarded"] == 0


async def test_the_role_fits_every_requirement(beside: Beside) -> None:
    ready = await beside.spark.browser.get("/readyz")
    assert (ready.status_code, ready.json()["differences"]) == (200, [])
    await sweep(beside.resources)


@pytest.mark.parametrize("role", ROLES)
async def test_in_the_older_shape_a_new_student_signs_in(settings: Settings, role: Role) -> None:
    async with serve_beside(settings, role, shape="2025_12") as beside:
        made = await beside.spark.sign_in()
    assert made.access_token
