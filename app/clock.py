"""Time and time-ordered ids. Only the edges call this; everything below takes them as arguments."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

EPOCH = datetime.fromtimestamp(0, tz=UTC)
MILLISECOND = timedelta(milliseconds=1)


def utc_now() -> datetime:
    return datetime.now(tz=UTC)


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562): unique, and ordered by the moment it was made."""
    return uuid7()


def moment_of(made: UUID) -> datetime:
    """When `new_id` made it, to the millisecond."""
    return EPOCH + (made.int >> 80) * MILLISECOND


def first_id(moment: datetime) -> UUID:
    """What `new_id` makes from this millisecond on is not less, what it made before is."""
    return UUID(int=max(0, (moment - EPOCH) // MILLISECOND) << 80)


def stopwatch() -> Callable[[], float]:
    """The seconds since this call."""
    began = time.monotonic()
    return lambda: time.monotonic() - began
