"""Commands about what operators are told."""

import typer

from app.alerts.list_alerts import list_alerts
from app.alerts.send_alert import test_alerts
from app.api.dependencies import Resources
from app.cli.servers import ask_database, ask_service, refuse
from app.cli.terminal import say, say_moment
from app.jobs.call_target import TargetTest

commands = typer.Typer(no_args_is_help=True, help="What operators are told.")


@commands.command("list")
def print_list() -> None:
    """Print each rule: whether it fires, since when, and what was measured; then what to do."""
    row = "{:20}  {:7}  {:20}  {:>8}  {}"
    alerts = ask_database(list_alerts)
    say(row.format("name", "state", "since", "value", "fires"))
    for each in alerts:
        value = "-" if each.value is None else f"{each.value:.3g}"
        say(row.format(each.name, each.state, say_moment(each.since), value, each.condition))
    for each in alerts:
        if each.state == "firing":
            codes = ", ".join(f"{code} {n}" for code, n in each.codes.items())
            say("", f"{each.name}: {each.means} ({codes})", f"Look: {each.look}", f"Do: {each.do}")


@commands.command("test")
def test() -> None:
    """Send one alert that says it is a test, and print what came back."""

    async def ask(resources: Resources) -> TargetTest | None:
        hook = resources.alert_hook
        return await test_alerts(resources.sessions, hook) if hook else None

    tested = ask_service(ask)
    if tested is None:
        refuse("Nobody is told: set ALERT_WEBHOOK_URL.")
    say(f"{tested.status or 'no answer'}, {tested.code}, {tested.milliseconds} ms", tested.hint)
    if not tested.ok:
        raise typer.Exit(1)
