"""What a dry run finds (DESIGN R7): every problem, and what would become of the delivery."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Literal, TypeVar

from app.deliveries.inbox import Entry
from app.deliveries.open import Delivery, open_json
from app.deliveries.payload import beside_if_large
from app.errors import BadRequestError, ForbiddenError, MissingError, ServiceError
from app.fields import AnswerWarning
from app.settings import Settings

Would = Literal["create", "revise", "duplicate", "refuse"]
T = TypeVar("T")
FAULTS = (BadRequestError, ForbiddenError, MissingError)


class Rehearsal:
    """With problems the delivery would be refused; those of single entries of a roster are named,
    too.
    """

    def __init__(self) -> None:
        self.would: Would = "refuse"
        self.problems: list[ServiceError] = []
        self.warnings: list[AnswerWarning] = []

    def add(self, *faults: ServiceError) -> None:
        self.problems += faults

    def warn(self, *warnings: AnswerWarning) -> None:
        self.warnings += warnings

    def foresee(self, would: Would) -> None:
        self.would = would

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """A fault ends what is inside, and is remembered."""
        try:
            yield
        except FAULTS as fault:
            self.add(fault)


async def rehearse_json(
    settings: Settings,
    delivery: Delivery,
    examine: Callable[[bytes], tuple[T, Sequence[BadRequestError], Sequence[AnswerWarning]]],
) -> tuple[T, Entry, Rehearsal]:
    """What the message says, and what is wrong with it. Raises what `open_json` raises."""
    entry = await open_json(settings, delivery)
    payload, rehearsal = await rehearse_entry(entry, examine, now=delivery.now)
    return payload, entry, rehearsal


async def rehearse_entry(
    entry: Entry,
    examine: Callable[[bytes], tuple[T, Sequence[BadRequestError], Sequence[AnswerWarning]]],
    *,
    now: datetime,
) -> tuple[T, Rehearsal]:
    """What an opened message says, and what is wrong with it."""
    rehearsal = Rehearsal()
    with rehearsal.going_on():
        entry.attempt.check_fresh(now=now)
    payload, faults, warnings = await beside_if_large(examine, entry.text)
    rehearsal.add(*faults)
    rehearsal.warn(*warnings)
    return payload, rehearsal
