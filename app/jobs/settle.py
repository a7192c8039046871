"""What came of calling a target, and what becomes of the job by that (DESIGN R47)."""

from collections.abc import Sequence
from datetime import timedelta
from secrets import SystemRandom
from typing import Literal, NamedTuple

from app.database import Session, Sessions, retried
from app.fetch import MAX_RETRY_AFTER_SECONDS
from app.jobs.lease import Lease, bury, finish, put_off
from app.jobs.targets import miss_target, reach_target, refuse_target

# Before each attempt (SECURITY D21); half of it is left to chance, so that not all come at once.
WAITS = tuple(
    timedelta(seconds=seconds)
    for seconds in (0, 5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 10 * 3600)
)
LONGEST_WAIT = timedelta(seconds=MAX_RETRY_AFTER_SECONDS)
CHANCE = SystemRandom()


class Outcome(NamedTuple):
    """`again`: it may succeed later, not before `wait`. `refused`: no job's fault, so that all of
    the target wait. `dead`: a repetition would be answered the same. `code` says why.
    """

    verdict: Literal["done", "again", "refused", "dead"]
    code: str
    wait: timedelta = timedelta(0)


async def settle(
    session: Session, lease: Lease, outcome: Outcome, *, waits: Sequence[timedelta] = WAITS
) -> Literal["done", "waiting", "dead"]:
    """What the job is by that. For the transaction that writes the outcome; raises LeaseLostError.

    It is dead, too, when it was tried as often as `waits` has entries.
    """
    verdict, code, wait = outcome
    if lease.target:
        await _tell_target(session, lease.target, outcome)
    if verdict == "done":
        await finish(session, lease)
        return "done"
    if verdict == "refused":
        await put_off(session, lease, reason=code, after=timedelta(0), counts=False)
        return "waiting"
    if verdict == "dead" or lease.attempts >= len(waits):
        await bury(session, lease, reason=code)
        return "dead"
    after = waits[lease.attempts] * CHANCE.uniform(0.5, 1)
    await put_off(session, lease, reason=code, after=max(after, min(wait, LONGEST_WAIT)))
    return "waiting"


@retried
async def settle_alone(
    sessions: Sessions, lease: Lease, outcome: Outcome
) -> Literal["done", "waiting", "dead"]:
    """Where nothing else is to be written with it."""
    async with sessions() as session, session.begin():
        return await settle(session, lease, outcome)


async def _tell_target(session: Session, target: str, outcome: Outcome) -> None:
    if outcome.verdict == "again":
        await miss_target(session, target, reason=outcome.code)
    elif outcome.verdict == "refused":
        await refuse_target(session, target, reason=outcome.code)
    else:
        await reach_target(session, target)
