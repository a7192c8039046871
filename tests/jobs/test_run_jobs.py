"""Jobs in a real database: done once they are committed, in order, by whoever is there."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Row, func, select, update

from app.database import Sessions
from app.jobs.enqueue import enqueue
from app.jobs.lease import Lease, LeaseLostError, claim, finish, free_lapsed
from app.jobs.run_jobs import JobKind, run_jobs, work_off
from app.jobs.settle import WAITS, Outcome, settle
from app.jobs.targets import PAUSES_AFTER, change_target
from app.models import Job, JobTarget
from tests.support.stored import eventually

DONE = Outcome("done", "delivered")
AGAIN, REFUSED, DEAD = (
    Outcome("again", "spark_500"),
    Outcome("refused", "spark_401"),
    Outcome("dead", "spark_404"),
)


@dataclass(eq=False)
class Bench:
    """A kind and a target that only one test uses, and what was done of them."""

    sessions: Sessions
    kind: str = field(default_factory=lambda: uuid4().hex)
    target: str = field(default_factory=lambda: uuid4().hex)
    outcomes: list[Outcome] = field(default_factory=list)
    begun: list[Any] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def order(self, key: str = "thing", number: int = 0) -> None:
        async with self.sessions() as session, session.begin():
            payload = {"number": number}
            await enqueue(session, self.kind, key, target=self.target, payload=payload)

    async def do(self, lease: Lease) -> None:
        """The next of `outcomes`; when there is none, it is done."""
        self.begun.append(lease.payload["number"])
        self.entered.set()
        await self.gate.wait()
        outcome = self.outcomes.pop(0) if self.outcomes else DONE
        async with self.sessions() as session, session.begin():
            await settle(session, lease, outcome)

    def kinds(self, places: int = 4) -> dict[str, JobKind]:
        return {self.kind: JobKind(self.do, places)}

    async def work_off(self, places: int = 4) -> int:
        return await work_off(self.sessions, self.kinds(places), owner=uuid4())

    async def jobs(self) -> Sequence[Row[Any]]:
        async with self.sessions() as session, session.begin():
            found = await session.execute(
                select(Job).where(Job.kind == self.kind).order_by(Job.key)
            )
            return found.all()

    async def states(self) -> list[str]:
        return [job.state for job in await self.jobs()]

    async def change(self, **values: Any) -> None:
        async with self.sessions() as session, session.begin():
            await session.execute(update(Job).where(Job.kind == self.kind).values(**values))

    async def come_due(self) -> None:
        await self.change(run_at=func.now())

    async def end_pause(self) -> None:
        async with self.sessions() as session, session.begin():
            whose = update(JobTarget).where(JobTarget.name == self.target)
            await session.execute(whose.values(paused_until=func.now()))

    async def target_state(self) -> Any:
        async with self.sessions() as session, session.begin():
            found = await session.execute(
                select(
                    JobTarget.state,
                    JobTarget.reason,
                    (JobTarget.paused_until - func.now()).label("pause"),
                ).where(JobTarget.name == self.target)
            )
            return found.one()


@pytest.fixture
def bench(sessions: Sessions) -> Bench:
    return Bench(sessions)


async def test_a_job_is_there_once_its_transaction_commits(bench: Bench) -> None:
    async def order_and_fail() -> None:
        async with bench.sessions() as session, session.begin():
            await enqueue(session, bench.kind, "undone", payload={"number": 1})
            raise LookupError

    with pytest.raises(LookupError):
        await order_and_fail()
    assert await bench.work_off() == 0
    await bench.order("done", 2)
    assert await bench.work_off() == 1
    assert (bench.begun, await bench.jobs()) == ([2], [])


async def test_of_what_waits_for_one_thing_the_newest_is_done(bench: Bench) -> None:
    for number in range(3):
        await bench.order("thing", number)
    assert await bench.work_off() == 1
    assert bench.begun == [2]


async def test_what_is_newer_waits_until_the_older_has_ended(bench: Bench) -> None:
    bench.gate.clear()
    await bench.order("thing", 1)
    workers = [asyncio.create_task(bench.work_off())]
    await bench.entered.wait()
    await bench.order("thing", 2)
    workers += [asyncio.create_task(bench.work_off()) for _ in range(2)]
    assert await asyncio.gather(*workers[1:]) == [0, 0]
    bench.gate.set()
    await workers[0]
    assert bench.begun == [1, 2]


@pytest.mark.parametrize("outcome", [AGAIN, DEAD])
async def test_a_failure_gives_way_to_what_is_newer(bench: Bench, outcome: Outcome) -> None:
    bench.outcomes = [outcome]
    bench.gate.clear()
    await bench.order("thing", 1)
    worker = asyncio.create_task(bench.work_off())
    await bench.entered.wait()
    await bench.order("thing", 2)
    bench.gate.set()
    await worker
    assert (bench.begun, await bench.jobs()) == ([1, 2], [])


async def test_several_workers_do_each_of_many_once(bench: Bench) -> None:
    await asyncio.gather(*(bench.order(str(number), number) for number in range(60)))
    done = await asyncio.gather(*(bench.work_off(places=3) for _ in range(3)))
    assert (sum(done), sorted(bench.begun), await bench.jobs()) == (60, [*range(60)], [])


async def test_no_more_run_at_once_than_there_are_places(bench: Bench) -> None:
    bench.gate.clear()
    for number in range(5):
        await bench.order(str(number))
    worker = asyncio.create_task(run_jobs(bench.sessions, bench.kinds(2), owner=uuid4()))

    async def two_run() -> bool:
        return (await bench.states()).count("running") == 2

    await eventually(two_run)
    assert len(bench.begun) == 2
    bench.gate.set()

    async def all_are_done() -> bool:
        return not await bench.jobs()

    await eventually(all_are_done)
    worker.cancel()
    with suppress(asyncio.CancelledError):
        await worker


# ---------------------------------------------------------------------------- failures


async def test_a_job_is_tried_again_later_each_time_and_then_is_dead(bench: Bench) -> None:
    bench.outcomes = [AGAIN] * len(WAITS)
    await bench.order()
    for attempt in range(1, len(WAITS)):
        await bench.change(target=None)  # its pauses are another matter
        assert await bench.work_off() == 1
        [job] = await bench.jobs()
        assert (job.state, job.attempts, job.reason) == ("waiting", attempt, "spark_500")
        wait = job.run_at - await now(bench)
        assert WAITS[attempt] / 2 - timedelta(seconds=2) < wait <= WAITS[attempt]
        await bench.come_due()
    assert await bench.work_off() == 1
    [job] = await bench.jobs()
    assert (job.state, job.attempts, job.reason) == ("dead", len(WAITS), "spark_500")
    assert await bench.work_off() == 0


async def now(bench: Bench) -> datetime:
    async with bench.sessions() as session, session.begin():
        found: datetime = (await session.execute(select(func.now()))).scalar_one()
        return found


@pytest.mark.parametrize(
    ("asked", "waited"),
    [(timedelta(minutes=10), timedelta(minutes=10)), (timedelta(days=9), timedelta(hours=24))],
)
async def test_who_asks_for_time_gets_it_for_a_day_at_most(
    bench: Bench, asked: timedelta, waited: timedelta
) -> None:
    bench.outcomes = [AGAIN._replace(wait=asked)]
    await bench.order()
    await bench.work_off()
    [job] = await bench.jobs()
    assert abs(job.run_at - await now(bench) - waited) < timedelta(seconds=30)


async def test_what_is_ordered_again_does_what_died(bench: Bench) -> None:
    bench.outcomes = [DEAD]
    await bench.order()
    await bench.work_off()
    assert await bench.states() == ["dead"]
    await bench.order("thing", 2)
    [job] = await bench.jobs()
    assert (job.state, job.attempts, job.reason) == ("waiting", 0, None)
    assert await bench.work_off() == 1


async def test_a_failure_that_nobody_foresaw_puts_one_job_off(bench: Bench) -> None:
    async def fail(_: Lease) -> None:
        raise LookupError

    await bench.order("one")
    await work_off(bench.sessions, {bench.kind: JobKind(fail, 1)}, owner=uuid4())
    [job] = await bench.jobs()
    assert (job.state, job.reason, job.attempts) == ("waiting", "internal_error", 1)


# ---------------------------------------------------------------------------- workers end


async def test_what_a_killed_worker_held_is_done_by_another(bench: Bench) -> None:
    await bench.order()
    assert len(await claim(bench.sessions, {bench.kind: 1}, owner=uuid4())) == 1
    await free_lapsed(bench.sessions)
    assert await bench.work_off() == 0
    await bench.change(lease_until=func.now() - timedelta(seconds=1))
    await free_lapsed(bench.sessions)
    assert await bench.work_off() == 1


async def test_who_lost_the_lease_writes_nothing(bench: Bench) -> None:
    await bench.order()
    [lost] = await claim(bench.sessions, {bench.kind: 1}, owner=uuid4())
    await bench.change(lease_until=func.now() - timedelta(seconds=1))
    await free_lapsed(bench.sessions)
    [lease] = await claim(bench.sessions, {bench.kind: 1}, owner=uuid4())
    with pytest.raises(LeaseLostError):
        async with bench.sessions() as session, session.begin():
            await finish(session, lost)
    assert await bench.states() == ["running"]
    async with bench.sessions() as session, session.begin():
        await finish(session, lease)


async def test_a_lapsed_job_gives_way_to_what_is_newer(bench: Bench) -> None:
    await bench.order("thing", 1)
    await claim(bench.sessions, {bench.kind: 1}, owner=uuid4())
    await bench.change(lease_until=func.now() - timedelta(seconds=1))
    await bench.order("thing", 2)
    await free_lapsed(bench.sessions)
    assert (await bench.work_off(), bench.begun) == (1, [2])


async def test_a_job_that_ends_its_process_dies_of_it(bench: Bench) -> None:
    await bench.order()
    await bench.change(attempts=len(WAITS))  # as claims that nobody ended count
    await bench.work_off()
    [job] = await bench.jobs()
    assert (job.state, job.reason, bench.begun) == ("dead", "gave_up", [])


async def test_a_worker_that_is_stopped_gives_its_jobs_back(bench: Bench) -> None:
    bench.gate.clear()
    await bench.order()
    worker = asyncio.create_task(run_jobs(bench.sessions, bench.kinds(), owner=uuid4()))
    await bench.entered.wait()
    worker.cancel()
    with suppress(asyncio.CancelledError):
        await worker
    [job] = await bench.jobs()
    assert (job.state, job.attempts, job.reason) == ("waiting", 0, "stopped")


# ---------------------------------------------------------------------------- targets


async def test_a_target_that_fails_pauses_and_one_job_tries_it(bench: Bench) -> None:
    bench.outcomes = [AGAIN] * (PAUSES_AFTER + 1)
    for number in range(20):
        await bench.order(f"{number:02}", number)
    assert await bench.work_off(places=1) == PAUSES_AFTER
    state = await bench.target_state()
    assert (state.state, state.reason) == ("paused", "spark_500")
    assert timedelta(seconds=20) < state.pause <= timedelta(seconds=30)
    await bench.come_due()
    assert await bench.work_off() == 0
    await bench.end_pause()
    assert await bench.work_off() == 1  # fails: the pause is twice as long
    assert timedelta(seconds=45) < (await bench.target_state()).pause <= timedelta(seconds=60)
    await bench.come_due()
    await bench.end_pause()
    assert await bench.work_off() == 20
    assert ((await bench.target_state()).state, await bench.jobs()) == ("open", [])


async def test_one_worker_of_many_tries_a_target_whose_pause_is_over(bench: Bench) -> None:
    bench.outcomes = [AGAIN] * (PAUSES_AFTER + 1)
    for number in range(20):
        await bench.order(f"{number:02}")
    await bench.work_off(places=1)
    await bench.come_due()
    await bench.end_pause()
    assert sum(await asyncio.gather(*(bench.work_off() for _ in range(4)))) == 1


async def test_a_target_that_does_not_know_us_costs_no_job_an_attempt(bench: Bench) -> None:
    bench.outcomes = [REFUSED] * 3
    for number in range(10):
        await bench.order(str(number))
    assert await bench.work_off(places=3) == 3
    assert (await bench.target_state()).state == "refused"
    assert {(job.state, job.attempts) for job in await bench.jobs()} == {("waiting", 0)}
    assert await bench.work_off() == 0
    await bench.end_pause()
    assert await bench.work_off() == 10
    assert ((await bench.target_state()).state, await bench.jobs()) == ("open", [])


async def test_a_pause_made_by_hand_is_ended_by_hand(bench: Bench) -> None:
    bench.gate.clear()
    await bench.order("in hand")
    worker = asyncio.create_task(bench.work_off())
    await bench.entered.wait()
    await change_target(bench.sessions, bench.target, "paused", caller="test")
    bench.gate.set()
    await worker  # its success opens nothing
    await bench.order("waits")
    assert await bench.work_off() == 0
    assert (await bench.target_state()).state == "paused"
    await change_target(bench.sessions, bench.target, "open", caller="test")
    assert await bench.work_off() == 1
