"""The command that compares XP with its ledger."""

from functools import partial
from typing import Annotated

import typer

from app.cli.servers import ask_database, refuse
from app.cli.terminal import say
from app.clock import new_id, utc_now
from app.database import Sessions
from app.learning.check_experience import (
    LowTotal,
    UnpaidCompletion,
    XpReport,
    check_experience,
    repair_student,
)

commands = typer.Typer(no_args_is_help=True)


@commands.callback()
def xp() -> None:
    """What students were paid."""


@commands.command()
def check(
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Pay what is missing; without it, only say so.")
    ] = False,
) -> None:
    """Compare totals with the ledger behind them. Fails when something is missing."""
    report = ask_database(partial(_check, repair=repair))
    say(
        f"students: {report.students}, totals too low: {report.too_low},"
        f" completions unpaid: {report.unpaid}, totals above the ledger: {report.above}"
    )
    if report.faults and not repair:
        refuse(f"{report.faults} faults: `python -m app xp check --repair` pays what is missing.")


async def _check(sessions: Sessions, *, repair: bool) -> XpReport:
    mend = partial(repair_student, sessions, now=utc_now(), new_id=new_id)
    return await check_experience(sessions, tell=_tell, repair=mend if repair else None)


def _tell(fault: LowTotal | UnpaidCompletion) -> None:
    match fault:
        case LowTotal():
            said = f"{fault.pillar} {fault.total} {fault.ledger}"
        case UnpaidCompletion():
            said = f"unpaid {fault.completion_id}"
    say(f"{fault.user_id} {said}")
