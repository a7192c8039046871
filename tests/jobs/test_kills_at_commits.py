"""`kill -9` of a worker before and after each COMMIT of a job, those of its claim among them."""

import os
import secrets
from collections import Counter
from collections.abc import Sequence

import pytest

from app.files.order_pictures import PICTURE
from app.main import open_resources
from tests.conftest import create_assignment
from tests.jobs.conftest import Outward
from tests.support.bodies import Part
from tests.support.heic import heic
from tests.support.invariants import NO_FAULTS, find_faults
from tests.support.killed import run_apart
from tests.support.spark import submission
from tests.support.work import do_jobs

pytestmark = pytest.mark.soak
KINDS = ("grade", "download", "receipt")  # in the order in which one follows another
PHOTO = Part("photo", heic(), filename="gauge.heic")


async def prepare(outward: Outward, kind: str) -> None:
    """One job of the kind is due, and nothing else."""
    if kind == "grade":
        await outward.give()
    elif kind == PICTURE:
        student = await outward.elsewhere.spark.sign_in()
        payload = submission(student, await create_assignment(outward.sessions))
        answer = await outward.elsewhere.spark.submit_form(payload, PHOTO)
        assert answer.status_code == 200, answer.text
        await outward.stores.execute("DELETE FROM spark.jobs WHERE kind <> 'picture'")
    else:
        name = f"{secrets.token_hex(4)}.txt"
        await outward.hand_in(await outward.fake.serve_file(name, f"Rain in {name}".encode()))
        before = KINDS[: KINDS.index(kind)]
        await do_jobs(outward.elsewhere.running.app.state.resources, *before)
    assert [job["kind"] for job in await outward.stores.execute("SELECT * FROM spark.jobs")] == [
        kind
    ]


async def work_apart(
    outward: Outward, kind: str, kill_at: int | None = None
) -> Sequence[str] | None:
    async def act() -> None:
        async with open_resources(outward.settings) as opened:
            await do_jobs(opened, kind)

    return await run_apart(act, "commit", "end", kill_at=kill_at)


def choose(moments: Sequence[str]) -> list[int]:
    """Around the claim's COMMIT and the job's last; the very last is of a claim of nothing."""
    if "SOAK" in os.environ:
        return list(range(len(moments)))
    commits = [place for place, moment in enumerate(moments) if moment == "commit"]
    return [commits[0], commits[0] + 1, commits[-2], commits[-2] + 1]


@pytest.mark.parametrize("kind", [*KINDS, PICTURE])
async def test_a_job_is_once_in_effect_wherever_its_worker_was_killed(
    outward: Outward, kind: str
) -> None:
    await outward.fake.forget()
    await outward.stores.execute("DELETE FROM spark.jobs")
    await prepare(outward, kind)
    moments = await work_apart(outward, kind)
    assert moments
    assert moments.count("commit") >= 3
    chosen = choose(moments)
    for place in chosen:
        await outward.go_on()
        await prepare(outward, kind)
        assert await work_apart(outward, kind, kill_at=place) is None
    await outward.go_on()
    assert await outward.stores.execute("SELECT id FROM spark.jobs") == []
    assert await find_faults(outward.stores, []) == NO_FAULTS
    number = len(chosen) + 1
    if kind == "grade":
        assert len(await outward.fake.gradebook()) == len(await outward.fake.effects()) == number
    elif kind == PICTURE:
        made = "SELECT id FROM spark.uploads WHERE derived_from IS NOT NULL"
        assert len(await outward.stores.execute(made)) == number
    else:
        told = Counter(each["submission_id"] for each in await outward.fake.receipts())
        assert list(told.values()) == [1] * number
