"""The work nobody waits for: doing jobs, removing what was abandoned, is old enough or was to be
erased, counting what is over, and telling operators what went wrong.

Any number of workers may run.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import NoReturn

import structlog

from app import metrics
from app.activity.hours import count_hours
from app.alerts.evaluate import evaluate_alerts
from app.alerts.rules import ALERT
from app.alerts.send_alert import send_alert
from app.api.dependencies import Resources
from app.clock import new_id, utc_now
from app.deliveries.end_waiting import end_waiting
from app.deliveries.send_receipt import RECEIPT, send_receipt
from app.files.make_jpeg import makes_jpeg
from app.files.order_pictures import PICTURE
from app.files.uploads import sweep_uploads
from app.grades.send_grade import send_grade
from app.grades.write_grade import GRADE
from app.jobs.lease import Lease
from app.jobs.run_jobs import JobKind, run_jobs
from app.jobs.sweep_jobs import sweep_jobs
from app.jobs.try_early import REPLAY
from app.portfolio.convert_picture import convert_picture
from app.privacy.erase import resume_erasures
from app.privacy.erase_organisation import Eraser, do_erasure
from app.privacy.expire_submissions import expire_submissions
from app.privacy.order_organisation import ORGANISATION
from app.privacy.retention import apply_rule, rules
from app.submissions.do_replay import do_replay
from app.submissions.download_file import download_file
from app.submissions.order_downloads import DOWNLOAD

SWEEP_EVERY_SECONDS = 60

log = structlog.get_logger()


async def run_worker(resources: Resources, only: Collection[str] = ()) -> None:
    """Until cancelled: the next process goes on where this one was. With `only` it does jobs of
    these kinds, which it can, and nothing else.
    """
    kinds = job_kinds(resources)
    ours = {name: kind for name, kind in kinds.items() if name in only} if only else kinds
    async with asyncio.TaskGroup() as group:
        if not only:
            group.create_task(_sweep_often(resources))
        group.create_task(run_jobs(resources.sessions, ours, owner=new_id()))


def job_kinds(resources: Resources) -> dict[str, JobKind]:
    """Every kind of job that this process can do, with how many of it run at once."""

    async def replay(lease: Lease) -> None:
        intake = resources.intake
        await do_replay(intake, lease, now=utc_now(), new_id=new_id)

    erase = partial(do_erasure, eraser_of(resources))
    download = partial(download_file, resources.intake, resources.remote_files, new_id)
    kinds = {
        REPLAY: JobKind(replay, places=4),
        DOWNLOAD: JobKind(download, places=2),
        ORGANISATION: JobKind(erase, places=1),
    }
    if makes_jpeg(resources.settings):
        convert = partial(
            convert_picture,
            resources.intake.destination,
            resources.sessions,
            resources.settings.picture_max_pixels,
            new_id,
        )
        kinds[PICTURE] = JobKind(convert, places=1)
    if resources.spark_api:
        send = partial(send_grade, resources.sessions, resources.spark_api)
        kinds[GRADE] = JobKind(send, places=4)
    if resources.spark_api and resources.settings.spark_receipts:
        tell = partial(send_receipt, resources.sessions, resources.settings, resources.spark_api)
        kinds[RECEIPT] = JobKind(tell, places=2)
    if resources.alert_hook:
        alert = partial(send_alert, resources.sessions, resources.alert_hook)
        kinds[ALERT] = JobKind(alert, places=1)
    return kinds


def eraser_of(resources: Resources) -> Eraser:
    tombstones = resources.account_rules.tombstones
    return Eraser(resources.sessions, resources.bucket, tombstones, utc_now)


async def _sweep_often(resources: Resources) -> NoReturn:
    """A pass that fails is logged, and the next one tries again."""
    while True:
        try:
            await sweep(resources)
        except Exception as failure:  # noqa: BLE001 - whatever it was, the next pass may do better
            log.warning("sweep_failed", error_class=type(failure).__name__)
        await asyncio.sleep(SWEEP_EVERY_SECONDS)


async def sweep(resources: Resources) -> dict[str, int]:
    """One pass; what was done, counted by kind.

    A step that fails stops no other; the first failure is raised when all have run.
    """
    done: dict[str, int] = {}
    failures: list[Exception] = []
    for name, step in _steps(resources).items():
        failed = metrics.STEP_FAILURES.labels(name)  # so that it is 0 before the first
        try:
            done[name] = await step()
            metrics.SWEPT.labels(name).inc(done[name])
        except Exception as failure:  # noqa: BLE001 - whatever it was, the others can do without
            log.warning("step_failed", step=name, error_class=type(failure).__name__)
            failed.inc()
            failures.append(failure)
    metrics.LAST_PASS.set_to_current_time()
    if any(done.values()):
        log.info("swept", **done)
    if failures:
        raise failures[0]
    return done


def _steps(resources: Resources) -> dict[str, Callable[[], Awaitable[int]]]:
    sessions, bucket = resources.sessions, resources.bucket

    async def alert() -> int:
        return await evaluate_alerts(sessions, resources.settings, now=utc_now())

    async def expire() -> int:
        return await expire_submissions(sessions, resources.settings, now=utc_now())

    return {
        "erasures": partial(resume_erasures, sessions, bucket),
        "submissions": expire,  # before the uploads: their files go with the same pass
        "uploads": partial(sweep_uploads, sessions, bucket),
        "jobs_freed": partial(sweep_jobs, sessions),
        "waiting_ended": partial(end_waiting, sessions, resources.settings),
        **{rule.name: partial(apply_rule, sessions, rule) for rule in rules(resources.settings)},
        "hours_counted": partial(count_hours, sessions),
        "alerts_ordered": alert,
    }
