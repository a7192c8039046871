"""What the service logged during a test."""

from typing import Any

import pytest

from app.logs import LAST_SAID


def say_everything_anew() -> None:
    """As if the last minute had not been: another test may have caused the same line in it."""
    LAST_SAID.clear()


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """The lines of this event, each with its level."""
    lines = (record.msg for record in caplog.records if isinstance(record.msg, dict))
    return [line for line in lines if line.get("event") == event]
