"""`doctor`: what a running system's database, bucket and scanner lack, as findings of each room."""

import asyncio
import json
from collections.abc import Iterable
from functools import partial
from typing import Annotated

import typer

from app.adoption.finding import Finding
from app.adoption.inspect_database import inspect_database
from app.adoption.try_bucket import try_bucket
from app.cli.servers import LOCAL, on_database, servers
from app.cli.terminal import say, say_moment
from app.files.make_jpeg import makes_jpeg
from app.files.try_scanner import try_scanner
from app.migrate import STATEMENT_SECONDS
from app.settings import Settings
from app.storage.bucket import open_bucket
from app.submissions.going_live import Step, look_at_steps

commands = typer.Typer()


@commands.command()
def doctor(
    *,
    ready: Annotated[
        bool, typer.Option("--ready", help="Say instead what of going live was seen, and when.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The findings as one JSON list, for programs.")
    ] = False,
) -> None:
    """Say whether database, bucket and scanner fit this version; fails when something differs.
    Changes nothing, but that it puts an object into the bucket, tries to read it, and deletes it.
    """
    with servers(LOCAL, s3=False) as given:
        if ready:
            _say_steps(on_database(given, partial(look_at_steps, settings=given)), as_json=as_json)
            return
        settings = given.model_copy(update={"statement_timeout_seconds": STATEMENT_SECONDS})
        findings = on_database(settings, partial(inspect_database, settings=settings))
        if settings.s3_endpoint_url:  # the main app's CI has none
            findings += asyncio.run(_try_bucket(settings))
        findings += asyncio.run(try_scanner(settings))
        findings.append(_look_at_pictures(settings))
    say_findings(findings, as_json=as_json)
    if any(finding.mark == "refuse" for finding in findings):
        raise typer.Exit(1)


def _say_steps(steps: Iterable[Step], *, as_json: bool) -> None:
    """Fails until all were seen."""
    findings = [
        Finding("ok", step.name, f"{step.sentence}, {say_moment(step.seen_at)}")
        if step.seen_at
        else Finding("open", step.name, step.sentence, step.how)
        for step in steps
    ]
    say_findings(findings, as_json=as_json)
    if any(finding.mark == "open" for finding in findings):
        raise typer.Exit(1)


def _look_at_pictures(settings: Settings) -> Finding:
    """Of the environment that doctor runs in, which is that of the service in its image."""
    if makes_jpeg(settings):
        return Finding("ok", "pictures", "HEIC becomes JPEG")
    return Finding(
        "adapt",
        "pictures",
        "HEIC stays as it is here, and few browsers show it",
        "install the extra `pictures`, or run `python -m app worker --only picture` where it is",
    )


async def _try_bucket(settings: Settings) -> list[Finding]:
    async with open_bucket(settings) as bucket:
        return await try_bucket(settings, bucket)


def say_findings(findings: Iterable[Finding], *, as_json: bool, err: bool = False) -> None:
    """A line each, and below it what to do."""
    if as_json:
        say(json.dumps([finding._asdict() for finding in findings]))
        return
    for mark, subject, text, next_step in findings:
        say(f"{mark:<8} {subject}: {text}", err=err)
        if next_step:
            say(f"{'':<8} next: {next_step}", err=err)
