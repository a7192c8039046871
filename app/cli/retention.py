"""Commands about how long everything is kept."""

import json
from typing import Annotated

import typer

from app.cli.servers import ask_service
from app.cli.terminal import say
from app.clock import utc_now
from app.privacy.report_expiry import COLUMNS, report_expiry
from app.privacy.retention import report_retention
from app.text import csv_line

commands = typer.Typer(invoke_without_command=True)


@commands.callback()
def retention(context: typer.Context) -> None:
    """Print what is kept for how long, how much of it there is, and how old the oldest is."""
    if context.invoked_subcommand:
        return
    counts = ask_service(lambda found: report_retention(found.sessions, found.settings))
    say(f"{'what':<20}{'kept':>14}{'rows':>12}  oldest")
    for each in counts:
        kept = "until erased" if each.kept is None else f"{each.kept.days} days"
        oldest = f"{each.oldest:%Y-%m-%d}" if each.oldest else "-"
        say(f"{each.name:<20}{kept:>14}{each.rows:>12}  {oldest}")


@commands.command()
def report(
    *,
    year: Annotated[
        int | None, typer.Option(min=2000, max=9000, help="Of which; without it, this one.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON each instead of CSV.")
    ] = False,
) -> None:
    """Print by organisation what is held, what went in a year, and what comes due: as CSV."""
    now = utc_now()
    rows = ask_service(
        lambda found: report_expiry(found.sessions, found.settings, year=year or now.year, now=now)
    )
    if as_json:
        say(*map(json.dumps, rows))
        return
    for cells in (COLUMNS, *([row[name] for name in COLUMNS] for row in rows)):
        say(csv_line(cells).rstrip())
