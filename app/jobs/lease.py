"""A job in the hands of one worker: claimed for a time, then finished, put off or buried."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from app.database import Columns, Session, Sessions, Statement, read_as, retried

LEASE = timedelta(seconds=60)


class LeaseLostError(Exception):
    """The job is another worker's by now, or was ended by a person or an erasure."""


class Lease(NamedTuple):
    """A job for its worker, who has begun it for the `attempts`th time."""

    id: UUID
    owner: UUID
    kind: str
    key: str
    user_id: UUID | None
    target: str | None
    payload: dict[str, Any]
    attempts: int


# ruff: noqa: S608 - of our own words
# Of one thing nothing is begun while an older one runs.
_IS_NEXT = """
j.state = 'waiting' and j.run_at <= now() and not exists (
          select from spark.jobs twin
          where twin.kind = j.kind and twin.key = j.key and twin.state = 'running')"""
# A target that is not open lets one job through when its pause is over; who moves the pause has
# that turn.
_CLAIM = Statement(
    f"""
    with probe as (
      update spark.job_targets t set paused_until = now() + :lease::interval
      where t.state <> 'open' and t.paused_until <= now() and exists (
        select from spark.jobs j
        where j.target = t.name and j.kind = any (:kinds::text[]) and j.state = 'waiting'
          and j.run_at <= now())
      returning t.name),
    due as (
      select found.id from unnest(:kinds, :places::int[]) as free (kind, places)
      cross join lateral (
        select j.id from spark.jobs j
        where j.kind = free.kind and {_IS_NEXT}
          and not exists (
            select from spark.job_targets t where t.name = j.target and t.state <> 'open')
        order by j.run_at limit free.places
        for update skip locked) found
      union all
      select found.id from probe cross join lateral (
        select j.id from spark.jobs j
        where j.target = probe.name and j.kind = any (:kinds) and {_IS_NEXT}
        order by j.run_at limit 1
        for update skip locked) found)
    update spark.jobs set state = 'running', owner = :owner, lease_until = now() + :lease,
      attempts = attempts + 1
    from due where jobs.id = due.id
    returning jobs.id, owner, kind, key, user_id, target, payload::text, attempts
    """
)


async def claim(sessions: Sessions, places: Mapping[str, int], *, owner: UUID) -> list[Lease]:
    """What is due of these kinds, the longest due first, for so many places of each."""
    free = {kind: number for kind, number in places.items() if number > 0}
    if not free:
        return []
    async with sessions() as session, session.begin():
        values = {"kinds": [*free], "places": [*free.values()], "owner": owner, "lease": LEASE}
        return [_read(row) for row in await _CLAIM.send(session, values)]


def _read(row: Columns) -> Lease:
    return read_as(Lease, row)._replace(payload=json.loads(row["payload"]))


_OURS = "id = :id and owner = :owner and state = 'running'"
_RENEW = Statement(f"update spark.jobs set lease_until = now() + :lease where {_OURS} returning id")
_FINISH = Statement(f"delete from spark.jobs where {_OURS} returning id")
# What waits for the same thing is newer and does it; what died of it before is outdated.
_OUTDATED = Statement(
    f"""
    with newer as (
      delete from spark.jobs j where {_OURS} and exists (
        select from spark.jobs n
        where n.kind = j.kind and n.key = j.key and n.state = 'waiting')
      returning id),
    older as (
      delete from spark.jobs o using spark.jobs j
      where j.id = :id and o.kind = j.kind and o.key = j.key and o.state = 'dead')
    select id from newer
    """
)
_PUT_OFF = Statement(
    f"""
    update spark.jobs set state = 'waiting', owner = null, lease_until = null, reason = :reason,
      run_at = now() + :after::interval, attempts = attempts - :uncounted::int
    where {_OURS} returning id
    """
)
_BURY = Statement(
    f"""
    update spark.jobs set state = 'dead', owner = null, lease_until = null, reason = :reason,
      died_at = now()
    where {_OURS} returning id
    """
)


@retried
async def renew(sessions: Sessions, lease: Lease) -> bool:
    """Whether the job is still this worker's."""
    async with sessions() as session, session.begin():
        return bool(await _RENEW.send(session, {**lease._asdict(), "lease": LEASE}))


async def finish(session: Session, lease: Lease) -> None:
    """In the transaction that writes what came of it. Raises LeaseLostError."""
    if not await _FINISH.send(session, lease._asdict()):
        raise LeaseLostError


async def put_off(
    session: Session, lease: Lease, *, reason: str, after: timedelta, counts: bool = True
) -> None:
    """To be tried again; an attempt that does not count is given back. Raises LeaseLostError."""
    await _end(session, _PUT_OFF, lease, reason=reason, after=after, uncounted=int(not counts))


async def bury(session: Session, lease: Lease, *, reason: str) -> None:
    """Not to be tried again but by a person. Raises LeaseLostError."""
    await _end(session, _BURY, lease, reason=reason)


async def _end(session: Session, end: Statement, lease: Lease, **said: Any) -> None:
    values = lease._asdict() | said
    if not (await _OUTDATED.send(session, values) or await end.send(session, values)):
        raise LeaseLostError


# Whoever held them is gone. Where a newer one waits it does the work.
_FREE_LAPSED = Statement(
    """
    with lapsed as (
      select id from spark.jobs where state = 'running' and lease_until < now()
      order by lease_until limit 100 for update skip locked),
    outdated as (
      delete from spark.jobs j using lapsed where j.id = lapsed.id and exists (
        select from spark.jobs n where n.kind = j.kind and n.key = j.key and n.state = 'waiting')
      returning j.id)
    update spark.jobs set state = 'waiting', owner = null, lease_until = null, run_at = now()
    from lapsed where jobs.id = lapsed.id and jobs.id not in (select id from outdated)
    returning jobs.id
    """
)


@retried
async def free_lapsed(sessions: Sessions) -> int:
    """Jobs whose worker was killed wait again: how many."""
    async with sessions() as session, session.begin():
        return len(await _FREE_LAPSED.send(session, {}))
