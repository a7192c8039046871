"""Parts of a process fail, and two processes work at once (FAULTS L, P160, P193)."""

import asyncio
import json

import pytest

from app.settings import Settings
from app.worker import run_worker
from tests.faults.conftest import Faulty, Writer, assert_invariants, until_answered
from tests.support.canaries import CANARIES
from tests.support.fault_proxy import ALWAYS, Act, Aim
from tests.support.forked import Forks
from tests.support.homework import note
from tests.support.stored import eventually
from tests.support.stores import Stores

MEBIBYTE = 1024 * 1024


@pytest.mark.parametrize("row", ["P193"])
async def test_a_worker_whose_pass_fails_unexpectedly_says_so_once_and_goes_on(
    faulty: Faulty, row: str
) -> None:
    """A table is away for a moment: nothing that a sweep reckons with."""
    homework = await faulty.write([note(2000)])
    faulty.store.aim(Aim(Act.LOSE_ANSWER, b"PUT /", times=ALWAYS))
    assert (await faulty.send(homework)).status_code == 503
    await faulty.store.restore()
    before = len(CANARIES.lines)

    def failures() -> list[str]:
        return [line for line in CANARIES.lines[before:] if '"sweep_failed"' in line]

    async def has_failed() -> bool:
        return bool(failures())

    await faulty.stores.execute("ALTER TABLE spark.uploads RENAME TO elsewhere")
    worker = asyncio.create_task(run_worker(faulty.running.app.state.resources))
    try:
        await eventually(has_failed)
    finally:
        await faulty.stores.execute("ALTER TABLE spark.elsewhere RENAME TO uploads")
    (line,) = failures()
    assert json.loads(line)["error_class"] == "ProgrammingError"
    assert not worker.done()
    worker.cancel()
    await asyncio.wait([worker])
    await faulty.assert_invariants()


@pytest.mark.soak
@pytest.mark.parametrize("row", ["P160"])
async def test_twenty_identical_forms_at_two_processes_leave_one_set_of_objects(
    forks: Forks, writer: Writer, stores: Stores, leased: Settings, row: str
) -> None:
    both = [await forks.start(), await forks.start()]
    homework = await writer.write(both[0], [note(10 * MEBIBYTE)])
    answers = await asyncio.gather(
        *(homework.send_once(both[number % 2].url) for number in range(20))
    )
    assert {status for status, _ in answers} <= {200, 409, 503}
    answered = [homework.answered(body) for status, body in answers if status == 200]
    answered += [await until_answered(homework, serving) for serving in both]
    assert len(await stores.execute(OBJECTS.format(homework.spark_user_id))) == 1
    await assert_invariants(stores, leased, answered)


OBJECTS = (
    "SELECT u.id FROM spark.uploads u JOIN lms_integrations l ON l.user_id = u.user_id"
    " WHERE l.lms_user_id = '{}' AND u.state = 'committed'"
)
