"""#13: nothing there forbids a user a second Spark id. Eve of 20_rows.sql has two."""

import io
import json
import zipfile
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from app.settings import Settings
from tests.support.beside import Beside, serve_beside
from tests.support.people import BEN, EVE
from tests.support.roster import new_student, sync_course
from tests.support.roster_files import IMPORTS, Importer, counted, flat, whole_list
from tests.support.service_role import Role

STUDENTS = "/internal/v1/students"
ROLES: tuple[Role, ...] = ("optio_owner", "spark_service")


@pytest.fixture(params=ROLES)
async def beside(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Beside]:
    async with serve_beside(settings, request.param) as running:
        yield running


def named(content: bytes, table: str, column: str) -> Iterator[Any]:
    """Of an export."""
    lines = zipfile.ZipFile(io.BytesIO(content)).read(f"{table}.jsonl").decode().splitlines()
    return (json.loads(line)[column] for line in lines)


async def test_the_newest_is_shown_and_both_are_exported_and_erased(beside: Beside) -> None:
    browser, key = beside.spark.browser, beside.key
    # Rows of a roster name her by either id; the third student stays.
    other = new_student()
    await browser.post(IMPORTS, content=flat("spark_eve", "spark_eve2", other), headers=key)

    shown = await browser.get(f"{STUDENTS}/{EVE}", headers=key)
    assert shown.json()["link"]["spark_user_id"] == "spark_eve2"
    for student in ("spark_eve", "spark_eve2"):
        found = await browser.get(STUDENTS, params={"spark_user_id": student}, headers=key)
        assert [each["user_id"] for each in found.json()["items"]] == [EVE]

    exported = await browser.get(f"{STUDENTS}/{EVE}/export", headers=key)
    assert exported.status_code == 200
    ids = {"spark_eve", "spark_eve2"}
    assert set(named(exported.content, "public.lms_integrations", "lms_user_id")) == ids
    assert set(named(exported.content, "spark.roster_rows", "spark_user_id")) == ids

    for _ in range(2):
        erased = await browser.delete(f"{STUDENTS}/{EVE}", headers=key)
        assert erased.status_code == 200, erased.text
        assert erased.json()["completed_at"]
    assert await beside.rows("select spark_user_id from spark.roster_rows") == [(other,)]
    assert await beside.rows(
        "select count(*) from spark.erasures where user_id is null and spark_user_id is null"
        " and completed_at is not null"
    ) == [(2,)]
    gone = "select from users where id = :id union all select from auth.users where id = :id"
    assert await beside.rows(f"select exists ({gone})", id=EVE) == [(False,)]
    for student in ids:
        explained = await browser.get(
            "/internal/v1/explain",
            params={"spark_user_id": student, "spark_assignment_id": "rain"},
            headers=key,
        )
        assert explained.json()["link"]["reason"] == "erased"


async def test_a_student_of_a_school_is_exported_and_erased(beside: Beside) -> None:
    """#9."""
    browser, key = beside.spark.browser, beside.key
    exported = await browser.get(f"{STUDENTS}/{BEN}/export", headers=key)
    assert set(named(exported.content, "public.users", "id")) == {BEN}
    erased = await browser.delete(f"{STUDENTS}/{BEN}", headers=key)
    assert (erased.status_code, erased.json()["completed_at"] is not None) == (200, True)


async def test_whoever_is_listed_by_one_of_two_ids_is_not_absent(beside: Beside) -> None:
    course = await sync_course(beside.spark)
    importer = Importer(beside.spark.browser, beside.key)
    report = await importer.apply(whole_list(course, "spark_eve2"))
    assert counted(report, "enrollments") == {"enrol": 1}
    report = await importer.apply(whole_list(course, "spark_eve"))
    assert (counted(report, "enrollments"), counted(report, "absent")) == ({"unchanged": 1}, {})
