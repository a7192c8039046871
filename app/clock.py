"""Time and time-ordered ids. Only the edges call this; everything below takes them as arguments."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7


def utc_now() -> datetime:
    return datetime.now(tz=UTC)


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562): unique, and ordered by the moment it was made."""
    return uuid7()


def stopwatch() -> Callable[[], float]:
    """The seconds since this call."""
    began = time.monotonic()
    return lambda: time.monotonic() - began
