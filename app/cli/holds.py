"""Commands about what retention leaves alone."""

from typing import Annotated
from uuid import UUID

import typer
from pydantic import ValidationError

from app.cli.servers import CALLER, ask_database, refuse
from app.cli.terminal import say
from app.clock import new_id
from app.privacy.place_hold import NewHold, lift_hold, list_holds, place_hold

commands = typer.Typer(no_args_is_help=True, help="What retention leaves alone.")


@commands.command("add")
def add(
    *,
    reason: Annotated[str, typer.Option(help="Why, for whoever lifts it.")],
    user_id: Annotated[UUID | None, typer.Option(help="Of this student.")] = None,
    organisation: Annotated[
        str | None, typer.Option(metavar="ID", help="Or of all students of it, as Spark names it.")
    ] = None,
) -> None:
    """Keep the submissions of a student, or of an organisation's students, and print the hold."""
    try:
        hold = NewHold(user_id=user_id, spark_org_id=organisation, reason=reason)
    except ValidationError:
        refuse("Give --reason, and either --user-id or --organisation.")
    placed = ask_database(
        lambda sessions: place_hold(sessions, hold, hold_id=new_id(), caller=CALLER)
    )
    say(placed.model_dump_json())


@commands.command("list")
def print_list() -> None:
    """Print every hold, the oldest first: a line of JSON each."""
    for hold in ask_database(lambda sessions: list_holds(sessions, caller=CALLER)):
        say(hold.model_dump_json())


@commands.command("remove")
def remove(
    hold_id: Annotated[UUID, typer.Argument(metavar="ID", help="As the list has it.")],
) -> None:
    """Lift a hold: what it kept goes within a week, if it is old enough."""
    ask_database(lambda sessions: lift_hold(sessions, hold_id, caller=CALLER))
    say(f"{hold_id} keeps nothing any more.")
