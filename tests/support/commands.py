"""The commands inside this process: what a process of its own adds is tested in test_commands."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from typer.testing import CliRunner, Result

from app.cli import commands
from app.errors import NotFoundError
from app.settings import Settings
from tests.support.processes import environment

NOT_FOUND = f"not_found: Not found\n{NotFoundError.hint}\n"  # as a command says it

Run = Callable[..., Coroutine[Any, Any, Result]]


def run_on(settings: Settings) -> Run:
    async def command(*words: str) -> Result:
        runner = CliRunner(env=environment(settings))
        return await asyncio.to_thread(lambda: runner.invoke(commands, words))

    return command
