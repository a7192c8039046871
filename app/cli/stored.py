"""Commands about what is kept: the schema, what was abandoned, what arrived."""

from datetime import timedelta
from functools import partial
from typing import Annotated
from uuid import UUID

import typer

from app.api.dependencies import Resources
from app.cli.servers import (
    CALLER,
    LOCAL,
    ask_database,
    ask_service,
    read_options,
    refuse,
    servers,
)
from app.cli.terminal import say
from app.clock import new_id, utc_now
from app.files.reconcile import Report
from app.files.reconcile import reconcile as reconcile_files
from app.jobs.run_jobs import work_off
from app.learning.sample_course import seed_sample_course
from app.migrate import migrate as migrate_database
from app.submissions.record import SubmissionOutcome
from app.submissions.replay import replay_delivery
from app.submissions.replay_many import ReplayCounts, ReplayOrder, replay_many
from app.worker import job_kinds
from app.worker import sweep as sweep_once

commands = typer.Typer()


@commands.command()
def sweep() -> None:
    """Do once what a worker does each minute, and say how much of each there was to do."""
    done = ask_service(_sweep)
    say(", ".join(f"{kind}: {count}" for kind, count in done.items()))


@commands.command()
def reconcile(
    *,
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove what nobody owns; without it, only say so.")
    ] = False,
) -> None:
    """Compare the bucket with its rows and say what differs. Fails when a file is missing."""
    report = ask_service(partial(_reconcile, delete=delete))
    removable = report["unfinished"] + report["orphans"]
    say(f"objects: {report['objects']}, rows: {report['rows']}, not ours: {report['foreign']}")
    say(f"unfinished, uploads that nobody will end: {report['unfinished']}")
    say(f"orphans, objects without a row: {report['orphans']}")
    say(f"missing, rows without an object: {report['missing']}")
    say(f"deleted: {report['deleted']}" if delete else f"--delete would remove {removable}")
    if report["missing"]:
        refuse(f"{report['missing']} committed files are not in the bucket: restore them.")


@commands.command()
def replay(
    *,
    delivery: Annotated[
        UUID | None, typer.Argument(help="Its id, as the list of deliveries has it.")
    ] = None,
    code: Annotated[list[str] | None, typer.Option(help="All refused with it; or several.")] = None,
    since: Annotated[str | None, typer.Option(help="All since this date or moment.")] = None,
    until: Annotated[str | None, typer.Option(help="All until it.")] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Order it; without it, only count by code.")
    ] = False,
) -> None:
    """Process a delivery of the inbox again and say what became of it (fails when it is refused),
    or many, which a worker does.
    """
    if delivery:
        _say_recorded(ask_service(partial(_replay, delivery)))
        return
    asked = {"codes": code or None, "received_from": since, "received_to": until, "apply": apply}
    names = {"codes": "code", "received_from": "since", "received_to": "until"}
    order = read_options(ReplayOrder, asked, names)
    _say_counts(
        ask_database(partial(replay_many, order=order, caller=CALLER, new_id=new_id)), apply=apply
    )


def _say_recorded(recorded: SubmissionOutcome) -> None:
    body = recorded.body
    say(f"{body['status']}{', nothing has changed' if body['duplicate'] else ''}")
    say(f"completion {body['completion_id']}, revision {body['revision']}")


def _say_counts(counts: ReplayCounts, *, apply: bool) -> None:
    """A line for each code of what is refused, then of what became of it."""
    for item in counts.items:
        said = f"{item.replayable} replayable, {item.queued} queued"
        say(f"refused  {item.deliveries:7}  {item.code}: {said}")
    for outcome in counts.outcomes:
        say(f"replayed {outcome.deliveries:7}  {outcome.code or 'taken'}")
    waiting = sum(item.replayable - item.queued for item in counts.items)
    say("The worker does them." if apply else f"--apply would replay {waiting}")


@commands.command()
def migrate() -> None:
    """Bring the database schema up to date. Safe to repeat and to run twice at once."""
    with servers(LOCAL, s3=False) as settings:
        said = migrate_database(settings, say)
    say(said)


@commands.command()
def seed() -> None:
    """Add the sample course of the integration guide, unless it is there."""
    ask_database(seed_sample_course)
    say("The sample course is there.")


async def _sweep(resources: Resources) -> dict[str, int]:
    done = await sweep_once(resources)
    jobs = await work_off(resources.sessions, job_kinds(resources), owner=new_id())
    return {**done, "jobs": jobs}


async def _reconcile(resources: Resources, *, delete: bool) -> Report:
    """Prints each finding as it is made."""
    lease = timedelta(seconds=resources.settings.upload_lease_seconds)
    return await reconcile_files(
        resources.sessions,
        resources.bucket,
        before=utc_now() - lease,
        delete=delete,
        tell=lambda kind, name: say(f"{kind} {name}"),
    )


async def _replay(delivery_id: UUID, resources: Resources) -> SubmissionOutcome:
    return await replay_delivery(
        resources.intake, delivery_id, caller=CALLER, now=utc_now(), new_id=new_id
    )
