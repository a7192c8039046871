"""Everything of somebody, in a file that is whole or not there."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

from app.api.dependencies import Resources
from app.cli.servers import ask_service
from app.cli.terminal import say

Begin = Callable[[Resources], Awaitable[AsyncGenerator[bytes, None]]]


def write_zip(file: Path, begin: Begin) -> None:
    unfinished = file.with_name(f"{file.name}.part")

    async def write(resources: Resources) -> None:
        async with aclosing(await begin(resources)) as stream:
            with unfinished.open("wb") as target:
                async for chunk in stream:
                    target.write(chunk)

    try:
        ask_service(write)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
    say(f"{file} is written.")
