"""What the service does, as the role that has only its grants, and as the owner."""

from collections.abc import AsyncIterator

import pytest

from app.settings import Settings
from app.worker import sweep
from tests.support.beside import Beside, serve_beside
from tests.support.bodies import Part
from tests.support.roster import counts, entry, roster, send, sync_course
from tests.support.samples import pdf
from tests.support.service_role import Role
from tests.support.spark import submission

ROLES: tuple[Role, ...] = ("optio_owner", "spark_service")


@pytest.fixture(params=ROLES)
async def beside(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Beside]:
    async with serve_beside(settings, request.param) as running:
        yield running


async def test_a_students_life(beside: Beside) -> None:
    spark, browser, key = beside.spark, beside.spark.browser, beside.key
    course = await sync_course(spark)
    student = await spark.sign_in(courses=[course.spark_course_id])
    for answer in (
        await spark.submit(submission(student, course.assignment)),
        await spark.submit_form(
            submission(student, course.assignment), Part("file", pdf(), "essay.pdf")
        ),
    ):
        assert answer.status_code == 200, answer.text
    leaves = roster(course, entry(student.spark_user_id, "drop"))
    assert counts(await send(spark, leaves))["dropped"] == 1
    await sweep(beside.resources)
    about = f"/internal/v1/students/{student.user_id}"
    for path in (about, f"{about}/xp", f"{about}/export", "/internal/v1/events", "/readyz"):
        assert (await browser.get(path, headers=key)).status_code == 200, path
    erased = await browser.delete(about, headers=key)
    assert (erased.status_code, erased.json()["completed_at"] is not None) == (200, True)


async def test_the_role_fits_every_requirement(beside: Beside) -> None:
    ready = await beside.spark.browser.get("/readyz")
    assert (ready.status_code, ready.json()["differences"]) == (200, [])
    await sweep(beside.resources)


@pytest.mark.parametrize("role", ROLES)
async def test_in_the_older_shape_a_new_student_signs_in(settings: Settings, role: Role) -> None:
    async with serve_beside(settings, role, shape="2025_12") as beside:
        made = await beside.spark.sign_in()
    assert made.access_token
