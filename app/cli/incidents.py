"""Commands for when something leaked: who saw what, and the end of all sessions."""

import json
from datetime import timedelta
from functools import partial
from typing import Annotated
from uuid import UUID

import typer

from app.activity.audit import read_audit
from app.cli.servers import CALLER, ask_database, refuse
from app.cli.terminal import say
from app.clock import utc_now
from app.database import Sessions
from app.sso.sessions import revoke_sessions

SHOWN = ("occurred_at", "caller", "action", "user_id", "user_ids", "detail")

commands = typer.Typer()


@commands.command()
def audit(
    *,
    days: Annotated[int, typer.Option(min=1, max=10_000, help="How far to look back.")] = 30,
    user_id: Annotated[UUID | None, typer.Option(help="Only about this student.")] = None,
    caller: Annotated[str | None, typer.Option(help="Only by this caller.")] = None,
) -> None:
    """Print who saw, changed or erased what, oldest first, a line of JSON each."""

    async def print_entries(sessions: Sessions) -> None:
        since = utc_now() - timedelta(days=days)
        async for entry in read_audit(sessions, since=since, user_id=user_id, caller=caller):
            said = {name: entry[name] for name in SHOWN}
            moment = entry["occurred_at"].isoformat()
            say(json.dumps(said | {"occurred_at": moment}, default=str))

    ask_database(print_entries)


@commands.command("revoke-sessions")
def revoke_all(
    *,
    user_id: Annotated[UUID | None, typer.Option(help="Of this user.")] = None,
    everyone: Annotated[bool, typer.Option("--everyone", help="Of all users.")] = False,
) -> None:
    """End sessions, and codes that nobody redeemed yet. May be repeated."""
    if everyone is (user_id is not None):
        refuse("Give either --user-id or --everyone.")
    ended = ask_database(partial(revoke_sessions, user_id=user_id, caller=CALLER))
    say(f"{ended} open sessions were ended.")
