"""Once a year a school is told what is held of it, what went and what comes due: by counts."""

import csv
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from app.clock import moment_of
from app.privacy.expire_submissions import expire_submissions
from app.privacy.report_expiry import report_expiry
from tests.support.commands import run_on
from tests.support.evidence import body_of
from tests.support.families import Family
from tests.support.roster import Course, sync_course
from tests.support.spark import submission


async def hand_in(family: Family, course: Course, times: int) -> datetime:
    """When the first of them was recorded."""
    student = await family.spark.sign_in()
    answers = [
        body_of(await family.spark.submit(submission(student, course.assignment)))
        for _ in range(times)
    ]
    return moment_of(UUID(answers[0]["submission_id"]))


async def reported(family: Family, org_id: str, **asked: Any) -> dict[str, Any]:
    settings = family.settings.model_copy(update={"submission_retention_days": 40})
    rows = await report_expiry(family.resources.sessions, settings, **asked)
    return next(row for row in rows if row["spark_org_id"] == org_id)


async def test_each_organisation_is_counted_by_itself(family: Family) -> None:
    schools = [f"org_{uuid4().hex}" for _ in range(2)]
    courses = [await sync_course(family.spark, org_id=school) for school in schools]
    came = [
        await hand_in(family, course, times) for course, times in zip(courses, (2, 1), strict=True)
    ]
    hold = {"spark_org_id": schools[1], "reason": "A lawsuit"}
    held = await family.client.post("/internal/v1/holds", json=hold, headers=family.main_app)
    body_of(held)
    nothing = dict.fromkeys(("removed_submissions", "removed_files", "removed_blocks"), 0)
    there = [
        {"year": at.year, "oldest": at.date().isoformat(), "files": 0, **nothing} for at in came
    ]
    now = came[0]
    assert await reported(family, schools[0], year=now.year, now=now) == there[0] | {
        "spark_org_id": schools[0],
        "submissions": 2,
        "received": 2,
        "on_hold": 0,
        "due": 2,
    }
    assert await reported(family, schools[1], year=came[1].year, now=now) == there[1] | {
        "spark_org_id": schools[1],
        "submissions": 1,
        "received": 1,
        "on_hold": 1,
        "due": 0,
    }
    before = await reported(family, schools[0], year=now.year - 1, now=now - timedelta(days=330))
    assert (before["submissions"], before["received"], before["due"]) == (2, 0, 0)


async def test_what_went_is_counted_in_its_year(family: Family) -> None:
    await family.stores.execute("DELETE FROM spark.expiry_notices")
    school = f"org_{uuid4().hex}"
    await hand_in(family, await sync_course(family.spark, org_id=school), 2)
    settings = family.settings.model_copy(update={"submission_retention_days": 40})
    now = datetime.now(tz=UTC)
    for days in (12, 42):
        later = now + timedelta(days=days)
        await expire_submissions(family.resources.sessions, settings, now=later)
    row = await reported(family, school, year=later.year, now=later)
    assert (row["submissions"], row["oldest"], row["due"]) == (0, None, 0)
    assert [row[f"removed_{name}"] for name in ("submissions", "files", "blocks")] == [2, 0, 1]


async def test_the_command_writes_csv_or_json(family: Family) -> None:
    await hand_in(family, family.course, 1)
    formula = f"=1+{uuid4().hex}"
    await hand_in(family, await sync_course(family.spark, org_id=formula), 1)
    run = run_on(family.settings)
    said = await run("retention", "report")
    assert said.exit_code == 0, said.stderr
    rows = list(csv.DictReader(said.stdout.splitlines()))
    [row] = [row for row in rows if row["spark_org_id"] == family.course.spark_org_id]
    assert int(row["submissions"]) > 0
    assert row["due"] == ""  # nothing, where SUBMISSION_RETENTION_DAYS is not set
    assert f"'{formula}" in {row["spark_org_id"] for row in rows}
    lines = (await run("retention", "report", "--year", "2025", "--json")).stdout.splitlines()
    assert {json.loads(line)["year"] for line in lines} == {2025}
