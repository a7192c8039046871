"""Commands about work that is done later, and whom it calls."""

from functools import partial
from typing import Annotated
from uuid import UUID

import typer

from app.cli.servers import CALLER, ask_database, read_options, refuse
from app.cli.terminal import say, say_moment
from app.jobs.review import (
    JobFilter,
    JobState,
    count_jobs,
    discard_job,
    list_jobs,
    list_targets,
    retry_job,
    retry_jobs,
)
from app.jobs.targets import change_target

commands = typer.Typer(no_args_is_help=True, help="Work that is done later.")


@commands.command("list")
def print_list(
    *,
    state: Annotated[JobState | None, typer.Option(help="Only these.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only of this kind.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only what failed so.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="So many; what is alike is counted.")] = 20,
) -> None:
    """Print what is not done: how much of each kind, then the jobs, first what is due first."""
    asked = read_options(JobFilter, {"state": state, "kind": kind, "reason": reason})
    counts = ask_database(partial(count_jobs, asked=asked))
    jobs = (
        ask_database(partial(list_jobs, asked=asked, limit=limit, caller=CALLER)) if limit else []
    )
    row = "{:7}  {:10}  {:8}  {:26}  {}"
    say(row.format("jobs", "kind", "state", "reason", "the oldest is of"))
    for each in counts:
        said = (each.kind, each.state, each.reason or "-", say_moment(each.oldest_at))
        say(row.format(each.jobs, *said))
    row = "{:36}  {:10}  {:8}  {:26}  {:20}  {:>5}  {}"
    say(*[row.format("id", "kind", "state", "reason", "due", "tried", "of")] * bool(jobs))
    for job in jobs:
        what, due = (job.kind, job.state, job.reason or "-"), say_moment(job.died_at or job.run_at)
        say(row.format(str(job.id), *what, due, job.attempts, job.key))


@commands.command()
def retry(
    job: Annotated[UUID | None, typer.Argument(help="Its id, as the list has it.")] = None,
    *,
    kind: Annotated[str | None, typer.Option(help="All of this kind.")] = None,
    reason: Annotated[str | None, typer.Option(help="Of the kind, what died of this.")] = None,
) -> None:
    """Let a dead job begin anew, or all that are alike, with eight new attempts each."""
    if job and not (kind or reason):
        ask_database(partial(retry_job, job_id=job, caller=CALLER))
        say("It begins anew.")
    elif kind and not job:
        again = partial(retry_jobs, kind=kind, reason=reason, caller=CALLER)
        say(f"{ask_database(again)} begin anew.")
    else:
        refuse("Give either the id of a job or --kind.")


@commands.command()
def discard(
    job: Annotated[UUID, typer.Argument(help="Its id, as the list has it.")],
) -> None:
    """Take a job away: it will not be done. One that runs is left."""
    ask_database(partial(discard_job, job_id=job, caller=CALLER))
    say("It will not be done.")


@commands.command()
def targets() -> None:
    """Print whom jobs call, whether they can be reached, and how many jobs wait for them."""
    row = "{:24}  {:8}  {:26}  {:7}  {:20}  {}"
    known = ask_database(list_targets)
    say(row.format("name", "state", "reason", "waiting", "reached last", "the next call is"))
    for each in known:
        moments = map(say_moment, (each.last_success_at, each.paused_until))
        say(row.format(each.name, each.state, each.reason or "-", each.waiting, *moments))


@commands.command()
def pause(name: Annotated[str, typer.Argument(help="As the list of targets has it.")]) -> None:
    """Let the jobs of a target wait until it is resumed; what runs now ends."""
    ask_database(partial(change_target, name=name, state="paused", caller=CALLER))
    say(f"{name} is called no more.")


@commands.command()
def resume(name: Annotated[str, typer.Argument(help="As the list of targets has it.")]) -> None:
    """Let the jobs of a target go on at once."""
    ask_database(partial(change_target, name=name, state="open", caller=CALLER))
    say(f"{name} is called again.")
