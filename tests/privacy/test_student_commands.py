"""The same by command. They run in this process: what a process of its own adds is tested once, in
tests/test_commands.py.
"""

import json
import zipfile
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.commands import NOT_FOUND, Run, run_on
from tests.support.families import Child, Family
from tests.support.spark import SignedIn, submission


@pytest.fixture
def run(family: Family) -> Run:
    return run_on(family.settings)


def names_in(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


async def test_an_export_is_written_whole_or_not_at_all(
    family: Family, run: Run, tmp_path: Path
) -> None:
    child = await family.raise_child()
    written = tmp_path / "student.zip"
    unknown = await run("export-student", str(uuid4()), str(written))
    assert (unknown.exit_code, unknown.stderr) == (1, NOT_FOUND)
    assert names_in(tmp_path) == []
    done = await run("export-student", child.user_id, str(written))
    assert (done.exit_code, done.stdout) == (0, f"{written} is written.\n")
    assert names_in(tmp_path) == [written.name]
    archive = zipfile.ZipFile(written)
    assert archive.testzip() is None
    files = [archive.read(name) for name in archive.namelist() if "/" in name]
    assert sorted(files) == sorted(child.files.values())


async def test_a_student_is_erased_by_either_id_and_again(family: Family, run: Run) -> None:
    child = await family.raise_child()
    by_spark = await run("erase-student", "--spark-user-id", child.spark_user_id)
    assert by_spark.exit_code == 0, by_spark.stderr
    again = await run("erase-student", "--spark-user-id", child.spark_user_id)
    by_user = await run("erase-student", child.user_id)
    assert by_spark.stdout == again.stdout == by_user.stdout
    erased = json.loads(by_user.stdout)
    assert erased["completed_at"]
    assert erased["counts"]["files"] == 2
    assert await family.traces([child]) == []


async def test_who_never_signed_in_is_erased_by_the_spark_id(family: Family, run: Run) -> None:
    """Refused homework and roster rows are kept under it."""
    stranger = f"student_{uuid4().hex}"
    work = submission(SignedIn(stranger, "", "", ""), family.course.assignment)
    assert (await family.spark.submit(work)).status_code == 404
    nameless = Child(SignedIn(stranger, "", "", ""), {}, {stranger, work["submission_text"]})
    await family.import_row(nameless, f"{stranger}@example.com", "Ada", "Example", apply="false")
    assert await family.traces([nameless]) != []
    erased = await run("erase-student", "--spark-user-id", stranger)
    assert erased.exit_code == 0, erased.stderr
    tombstone = json.loads(erased.stdout)
    assert tombstone["completed_at"]
    assert tombstone["counts"] == {"spark.deliveries": 1, "spark.roster_rows": 1}
    assert await family.traces([nameless]) == []
    again = await run("erase-student", "--spark-user-id", stranger)
    assert again.stdout == erased.stdout
    assert (await family.spark.submit(work)).status_code == 404
    assert await family.traces([nameless]) == []
    nobody = await run("erase-student", "--spark-user-id", f"student_{uuid4().hex}")
    assert (nobody.exit_code, nobody.stderr) == (1, NOT_FOUND)


@pytest.mark.parametrize("finding", ["M3"])
async def test_who_is_in_nothing_but_a_text_is_forgotten_there(
    family: Family, run: Run, finding: str
) -> None:
    stranger = f"student_{uuid4().hex}"
    assert (await family.spark.submit({"user_id": stranger})).status_code == 400
    nameless = Child(SignedIn(stranger, "", "", ""), {}, {stranger})
    assert await family.traces([nameless]) != []
    nobody = await run("erase-student", "--spark-user-id", stranger)
    assert (nobody.exit_code, nobody.stderr) == (1, NOT_FOUND)
    assert await family.traces([nameless]) == []


@pytest.mark.parametrize("words", [(), (str(uuid4()), "--spark-user-id", "x")])
async def test_an_erasure_needs_exactly_one_id(run: Run, words: tuple[str, ...]) -> None:
    refused = await run("erase-student", *words)
    assert (refused.exit_code, refused.stdout) == (1, "")


async def test_the_report_says_what_is_held_and_for_how_long(family: Family, run: Run) -> None:
    await family.raise_child()
    report = await run("retention")
    assert report.exit_code == 0, report.stderr
    lines = {line[:20].strip(): line[20:].split() for line in report.stdout.splitlines()}
    assert lines["audit_log"][:2] == ["400", "days"]
    assert lines["activity_personal"][:2] == ["90", "days"]
    assert lines["deliveries"][:2] == ["30", "days"]
    assert int(lines["deliveries"][2]) > 0
    year = f"submissions {lines['deliveries'][3][:4]}"
    assert lines[year][:2] == ["until", "erased"]
