"""What a command works with: the settings, and embedded servers for those that they do not name."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from app.api.dependencies import Resources
from app.cli.newcomer import enrol_guide_student
from app.cli.terminal import say
from app.database import OUTAGES, Sessions, create_engine
from app.embedded.secrets import local_secrets
from app.embedded.servers import EmbeddedError, run_servers, use_servers
from app.errors import ServiceError, StorageUnavailableError
from app.learning.sample_course import seed_sample_course
from app.main import open_resources
from app.migrate import UnfitDatabaseError
from app.migrate import migrate as migrate_database
from app.settings import Settings, SettingsError, load_settings

PROJECT = Path(__file__).parents[2]
LOCAL = PROJECT / ".local"
CALLER = "command"  # in the audit log

Answer = TypeVar("Answer")
Filter = TypeVar("Filter", bound=BaseModel)


@contextmanager
def servers(folder: Path, *, s3: bool = True, own: bool = False) -> Iterator[Settings]:
    """The settings, with embedded servers for those they lack; `s3` says whether files matter.

    Where they run already, as beside `make run`, those are used unless they must be our `own`.
    What an act within refuses ends the command with its code and hint.
    """
    settings = read_settings()
    postgres, s3 = settings.database_url is None, s3 and settings.s3_endpoint_url is None
    try:
        if not postgres and not s3:
            yield settings
            return
        use_local_secrets(folder)
        start = run_servers if own else use_servers
        with start(folder, postgres=postgres, s3=s3) as variables:
            os.environ.update(variables)
            settings = read_settings()
            if s3:
                on_resources(settings, lambda resources: resources.bucket.ensure_exists())
            if postgres:
                migrate_database(settings)
                on_database(settings, seed_sample_course)
            if postgres and settings.s3_endpoint_url:
                on_resources(settings, enrol_guide_student)
            yield settings
    except (EmbeddedError, SettingsError, UnfitDatabaseError) as error:
        refuse(*str(error).splitlines())
    except StorageUnavailableError:
        refuse("The file storage does not answer as it should.")
    except OUTAGES as failure:
        refuse(f"The database does not answer as it should ({type(failure).__name__}).")
    except ServiceError as problem:
        hints = [problem.hint_text] if problem.hint_text else []
        refuse(f"{problem.code}: {problem.error_text}", *hints)


def use_local_secrets(folder: Path) -> None:
    """The environment and `.env` win over the secrets of this checkout."""
    given = read_settings()
    for name, secret in local_secrets(folder).items():
        if not getattr(given, name.lower(), None):
            os.environ.setdefault(name, secret)


def read_settings() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        refuse(*str(error).splitlines())


def refuse(*sentences: str) -> NoReturn:
    say(*sentences, err=True)
    raise typer.Exit(1)


def read_options(
    model: type[Filter], given: Mapping[str, Any], names: Mapping[str, str] = MappingProxyType({})
) -> Filter:
    """A filter as requests have it, of a command's options; `names` has those that differ.

    Ends the command with a sentence for each mistake.
    """
    try:
        return model.model_validate({name: it for name, it in given.items() if it is not None})
    except ValidationError as error:
        faults = error.errors(include_input=False, include_context=False, include_url=False)
    for fault in faults:
        option = "".join(f"--{names.get(str(name), name)}: " for name in fault["loc"][:1])
        said = f"{option}{fault['msg'].removeprefix('Value error, ')}."
        say(said[0].upper() + said[1:], err=True)
    raise typer.Exit(1)


def on_database(settings: Settings, act: Callable[[Sessions], Awaitable[Answer]]) -> Answer:
    """The answer of an act that needs the database alone."""

    async def connected() -> Answer:
        engine = create_engine(settings)
        try:
            return await act(engine.connect)
        finally:
            await engine.dispose()

    return asyncio.run(connected())


def on_resources(settings: Settings, act: Callable[[Resources], Awaitable[Answer]]) -> Answer:
    """The answer of an act that needs all that a process of the service holds open."""

    async def opened() -> Answer:
        async with open_resources(settings) as resources:
            return await act(resources)

    return asyncio.run(opened())


def ask_database(act: Callable[[Sessions], Awaitable[Answer]]) -> Answer:
    with servers(LOCAL, s3=False) as settings:
        return on_database(settings, act)


def ask_service(act: Callable[[Resources], Awaitable[Answer]]) -> Answer:
    with servers(LOCAL) as settings:
        return on_resources(settings, act)
