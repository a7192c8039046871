"""The command that moves in beside the live Optio application."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import typer

from app.adoption.adopt import AnotherAdoptsError, Part, apply, look, shares_connections
from app.adoption.finding import Finding
from app.adoption.short_locks import TablesInUseError
from app.cli.doctor import say_findings
from app.cli.servers import LOCAL, on_database, read_settings, refuse, servers
from app.cli.terminal import say
from app.database import Sessions

BUILD_SECONDS = 86_400  # building an index waits for transactions of the main app
REFUSED = 2  # the exit code
POOLED = Finding(
    "refuse",
    "DATABASE_URL",
    "adopting needs a connection of its own, and this is a pooler in transaction mode",
    "Name its session mode (Supabase: port 5432), without DATABASE_TRANSACTION_POOLER",
)

commands = typer.Typer()


@commands.command()
def adopt(
    *,
    apply_: Annotated[
        bool, typer.Option("--apply", help="Do it; without it, only say what would be done.")
    ] = False,
    alter: Annotated[
        bool, typer.Option("--alter", help="With what tables of December 2025 lack.")
    ] = False,
    indexes: Annotated[
        bool, typer.Option("--indexes", help="With optional indexes on the main app's tables.")
    ] = False,
    courses: Annotated[
        bool, typer.Option("--courses", help="With the courses that the predecessor synced.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The findings as one JSON list, for programs.")
    ] = False,
) -> None:
    """Look at the Optio application's database, and move in beside it. Exit code 2 if something
    refuses. Safe to repeat, also after it was ended half-way.
    """
    asked: dict[Part, bool] = {"alter": alter, "indexes": indexes, "courses": courses}
    parts = [part for part, is_asked in asked.items() if is_asked]
    if read_settings().database_url is None:
        refuse("Name the Optio application's database in DATABASE_URL.")

    async def act(sessions: Sessions) -> None:
        found = await look(sessions, parts, settings.optio_organization_id)
        _say(found, as_json=as_json)
        if not apply_:
            return
        if not any(finding.mark == "would" for finding in found):
            say("There is nothing to do.", err=as_json)
            return
        refusals = await apply(sessions, found, parts, partial(say, err=True))
        _say(refusals, as_json=False, err=as_json)
        say("Done. What comes next stands in docs/adoption.md.", err=as_json)

    with servers(LOCAL, s3=False) as given:
        settings = given.model_copy(update={"statement_timeout_seconds": BUILD_SECONDS})
        if settings.database_transaction_pooler or asyncio.run(shares_connections(settings)):
            _say([POOLED], as_json=as_json)
        try:
            on_database(settings, act)
        except AnotherAdoptsError:
            refuse("Another `adopt --apply` is at work on this database: wait until it has ended.")
        except TablesInUseError as in_use:
            refuse(*str(in_use).splitlines())


def _say(found: Sequence[Finding], *, as_json: bool, err: bool = False) -> None:
    """And end the command if one of them refuses."""
    say_findings(found, as_json=as_json, err=err)
    if any(finding.mark == "refuse" for finding in found):
        say("Something refuses: --apply does nothing more until it is mended.", err=True)
        raise typer.Exit(REFUSED)
