"""The commands: `python -m app --help`.

Without a DATABASE_URL or an S3_ENDPOINT_URL they use embedded servers, kept under `.local/`, and
bring those up to date first. Servers that the settings name are left as they are.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typing_extensions import override

from app.clock import utc_now
from app.contract import stale_files
from app.database import OUTAGES, create_engine
from app.database import migrate as migrate_database
from app.demo import Demo, DemoFailedError
from app.embedded.secrets import local_secrets
from app.embedded.servers import EmbeddedError, run_servers
from app.errors import StorageUnavailableError
from app.learning.sample_course import seed_sample_course
from app.logs import configure_logs
from app.main import create_app, open_resources
from app.play_spark import try_it
from app.serve import Server
from app.settings import Settings, SettingsError, load_settings
from app.submissions.reconcile import Report
from app.submissions.reconcile import reconcile as reconcile_files
from app.worker import run_worker
from app.worker import sweep as sweep_once

PROJECT = Path(__file__).parent.parent
LOCAL = PROJECT / ".local"

commands = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # it prints local variables, secrets among them
)


@commands.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8000,
) -> None:
    """Serve web and worker in one process."""
    configure_logs()
    with _listen(host, port) as listener, _servers(LOCAL) as settings:
        _Announced(settings, host=host, port=port).run([listener])


@commands.command()
def worker() -> None:
    """Run only the worker loop, until a signal ends it."""
    configure_logs()
    with _servers(LOCAL) as settings:
        asyncio.run(_work(settings))


@commands.command()
def sweep() -> None:
    """Remove once what was abandoned, and say how much."""
    with _servers(LOCAL) as settings:
        removed = asyncio.run(_sweep(settings))
    typer.echo(", ".join(f"{kind}: {count} removed" for kind, count in removed.items()))


@commands.command()
def reconcile(
    *,
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove what nobody owns; without it, only say so.")
    ] = False,
) -> None:
    """Compare the bucket with its rows and say what differs. Fails when a file is missing."""
    with _servers(LOCAL) as settings:
        report = asyncio.run(_reconcile(settings, delete=delete))
    removable = report.unfinished + report.orphans
    typer.echo(f"objects: {report.objects}, rows: {report.rows}, not ours: {report.foreign}")
    typer.echo(f"unfinished, uploads that nobody will end: {report.unfinished}")
    typer.echo(f"orphans, objects without a row: {report.orphans}")
    typer.echo(f"missing, rows without an object: {report.missing}")
    typer.echo(f"deleted: {report.deleted}" if delete else f"--delete would remove {removable}")
    if report.missing:
        _refuse(f"{report.missing} committed files are not in the bucket: restore them.")


@commands.command()
def migrate() -> None:
    """Bring the database schema up to date. Safe to repeat and to run twice at once."""
    with _servers(LOCAL, s3=False) as settings:
        migrate_database(settings)
    typer.echo("The schema is up to date.")


@commands.command()
def seed() -> None:
    """Add the sample course of the integration guide, unless it is there."""
    with _servers(LOCAL, s3=False) as settings:
        asyncio.run(_seed(settings))
    typer.echo("The sample course is there.")


@commands.command()
def demo() -> None:
    """Play one student's homework through a service of its own, and check what comes back."""
    configure_logs(logging.WARNING)
    with _servers(LOCAL / "demo") as settings:
        server = _Demonstrated(settings, host="127.0.0.1", port=0)
        server.run()
    typer.echo(server.demo.table())
    if server.failure:
        _refuse(f"The demo failed. {server.failure}")
    typer.echo("  Everything came back as it was handed in.")


@commands.command("try-it")
def print_try_it(
    base_url: Annotated[str, typer.Option(help="Where the service is.")] = "http://127.0.0.1:8000",
) -> None:
    """Print a fresh sign-in link and signed curl commands."""
    _use_local_secrets(LOCAL)
    typer.echo(try_it(_settings(), base_url, now=utc_now()))


@commands.command()
def openapi(
    *,
    check: Annotated[bool, typer.Option("--check", help="Compare; write nothing.")] = False,
) -> None:
    """Write what is generated: openapi/, .env.example and docs/settings.md."""
    stale = stale_files(PROJECT)
    for path, content in stale.items():
        typer.echo(f"{path.relative_to(PROJECT)} {'is out of date' if check else 'written'}")
        if not check:
            path.write_text(content)
    if stale and check:
        _refuse("Run `make openapi` and commit what it writes.")


class _Announced(Server):
    """Says where it is, and how to try it."""

    def __init__(self, settings: Settings, *, host: str, port: int) -> None:
        super().__init__(create_app(settings), host=host, port=port)
        self._settings = settings

    @override
    async def on_serving(self) -> None:
        typer.echo(f"Serving on {self.base_url}")
        if not self._settings.in_production:
            typer.echo(try_it(self._settings, self.base_url, now=utc_now()))


class _Demonstrated(Server):
    """Serves until its demo is over."""

    def __init__(self, settings: Settings, *, host: str, port: int) -> None:
        super().__init__(create_app(settings), host=host, port=port)
        self._settings = settings
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
            await self.demo.play(self.base_url, self._settings)
            self.failure = ""
        except DemoFailedError as failure:
            self.failure = str(failure)
        except Exception as failure:  # noqa: BLE001 - whatever it is, somebody has to hear of it
            self.failure = type(failure).__name__


async def _work(settings: Settings) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with open_resources(settings) as resources:
        worker = asyncio.create_task(run_worker(resources))
        await stopping.wait()
        worker.cancel()
        await asyncio.wait([worker])


async def _sweep(settings: Settings) -> dict[str, int]:
    async with open_resources(settings) as resources:
        return await sweep_once(resources)


async def _reconcile(settings: Settings, *, delete: bool) -> Report:
    """Prints each finding as it is made."""
    async with open_resources(settings) as resources:
        return await reconcile_files(
            resources.sessions,
            resources.bucket,
            before=utc_now() - timedelta(seconds=settings.upload_lease_seconds),
            delete=delete,
            tell=lambda kind, name: typer.echo(f"{kind} {name}"),
        )


async def _seed(settings: Settings) -> None:
    engine = create_engine(settings)
    await seed_sample_course(engine.connect)
    await engine.dispose()


async def _prepare_bucket(settings: Settings) -> None:
    async with open_resources(settings) as resources:
        await resources.bucket.ensure_exists()


def _listen(host: str, port: int) -> socket.socket:
    """Before anything is started, so that a taken port is told at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        _refuse(f"The service cannot listen on {host}, port {port}: {error}.")


@contextmanager
def _servers(folder: Path, *, s3: bool = True) -> Iterator[Settings]:
    """The settings, with embedded servers for those they lack; `s3` says whether files matter."""
    settings = _settings()
    postgres, s3 = settings.database_url is None, s3 and settings.s3_endpoint_url is None
    try:
        if not postgres and not s3:
            yield settings
            return
        _use_local_secrets(folder)
        with run_servers(folder, postgres=postgres, s3=s3) as variables:
            os.environ.update(variables)
            settings = _settings()
            if s3:
                asyncio.run(_prepare_bucket(settings))
            if postgres:
                migrate_database(settings)
                asyncio.run(_seed(settings))
            yield settings
    except EmbeddedError as error:
        _refuse(str(error))
    except StorageUnavailableError:
        _refuse("The file storage does not answer as it should.")
    except OUTAGES as failure:
        _refuse(f"The database does not answer as it should ({type(failure).__name__}).")


def _use_local_secrets(folder: Path) -> None:
    """The environment and `.env` win over the secrets of this checkout."""
    given = _settings()
    for name, secret in local_secrets(folder).items():
        if not getattr(given, name.lower(), None):
            os.environ.setdefault(name, secret)


def _settings() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        _refuse(str(error))


def _refuse(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)
