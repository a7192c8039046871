"""What `/metrics` says of jobs and of calls, as an alert reads it (OPERATOR 7)."""

from datetime import timedelta

from sqlalchemy import func, update

from app.models import Job
from app.worker import sweep
from tests.conftest import create_assignment
from tests.grades.conftest import Grading
from tests.support.metrics import scrape

WAITING, LATE, DEAD = (
    f'spark_jobs_{name}{{kind="grade"}}' for name in ("waiting", "oldest_waiting_seconds", "dead")
)
OPEN = 'spark_target_open{target="spark"}'


async def told(grading: Grading, *, swept: bool = True) -> dict[str, float]:
    if swept:
        await sweep(grading.elsewhere.running.app.state.resources)
    return await scrape(grading.elsewhere.spark.browser, grading.main_app)


async def give(grading: Grading) -> None:
    student = await grading.student()
    task_id = await grading.task_of(student, await create_assignment(grading.sessions))
    assert (await grading.give(student, task_id, 80)).status_code == 202


async def due_in(grading: Grading, minutes: int) -> None:
    async with grading.sessions() as session, session.begin():
        moment = func.now() + timedelta(minutes=minutes)
        await session.execute(update(Job).where(Job.kind == "grade").values(run_at=moment))


async def test_a_sweep_tells_what_waits_how_late_it_is_and_what_died_row_7(
    grading: Grading,
) -> None:
    await give(grading)
    await due_in(grading, 5)
    found = await told(grading)
    assert (found[WAITING], found[LATE], found[DEAD]) == (1, 0, 0)
    await due_in(grading, -20)
    assert (await told(grading, swept=False))[LATE] == 0
    assert 1200 <= (await told(grading))[LATE] < 1500
    await grading.fake.script("/grades", {"status": 404})
    await grading.work_off()
    found = await told(grading)
    assert (found[WAITING], found[LATE], found[DEAD]) == (0, 0, 1)
    [job] = await grading.jobs()
    assert (await grading.ask("POST", f"jobs/{job.id}/retry")).status_code < 300
    await grading.work_off()
    found = await told(grading)
    assert (found[WAITING], found[LATE], found[DEAD]) == (0, 0, 0)


async def test_what_waits_for_its_target_is_told_of_the_target_row_7(grading: Grading) -> None:
    await give(grading)
    await grading.fake.script("/grades", {"status": 401})
    await grading.work_off()
    await due_in(grading, -20)
    found = await told(grading)
    assert (found[WAITING], found[LATE], found[OPEN]) == (1, 0, 0)
    await grading.come_due()
    await grading.work_off()
    assert (await told(grading))[OPEN] == 1


async def test_calls_count_by_path_and_outcome_row_7(grading: Grading) -> None:
    names = [
        f'spark_api_calls_total{{code="{code}",path="/grades"}}'
        for code in ("delivered", "spark_503")
    ]
    before = await told(grading, swept=False)
    await grading.fake.script("/grades", {"status": 503})
    await give(grading)
    for _ in range(2):
        await grading.work_off()
        await grading.come_due()
    after = await told(grading, swept=False)
    assert [after[name] - before.get(name, 0) for name in names] == [1, 1]
