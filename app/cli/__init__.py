"""The commands: `python -m app --help`.

Without a DATABASE_URL or an S3_ENDPOINT_URL they use embedded servers, kept under `.local/`, and
bring those up to date first. Servers that the settings name are left as they are.
"""

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import Sequence
from typing import Annotated

import typer
from typing_extensions import override

from app.adoption.require_sight import require_sight
from app.cli import (
    adoption,
    alerts,
    doctor,
    holds,
    incidents,
    jobs,
    keys,
    organisations,
    retention,
    rosters,
    secrets,
    spark_api,
    stored,
    students,
    xp,
)
from app.cli.newcomer import export_lines
from app.cli.servers import LOCAL, PROJECT, read_settings, refuse, servers, use_local_secrets
from app.cli.terminal import say
from app.cli.wait_for_schema import wait_for_schema
from app.clock import utc_now
from app.contract import stale_files
from app.demo import Demo, DemoFailedError
from app.files.spool import require_folder
from app.logs import configure_logs
from app.main import open_resources
from app.play_spark import try_it
from app.serve import Server, listen_often
from app.settings import Settings
from app.worker import job_kinds, run_worker

commands = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a pretty traceback prints local variables, secrets among them
)
commands.add_typer(stored.commands)
commands.add_typer(rosters.commands)
commands.add_typer(keys.commands, name="keys")
commands.add_typer(secrets.commands, name="secrets")
commands.add_typer(xp.commands, name="xp")
commands.add_typer(jobs.commands, name="jobs")
commands.add_typer(alerts.commands, name="alerts")
commands.add_typer(holds.commands, name="hold")
commands.add_typer(retention.commands, name="retention")
commands.add_typer(spark_api.grades, name="grades")
commands.add_typer(spark_api.receipts, name="receipts")
commands.add_typer(students.commands)
commands.add_typer(organisations.commands, name="organisation")
commands.add_typer(incidents.commands)
commands.add_typer(doctor.commands)
commands.add_typer(adoption.commands)


@commands.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8000,
) -> None:
    """Serve web and worker in one process."""
    configure_logs()
    read_settings()  # a port is not worth looking for with settings that are wrong
    with _bind(host, port) as listener, servers(LOCAL, own=True) as settings:
        require_folder()
        if not wait_for_schema(settings):
            return
        require_sight(settings)
        _AnnouncingServer(settings, host=host, port=port).run(listen_often(listener))


@commands.command()
def worker(
    only: Annotated[
        list[str] | None,
        typer.Option(help="Do jobs of this kind, as `picture`, and nothing else; repeatable."),
    ] = None,
) -> None:
    """Run only the worker loop, until a signal ends it."""
    configure_logs()
    with servers(LOCAL) as settings:
        if wait_for_schema(settings):
            require_sight(settings)
            asyncio.run(_work(settings, only or []))


@commands.command()
def demo(
    file_url: Annotated[
        str | None,
        typer.Option(help="At the Spark for tests that is set up: fetch it, and send a grade."),
    ] = None,
) -> None:
    """Play one student's homework through a service of its own, and check what comes back."""
    configure_logs(logging.WARNING)
    with servers(LOCAL / "demo", own=True) as settings:
        server = _DemoServer(settings, file_url)
        server.run()
    say(*server.demo.table().splitlines())
    if server.failure:
        refuse(f"The demo failed. {server.failure}")
    say("  Everything came back as it was handed in.")


@commands.command("try-it")
def print_try_it(
    base_url: Annotated[str, typer.Option(help="Where the service is.")] = "http://127.0.0.1:8000",
) -> None:
    """Print a fresh sign-in link and signed curl commands."""
    use_local_secrets(LOCAL)
    _say_try_it(read_settings(), base_url)


@commands.command()
def openapi(
    *,
    check: Annotated[bool, typer.Option("--check", help="Compare; write nothing.")] = False,
) -> None:
    """Write what is generated: openapi/, .env.example, and two pages of docs/."""
    stale = stale_files(PROJECT)
    for path, content in stale.items():
        say(f"{path.relative_to(PROJECT)} {'is out of date' if check else 'written'}")
        if not check:
            path.write_text(content)
    if stale and check:
        refuse("Run `make openapi` and commit what it writes.")


def _say_try_it(settings: Settings, base_url: str) -> None:
    exports = export_lines(settings, base_url, LOCAL)
    say(*try_it(settings, base_url, now=utc_now(), exports=exports).splitlines())


class _AnnouncingServer(Server):
    """Says where it is, and how to try it."""

    @override
    async def on_serving(self) -> None:
        say(f"Serving on {self.base_url}")
        say("Fingerprints: " + ", ".join(secrets.fingerprints(self._settings)))
        if not self._settings.in_production:
            _say_try_it(self._settings, self.base_url)


class _DemoServer(Server):
    """Serves until its demo is over."""

    def __init__(self, settings: Settings, file_url: str | None) -> None:
        super().__init__(settings, host="127.0.0.1", port=0)
        self._file_url = file_url
        self.demo = Demo()
        self.failure = "It was interrupted."

    @override
    async def on_serving(self) -> None:
        playing = asyncio.create_task(self._play())
        while not (playing.done() or self.should_exit):
            await asyncio.wait([playing], timeout=0.1)
        playing.cancel()
        self.should_exit = True

    async def _play(self) -> None:
        try:
            await self.demo.play(self.base_url, self._settings, self._file_url)
            self.failure = ""
        except DemoFailedError as failure:
            self.failure = str(failure)
        except Exception as failure:  # noqa: BLE001 - whatever it is, somebody has to hear of it
            self.failure = type(failure).__name__


async def _work(settings: Settings, only: Sequence[str]) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with open_resources(settings) as resources:
        if unable := set(only) - job_kinds(resources).keys():
            refuse(
                f"This process cannot do {', '.join(sorted(unable))}, but"
                f" {', '.join(job_kinds(resources))}.",
                "`picture` needs the extra `pictures` and PICTURE_MAX_PIXELS.",
            )
        await resources.readiness.begin()
        worker = asyncio.create_task(run_worker(resources, only))
        await stopping.wait()
        worker.cancel()
        await asyncio.wait([worker])


def _bind(host: str, port: int) -> socket.socket:
    """Before anything is started, so that a taken port is told at once; who serves listens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.socket(family)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        is_taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        other = f"; another one: make run PORT={port + 1}, or --port {port + 1}" if is_taken else ""
        why = str(error).removesuffix(".")
        refuse(f"The service cannot listen on {host}, port {port}: {why}{other}.")
    return bound
