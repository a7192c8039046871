"""The commands inside this process: what a process of its own adds is tested in test_commands."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from typer.testing import CliRunner, Result

from app.cli import commands
from app.errors import NotFoundError
from app.settings import Settings
from tests.support.processes import environment

NOT_FOUND = f"not_found: Not found\n{NotFoundError.hint}\n"  # as a command says it

Run = Callable[..., Coroutine[Any, Any, Result]]


def invoke(settings: Settings, *words: str) -> Result:
    """Where no event loop runs. A command may take the log to an output that ends with it."""
    root = logging.getLogger()
    handlers = [*root.handlers]
    try:
        return CliRunner(env=environment(settings)).invoke(commands, words)
    finally:
        root.handlers[:] = handlers


def run_on(settings: Settings) -> Run:
    async def command(*words: str) -> Result:
        return await asyncio.to_thread(invoke, settings, *words)

    return command
