"""Commands for a family's rights."""

import json
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from app.cli.servers import CALLER, ask_service, refuse
from app.cli.terminal import say
from app.cli.write_zip import write_zip
from app.clock import new_id, utc_now
from app.privacy.erase import ErasureOrder, erase_student
from app.privacy.erase_again import erase_again as erase_restored
from app.privacy.export import begin_export
from app.text import trimmed_id

commands = typer.Typer()


@commands.command("export-student")
def export_student(
    user_id: Annotated[UUID, typer.Argument(help="The student's user id.")],
    file: Annotated[Path, typer.Argument(help="The zip to write.", dir_okay=False)],
) -> None:
    """Write everything that is kept of a student into a zip."""
    write_zip(
        file,
        lambda found: begin_export(
            found.sessions, found.bucket, user_id, caller=CALLER, now=utc_now()
        ),
    )


@commands.command("erase-student")
def erase(
    user_id: Annotated[UUID | None, typer.Argument(help="The student's user id.")] = None,
    *,
    spark_user_id: Annotated[
        str | None, typer.Option(parser=trimmed_id, metavar="ID", help="Or the id at Spark.")
    ] = None,
) -> None:
    """Erase a student for good and print the tombstone. May be repeated."""
    who = user_id or spark_user_id
    if who is None or (user_id and spark_user_id):
        refuse("Give either a user id or --spark-user-id.")

    order = ErasureOrder(new_id(), who, CALLER, utc_now())
    erased = ask_service(
        lambda found: erase_student(
            found.sessions, found.bucket, found.account_rules.tombstones, order
        )
    )
    say(json.dumps(dict(erased), default=str))
    if erased.completed_at is None:
        say(
            "It takes longer: a file is arriving, or there are many. The worker finishes it.",
            err=True,
        )


@commands.command("erase-again")
def erase_again() -> None:
    """After a restore of the database, erase who was erased since the backup. May be repeated."""
    erased, failed = ask_service(
        lambda found: erase_restored(
            found.sessions, found.bucket, found.account_rules.tombstones, caller=CALLER, tell=say
        )
    )
    say(f"erased again: {erased}")
    if failed:
        refuse(f"{failed} could not be erased: do what is said above, and repeat.")
