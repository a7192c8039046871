"""A second application on the same database and bucket, with other settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

from app.settings import Settings
from tests.support.running import Running, run_app
from tests.support.spark import Spark


@dataclass(frozen=True)
class Elsewhere:
    running: Running
    spark: Spark


@asynccontextmanager
async def run_elsewhere(settings: Settings, **changes: object) -> AsyncIterator[Elsewhere]:
    """A change to None unsets. The Spark that calls it keeps the secrets of `settings`."""
    assert settings.spark_sso_secret
    assert settings.spark_webhook_secret
    async with (
        run_app(settings.model_copy(update=changes)) as running,
        httpx.AsyncClient(base_url=running.url, timeout=60, trust_env=False) as client,
    ):
        spark = Spark(client, settings.spark_sso_secret, settings.spark_webhook_secret)
        yield Elsewhere(running, spark)


def change_intake(running: Running, **changes: Any) -> None:
    """Of what the application has opened for submissions; for what is no setting."""
    opened = running.app.state.resources
    running.app.state.resources = replace(opened, intake=replace(opened.intake, **changes))
