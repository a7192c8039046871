"""Commands for a school that leaves: everything as a zip, and its end."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from app.api.dependencies import Resources
from app.cli.servers import CALLER, ask_database, ask_service, refuse
from app.cli.terminal import say, say_moment
from app.cli.write_zip import write_zip
from app.clock import new_id, utc_now
from app.database import Sessions
from app.privacy.erase_organisation import Refused, erase_some
from app.privacy.export_organisation import begin_organisation_export
from app.privacy.order_organisation import OrganisationOrder
from app.privacy.organisation_certificate import (
    CERTIFIED,
    OrganisationErasureAnswer,
    OrganisationPlan,
    ask_erasure,
    count_organisations,
    read_certificate,
    say_removed,
)
from app.text import identifier_text
from app.worker import eraser_of

commands = typer.Typer(no_args_is_help=True, help="A school's data: out, and gone.")


def _id(text: str) -> str:
    try:
        read = identifier_text(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not read:
        raise typer.BadParameter("An empty id is no organisation's.")
    return str(read)


Organisation = Annotated[str, typer.Argument(parser=_id, metavar="ID", help="As Spark names it.")]


@commands.command("list")
def print_list() -> None:
    """Print every organisation that a course or a roster names."""
    row = "{:>8}  {:>9}  {:>7}  {:20}  {}"
    named = ask_database(count_organisations)
    say(row.format("courses", "students", "shared", "named last", "id"))
    for each in named:
        counts = (each.courses, each.students, each.shared)
        say(row.format(*counts, say_moment(each.synced_at), each.spark_org_id))


@commands.command()
def export(
    organisation: Organisation,
    output: Annotated[Path, typer.Option(help="The zip to write.", dir_okay=False)],
) -> None:
    """Write everything that is kept for a school into a zip."""
    write_zip(
        output,
        lambda found: begin_organisation_export(
            found.sessions, found.bucket, organisation, caller=CALLER, now=utc_now()
        ),
    )


@commands.command()
def erase(
    organisation: Organisation,
    *,
    apply: Annotated[
        bool, typer.Option("--apply/--dry-run", help="Do it; without, only say what would go.")
    ] = False,
    despite_hold: Annotated[
        bool, typer.Option("--despite-hold", help="Also what a hold is on.")
    ] = False,
) -> None:
    """Erase a school for good, and print the certificate. May be repeated."""
    refused: Refused = []

    async def act(resources: Resources) -> str | None:
        order = OrganisationOrder(new_id(), organisation, CALLER, utc_now())
        reply = await ask_erasure(
            resources.sessions, order, is_dry=not apply, despite_hold=despite_hold
        )
        _print_plan(reply.plan)
        if reply.erasure is None:
            return None
        left = "more"
        while left == "more":
            refused.clear()
            left = await erase_some(eraser_of(resources), reply.erasure.id, refused)
        _print_certificate(await read_certificate(resources.sessions, reply.erasure.id))
        return left

    left = ask_service(act)
    if left is None:
        say("Nothing was changed; `--apply` erases them.")
    for who, refusal in refused:
        say(f"{who} {refusal.code}: {refusal.hint_text or refusal.error_text}", err=True)
    if left:
        refuse(f"It is not complete ({left}). The worker goes on; repeat this to see.")


@commands.command()
def certificate(
    erasure: Annotated[UUID, typer.Argument(help="The id that `erase` printed.")],
) -> None:
    """Print the certificate of an erasure."""

    async def act(sessions: Sessions) -> OrganisationErasureAnswer:
        return await read_certificate(sessions, erasure)

    _print_certificate(ask_database(act))


def _print_plan(plan: OrganisationPlan) -> None:
    say(f"courses: {plan.courses}, files: {plan.files}, bytes: {plan.bytes}")
    say(f"students whose accounts Spark made, to be erased: {plan.erased}")
    say(f"students whose accounts were there before, to be unlinked: {plan.unlinked}")
    say(f"named by rosters or homework, without an account: {plan.without_account}")
    say(f"holds on it or its students: {plan.holds}")
    say(f"students who also belong to another organisation, to be kept: {len(plan.kept)}")
    for student in plan.kept:
        say(f"  {student.user_id} {' '.join(student.spark_user_ids)}")


def _print_certificate(erased: OrganisationErasureAnswer) -> None:
    say("Certificate of erasure" if erased.completed_at else "Erasure, not complete yet")
    say(f"organisation: {erased.spark_org_id}", f"erasure: {erased.id}")
    say(f"ordered: {say_moment(erased.requested_at)} by {erased.requested_by}")
    say(f"completed: {say_moment(erased.completed_at)}", "removed:")
    for line in say_removed(erased.counts):
        say(line)
    if erased.completed_at:
        say("", *CERTIFIED)
