"""An event loop whose clock can be moved on, so that nobody has to wait."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from typing_extensions import override


class HurriedLoop(asyncio.SelectorEventLoop):
    """Its clock can skip ahead, so that nobody has to wait for a slow sender."""

    skipped = 0.0

    @override
    def time(self) -> float:
        return super().time() + self.skipped


def skip(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, HurriedLoop)
    loop.skipped += seconds


def run_hurried(coroutine: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=HurriedLoop) as runner:
        return runner.run(coroutine)
