"""Jobs whose worker is gone wait again; operators see how many wait or are dead, and how late."""

from collections.abc import Mapping

from prometheus_client import Gauge

from app import metrics
from app.database import Sessions, Statement
from app.jobs.lease import free_lapsed

# Late is only what a worker could begin: what waits for its target is told of the target.
_KINDS = Statement(
    """
    select kind, count(*) filter (where state = 'waiting') as waiting,
      count(*) filter (where state = 'dead') as dead,
      coalesce(extract(epoch from now() - min(run_at) filter (
        where state = 'waiting' and run_at <= now() and not exists (
          select from spark.job_targets t where t.name = target and t.state <> 'open')
      )), 0)::float as late
    from spark.jobs group by kind
    """
)
_TARGETS = Statement("select name, state = 'open' as is_open from spark.job_targets")


async def sweep_jobs(sessions: Sessions) -> int:
    """How many wait again."""
    freed = await free_lapsed(sessions)
    async with sessions() as session, session.begin():
        kinds = await _KINDS.send(session, {})
        targets = await _TARGETS.send(session, {})
    _tell(metrics.JOBS_WAITING, {row["kind"]: row["waiting"] for row in kinds})
    _tell(metrics.JOBS_LATE, {row["kind"]: row["late"] for row in kinds})
    _tell(metrics.JOBS_DEAD, {row["kind"]: row["dead"] for row in kinds})
    _tell(metrics.TARGET_OPEN, {row["name"]: row["is_open"] for row in targets})
    return freed


def _tell(gauge: Gauge, values: Mapping[str, float]) -> None:
    """What was told before and is no more is 0."""
    before = {
        label
        for metric in gauge.collect()
        for each in metric.samples
        for label in each.labels.values()
    }
    for label in before | values.keys():
        gauge.labels(label).set(values.get(label, 0))
