"""The worker's half that does jobs, so many of each kind at once. Any number of workers may run."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn
from uuid import UUID

import structlog

from app.database import FAILURES, Sessions, retried
from app.jobs.lease import LEASE, Lease, LeaseLostError, claim, put_off, renew
from app.jobs.settle import CHANCE, WAITS, Outcome, settle_alone
from app.logs import warn_each_minute

POLL_SECONDS = 1.0
RENEW_SECONDS = LEASE.total_seconds() / 3

log = structlog.get_logger()


@dataclass(frozen=True)
class JobKind:
    """`do` does one job and ends its lease in the transaction that writes the result. It is
    cancelled when the lease is lost. At most `places` run in one process.
    """

    do: Callable[[Lease], Awaitable[None]]
    places: int


async def run_jobs(sessions: Sessions, kinds: Mapping[str, JobKind], *, owner: UUID) -> NoReturn:
    """Until cancelled: what runs then is given back, and what cannot be is freed once its lease is
    over (`free_lapsed`).
    """
    running: dict[asyncio.Task[None], str] = {}
    try:
        while True:
            try:
                await _begin(sessions, kinds, running, owner=owner)
            except Exception as failure:  # noqa: BLE001 - whatever it was, the next claim may do better
                warn_each_minute("jobs_not_claimed", error_class=type(failure).__name__)
            pause = POLL_SECONDS * CHANCE.uniform(0.5, 1.5)
            await _wait(running, pause)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def work_off(sessions: Sessions, kinds: Mapping[str, JobKind], *, owner: UUID) -> int:
    """Do all that is due, once: how many jobs were begun."""
    running: dict[asyncio.Task[None], str] = {}
    done = 0
    while begun := await _begin(sessions, kinds, running, owner=owner):
        done += begun
        await asyncio.gather(*running)
        running.clear()
    return done


async def _begin(
    sessions: Sessions,
    kinds: Mapping[str, JobKind],
    running: dict[asyncio.Task[None], str],
    *,
    owner: UUID,
) -> int:
    busy = Counter(running.values())
    places = {name: kind.places - busy[name] for name, kind in kinds.items()}
    leases = await claim(sessions, places, owner=owner)
    for lease in leases:
        task = asyncio.create_task(_hold(sessions, kinds[lease.kind], lease))
        running[task] = lease.kind
    return len(leases)


async def _wait(running: dict[asyncio.Task[None], str], seconds: float) -> None:
    """Until one ends, or so long."""
    if not running:
        await asyncio.sleep(seconds)
        return
    ended, _ = await asyncio.wait(running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in ended:
        del running[task]


async def _hold(sessions: Sessions, kind: JobKind, lease: Lease) -> None:
    """Do a job as long as it is ours."""
    doing = asyncio.create_task(_do(sessions, kind, lease))
    try:
        while not (await asyncio.wait([doing], timeout=RENEW_SECONDS))[0]:
            with suppress(*FAILURES):  # while the database is away nobody else claims it either
                if not await renew(sessions, lease):
                    doing.cancel()
    except asyncio.CancelledError:
        doing.cancel()
        await asyncio.wait([doing])
        with suppress(LeaseLostError, *FAILURES):
            await asyncio.shield(_give_back(sessions, lease))
        raise


async def _do(sessions: Sessions, kind: JobKind, lease: Lease) -> None:
    """A failure nobody foresaw puts the job off, or ends it when it was tried often enough; one
    that ends its process, too.
    """
    try:
        if lease.attempts > len(WAITS):
            await _fail(sessions, lease, "gave_up")
        else:
            await kind.do(lease)
    except LeaseLostError:
        log.info("job_lost", kind=lease.kind, job_id=str(lease.id))
    except Exception as failure:  # noqa: BLE001 - one job must not end the others
        name = type(failure).__name__
        log.warning("job_failed", kind=lease.kind, job_id=str(lease.id), error_class=name)
        with suppress(LeaseLostError, *FAILURES):
            await _fail(sessions, lease, "internal_error")


async def _fail(sessions: Sessions, lease: Lease, code: str) -> None:
    """Its target is not to blame."""
    await settle_alone(sessions, lease._replace(target=None), Outcome("again", code))


@retried
async def _give_back(sessions: Sessions, lease: Lease) -> None:
    async with sessions() as session, session.begin():
        await put_off(session, lease, reason="stopped", after=timedelta(0), counts=False)
