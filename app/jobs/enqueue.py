"""Ordering work in the transaction that makes it necessary: it is done if that commits."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.database import Session, Statement

# What is newer takes the place of what waits or is dead, and its own attempts; what runs at this
# moment ends first. `source` gives the columns of `job`.
ENQUEUE_SQL = """
job as ({source}),
outdated as (
  delete from spark.jobs using job
  where jobs.kind = job.kind and jobs.key = job.key and jobs.state = 'dead'),
enqueued as (
  insert into spark.jobs (kind, key, user_id, target, payload, run_at)
  select kind, key, user_id, target, payload, run_at from job
  on conflict (kind, key, state) do update set
    user_id = excluded.user_id, target = excluded.target, payload = excluded.payload,
    run_at = least(jobs.run_at, excluded.run_at), attempts = 0, reason = null
  returning id)
"""


def job_of_each_sql(kind: str, rows: str, *, target: str) -> str:
    """ENQUEUE_SQL for each of these rows, which have `id` and `user_id`; `target` is an expression
    of theirs.
    """
    source = f"""
    select '{kind}' as kind, id::text as key, user_id, {target} as target,
      '{{}}'::jsonb as payload, now() as run_at
    from {rows}"""  # noqa: S608 - of our own words
    return ENQUEUE_SQL.format(source=source)


_SOURCE = """
select :kind::text as kind, :key::text as key, :user_id::uuid as user_id, :target::text as target,
  :payload::jsonb as payload, now() as run_at
"""
_ENQUEUE = Statement(f"with {ENQUEUE_SQL.format(source=_SOURCE)} select id from enqueued")  # noqa: S608 - ours


async def enqueue(
    session: Session,
    kind: str,
    key: str,
    *,
    user_id: UUID | None = None,
    target: str | None = None,
    payload: Mapping[str, Any] | None = None,
) -> UUID:
    """The job. One for the same thing that waits already becomes this one."""
    [row] = await _ENQUEUE.send(
        session,
        {
            "kind": kind,
            "key": key,
            "user_id": user_id,
            "target": target,
            "payload": json.dumps(payload or {}),
        },
    )
    job_id: UUID = row["id"]
    return job_id
