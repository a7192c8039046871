"""What an operator asks of jobs and of Spark's API from a shell."""

import json

import pytest

from tests.conftest import create_assignment
from tests.grades.conftest import Grading
from tests.support.commands import Run, run_on


@pytest.fixture
def run(grading: Grading) -> Run:
    return run_on(grading.elsewhere.running.settings)


async def dead_grade(grading: Grading) -> str:
    """The id of its job."""
    await grading.fake.script("/grades", {"status": 404})
    student, assignment = await grading.student(), await create_assignment(grading.sessions)
    await grading.give(student, await grading.task_of(student, assignment), 80)
    await grading.work_off()
    [job] = await grading.jobs()
    return str(job.id)


async def test_a_dead_job_is_listed_and_begun_anew(grading: Grading, run: Run) -> None:
    job = await dead_grade(grading)
    listed = await run("jobs", "list", "--kind", "grade", "--state", "dead")
    counted, row = [line.split() for line in listed.stdout.splitlines()[1::2]]
    assert counted[:4] == ["1", "grade", "dead", "spark_404"]
    assert row[:4] == [job, "grade", "dead", "spark_404"]
    done = await run("jobs", "retry", job)
    assert (done.exit_code, done.stdout) == (0, "It begins anew.\n")
    again = await run("jobs", "retry", job)
    assert (again.exit_code, again.stderr.split(":")[0]) == (1, "job_not_dead")
    await grading.work_off()
    assert await grading.jobs() == []


async def test_dead_jobs_that_are_alike_begin_anew(grading: Grading, run: Run) -> None:
    await dead_grade(grading)
    said = {"spark_410": "0 begin anew.\n", "spark_404": "1 begin anew.\n"}
    for reason, words in said.items():
        done = await run("jobs", "retry", "--kind", "grade", "--reason", reason)
        assert (done.exit_code, done.stdout) == (0, words)
    assert (await run("jobs", "retry")).exit_code == 1


async def test_a_job_is_discarded(grading: Grading, run: Run) -> None:
    job = await dead_grade(grading)
    done = await run("jobs", "discard", job)
    assert (done.exit_code, done.stdout) == (0, "It will not be done.\n")
    assert await grading.jobs() == []
    assert (await run("jobs", "discard", job)).exit_code == 1


async def test_a_target_is_paused_and_resumed(grading: Grading, run: Run) -> None:
    for command, state in (("pause", "paused"), ("resume", "open")):
        assert (await run("jobs", command, "spark")).exit_code == 0
        listed = (await run("jobs", "targets")).stdout.splitlines()[1:]
        [target] = [line for line in listed if line.startswith("spark ")]
        assert target.split()[:2] == ["spark", state]
    assert (await run("jobs", "pause", "nobody.example")).exit_code == 1


async def test_the_key_is_tried_and_what_waits_goes_on(grading: Grading, run: Run) -> None:
    await run("jobs", "pause", "spark")
    done = await run("grades", "test")
    assert done.exit_code == 0
    assert done.stdout.startswith("200, delivered, ")
    assert done.stdout.endswith(" ms\nGrades can be sent.\n")
    assert "open" in (await run("jobs", "targets")).stdout


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"status": 401}, "401, spark_401, "),
        ({"status": 404}, "404, spark_404, "),
        ({"act": "drop"}, "no answer, spark_cut_short, "),
    ],
    ids=["key", "no ping", "no answer"],
)
async def test_what_is_wrong_with_the_key_is_said(
    grading: Grading, run: Run, fault: dict[str, object], words: str
) -> None:
    await grading.fake.script("/ping", fault)
    done = await run("grades", "test")
    assert done.exit_code == 1
    assert done.stdout.startswith(words)
    assert grading.secret not in done.output
    assert grading.key not in done.output


async def test_a_made_up_grade_is_of_nobody(grading: Grading, run: Run) -> None:
    await grading.fake.change(unknown_students=["optio_test"])
    done = await run("grades", "try")
    assert done.exit_code == 1
    assert "404 after" in done.stdout
    assert "student_unknown" in done.stdout
    assert await grading.fake.gradebook() == {}
    assert await grading.jobs() == []


async def test_a_student_who_is_named_gets_one_only_when_that_is_said(
    grading: Grading, run: Run
) -> None:
    words = ("grades", "try", "--student", "tester", "--assignment", "a1", "--score", "61.5")
    refused = await run(*words)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert await grading.fake.requests() == []
    done = await run(*words, "--change-gradebook")
    assert done.exit_code == 0
    [(place, grade)] = (await grading.fake.gradebook()).items()
    assert (place, grade["score"]) == (("tester", "", "a1"), 61.5)
    assert json.dumps(grade, separators=(",", ":")) in done.stdout
    assert done.stdout.endswith("Spark took it.\n")


async def test_without_spark_there_is_nobody_to_call(run: Run, grading: Grading) -> None:
    nowhere = run_on(grading.elsewhere.running.settings.model_copy(update={"spark_api_url": None}))
    done = await nowhere("grades", "test")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("target_not_configured: ")
