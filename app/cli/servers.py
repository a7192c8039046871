"""What a command works with: the settings, and embedded servers for those that they do not name."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer

from app.database import OUTAGES, create_engine
from app.database import migrate as migrate_database
from app.embedded.secrets import local_secrets
from app.embedded.servers import EmbeddedError, run_servers
from app.errors import StorageUnavailableError
from app.learning.sample_course import seed_sample_course
from app.main import open_resources
from app.settings import Settings, SettingsError, load_settings

PROJECT = Path(__file__).parents[2]
LOCAL = PROJECT / ".local"


@contextmanager
def servers(folder: Path, *, s3: bool = True) -> Iterator[Settings]:
    """The settings, with embedded servers for those they lack; `s3` says whether files matter."""
    settings = read_settings()
    postgres, s3 = settings.database_url is None, s3 and settings.s3_endpoint_url is None
    try:
        if not postgres and not s3:
            yield settings
            return
        use_local_secrets(folder)
        with run_servers(folder, postgres=postgres, s3=s3) as variables:
            os.environ.update(variables)
            settings = read_settings()
            if s3:
                asyncio.run(_prepare_bucket(settings))
            if postgres:
                migrate_database(settings)
                asyncio.run(seed_database(settings))
            yield settings
    except EmbeddedError as error:
        refuse(str(error))
    except StorageUnavailableError:
        refuse("The file storage does not answer as it should.")
    except OUTAGES as failure:
        refuse(f"The database does not answer as it should ({type(failure).__name__}).")


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
        refuse(str(error))


def refuse(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)


async def seed_database(settings: Settings) -> None:
    engine = create_engine(settings)
    await seed_sample_course(engine.connect)
    await engine.dispose()


async def _prepare_bucket(settings: Settings) -> None:
    async with open_resources(settings) as resources:
        await resources.bucket.ensure_exists()
