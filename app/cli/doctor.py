"""`doctor`: what a running system's database and bucket lack, as findings of every room."""

import json
from collections.abc import Iterable
from typing import Annotated

import typer

from app.adoption.finding import Finding
from app.adoption.inspect_database import inspect_database
from app.cli.servers import ask_database
from app.cli.terminal import say

commands = typer.Typer()


@commands.command()
def doctor(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="The findings as one JSON list, for programs.")
    ] = False,
) -> None:
    """Say whether the database fits this version. Changes nothing; fails when something differs."""
    findings = ask_database(inspect_database)
    say_findings(findings, as_json=as_json)
    if any(finding.mark == "refuse" for finding in findings):
        raise typer.Exit(1)


def say_findings(findings: Iterable[Finding], *, as_json: bool) -> None:
    """A line each, and below it what to do."""
    if as_json:
        say(json.dumps([finding._asdict() for finding in findings]))
        return
    for mark, subject, text, next_step in findings:
        say(f"{mark:<8} {subject}: {text}")
        if next_step:
            say(f"{'':<8} next: {next_step}")
