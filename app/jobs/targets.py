"""Whom jobs call: one that fails pauses, one that refuses us stops, and one call tries again.

What is told of a call is told in the transaction that writes what came of it.
"""

from datetime import timedelta
from typing import Literal

import structlog

from app.activity.audit import record_audit
from app.database import Session, Sessions, Statement, retried
from app.errors import NotFoundError

PAUSES_AFTER = 5  # failures in a row
FIRST_PAUSE = timedelta(seconds=30)
HURRY_WITHIN = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(minutes=15)

log = structlog.get_logger()

_MISSED = Statement(
    """
    insert into spark.job_targets as t (name, failures, reason) values (:name, 1, :reason)
    on conflict (name) do update set failures = t.failures + 1, reason = :reason,
      state = case when t.state = 'open' and t.failures + 1 >= :limit::int then 'paused'
        else t.state end,
      since = case when t.state = 'open' and t.failures + 1 >= :limit then now() else t.since end,
      paused_until = case
        when t.state <> 'open' and t.paused_until is null or t.failures + 1 < :limit
        then t.paused_until
        else now() + least(:first::interval * 2 ^ least(t.failures + 1 - :limit, 16), :longest)
        end
    returning state, failures
    """
)
_REFUSED = Statement(
    """
    insert into spark.job_targets as t (name, state, failures, reason, paused_until)
    values (:name, 'refused', 1, :reason, now() + :longest::interval)
    on conflict (name) do update set state = 'refused', failures = t.failures + 1,
      reason = :reason, paused_until = now() + :longest,
      since = case when t.state = 'refused' then t.since else now() end
    where t.state = 'open' or t.paused_until is not null
    returning since = now() as is_new
    """
)
# What is open already is written once a minute.
_REACHED = Statement(
    """
    insert into spark.job_targets as t (name, last_success_at) values (:name, now())
    on conflict (name) do update set state = 'open', failures = 0, reason = null,
      paused_until = null, last_success_at = now(),
      since = case when t.state = 'open' then t.since else now() end
    where (t.state = 'open' or t.paused_until is not null) and (t.failures > 0
      or t.last_success_at is null or t.last_success_at < now() - interval '1 minute')
    returning since = now() as is_new
    """
)
# What it failed waits no longer, and does not come all at once.
_HURRY = Statement(
    """
    update spark.jobs set run_at = now() + random() * :within::interval
    from (
      select id from spark.jobs
      where target = :name and state = 'waiting' and run_at > now() + :within
      for update skip locked) late
    where jobs.id = late.id
    """
)
# Spark is there before it was called first; anybody else only then.
_SET = Statement(
    """
    insert into spark.job_targets as t (name, state, reason)
    select :name::text, :state::text, :reason::text
    where :name = 'spark' or exists (select from spark.job_targets where name = :name)
      or exists (select from spark.jobs where target = :name)
    on conflict (name) do update set state = excluded.state, reason = excluded.reason,
      paused_until = null, failures = 0, since = now()
    returning name
    """
)


async def miss_target(session: Session, name: str, *, reason: str) -> None:
    """A call failed: after PAUSES_AFTER in a row its jobs wait, longer each time."""
    values = {"limit": PAUSES_AFTER, "first": FIRST_PAUSE, "longest": LONGEST_PAUSE}
    [row] = await _MISSED.send(session, {"name": name, "reason": reason, **values})
    if row["state"] == "paused" and row["failures"] == PAUSES_AFTER:
        log.warning("target_paused", target=name, reason=reason)


async def refuse_target(session: Session, name: str, *, reason: str) -> None:
    """It does not know us: its jobs wait until a call every LONGEST_PAUSE gets through."""
    values = {"name": name, "reason": reason, "longest": LONGEST_PAUSE}
    if any(row["is_new"] for row in await _REFUSED.send(session, values)):
        log.warning("target_refused", target=name, reason=reason)


async def reach_target(session: Session, name: str) -> None:
    """A call got through: whatever was wrong is over, but for a pause that a person made."""
    if any(row["is_new"] for row in await _REACHED.send(session, {"name": name})):
        await _HURRY.send(session, {"name": name, "within": HURRY_WITHIN})
        log.info("target_open", target=name)


@retried
async def change_target(
    sessions: Sessions, name: str, state: Literal["open", "paused"], *, caller: str
) -> None:
    """By a person; a pause lasts until the target is opened. Raises NotFoundError. Audited."""
    reason = "by_hand" if state == "paused" else None
    async with sessions() as session, session.begin():
        if not await _SET.send(session, {"name": name, "state": state, "reason": reason}):
            raise NotFoundError
        said = {"what": "targets", "target": name, "state": state}
        await record_audit(session, caller, "sensitive_update", user_id=None, **said)
        if state == "open":
            await _HURRY.send(session, {"name": name, "within": HURRY_WITHIN})
