"""What a dry run finds (DESIGN R7): every problem, and what would become of the delivery."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from app.deliveries.inbox import Entry
from app.deliveries.open import Delivery, open_json
from app.deliveries.payload import beside_if_large
from app.errors import BadRequestError, ForbiddenError, MissingError, ServiceError
from app.settings import Settings

Would = Literal["create", "revise", "duplicate", "refuse"]
FAULTS = (BadRequestError, ForbiddenError, MissingError)


class Rehearsal:
    """With problems the delivery would be refused; those of single entries of a roster are named,
    too.
    """

    def __init__(self) -> None:
        self.would: Would = "refuse"
        self.problems: list[ServiceError] = []

    def add(self, *faults: ServiceError) -> None:
        self.problems += faults

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
    list_faults: Callable[[bytes], Sequence[BadRequestError]],
) -> tuple[Entry, Rehearsal]:
    """What is wrong with the message itself. Raises what `open_json` raises."""
    entry = await open_json(settings, delivery)
    rehearsal = Rehearsal()
    with rehearsal.going_on():
        entry.attempt.check_fresh(now=delivery.now)
    rehearsal.add(*await beside_if_large(list_faults, entry.text))
    return entry, rehearsal
