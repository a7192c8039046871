"""The command that imports roster files."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from app.accounts.students import AccountRules
from app.accounts.tombstones import Tombstones
from app.adoption.shape import LiveShape
from app.cli.servers import CALLER, LOCAL, on_database, refuse, servers
from app.cli.terminal import say
from app.clock import new_id, utc_now
from app.courses.change_roster import RosterRun
from app.courses.import_roster import (
    RosterImportAnswer,
    Tell,
    confirm_roster,
    import_roster,
    say_nothing,
)
from app.database import Sessions

commands = typer.Typer()


@commands.command("import-roster")
def import_file(
    file: Annotated[
        Path | None,
        typer.Argument(help="Flat CSV, or OneRoster 1.2 as a zip or folder.", exists=True),
    ] = None,
    *,
    apply: Annotated[
        bool, typer.Option("--apply", help="Change what differs; without it, only say so.")
    ] = False,
    confirm: Annotated[
        UUID | None, typer.Option(help="Apply an earlier import, with what was held.")
    ] = None,
) -> None:
    """Compare a roster file with what is here, and say for each row what becomes of it."""
    if (file is None) == (confirm is None):
        refuse("Give either a file or --confirm with the id of an import.")
    with servers(LOCAL, s3=False) as settings, _progress() as tell:
        rules = AccountRules(
            settings.sso_link_by_email, Tombstones(), LiveShape(), settings.optio_organization_id
        )
        run = RosterRun(utc_now(), new_id, rules, CALLER)

        async def act(sessions: Sessions) -> RosterImportAnswer:
            if confirm is not None:
                return await confirm_roster(sessions, confirm, run, tell=tell)
            return await import_roster(
                sessions,
                file or Path(),
                run,
                apply=apply,
                max_bytes=settings.max_roster_bytes,
                tell=tell,
            )

        report = on_database(settings, act)
    _print(report)


@contextmanager
def _progress() -> Iterator[Tell]:
    """A line on a terminal that grows and is wiped at the end; nothing anywhere else."""
    width, shown = 30, sys.stderr.isatty()

    async def tell(stage: str, done: int, total: int) -> None:
        filled = width * done // max(total, 1)
        bar = "#" * filled + "-" * (width - filled)
        sys.stderr.write(f"\r{stage:8}[{bar}] {100 * done // max(total, 1):3} %")
        sys.stderr.flush()

    try:
        yield tell if shown else say_nothing
    finally:
        if shown:
            sys.stderr.write("\r\033[K")


def _print(report: RosterImportAnswer) -> None:
    for row in report.examples:
        place = f"{row.source}:{row.line}" if row.line else row.source
        say(f"{place} {row.spark_user_id or '-'} {row.code or row.outcome}")
    say(f"rows: {report.rows}")
    for source, counts in report.counts.items():
        said = ", ".join(f"{outcome}: {rows}" for outcome, rows in counts.items() if rows)
        if said:
            say(f"{source}: {said}")
    say(f"import {report.id} is {report.state}")
    if report.state != "applied":
        say(f"`python -m app import-roster --confirm {report.id}` applies it")
