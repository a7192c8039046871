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
    """The moment at which `new_id` made this id, to the millisecond."""
    return EPOCH + (made.int >> 80) * MILLISECOND


def first_id(moment: datetime) -> UUID:
    """The lowest id of this millisecond: later ones are not less, earlier ones are."""
    return UUID(int=max(0, (moment - EPOCH) // MILLISECOND) << 80)


def stopwatch() -> Callable[[], float]:
    """The seconds since this call."""
    began = time.monotonic()
    return lambda: time.monotonic() - began
