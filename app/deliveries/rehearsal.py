"""What a dry run finds (DESIGN R7): every problem, and what would become of the delivery."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from app.deliveries.delivery import Delivery
from app.deliveries.inbox import Entry
from app.deliveries.open import Gate, beside_if_large, open_json
from app.errors import BadRequestError, ForbiddenError, MissingError, ServiceError

Would = Literal["create", "revise", "duplicate", "refuse"]
FAULTS = (BadRequestError, ForbiddenError, MissingError)


@dataclass(frozen=True)
class Problem:
    """Why it would be refused; `file` is the sender's name of the file at fault."""

    fault: ServiceError
    file: str | None = None


@dataclass
class Rehearsal:
    """With problems the delivery would be refused."""

    would: Would = "refuse"
    problems: list[Problem] = field(default_factory=list)

    def add(self, *faults: ServiceError, file: str | None = None) -> None:
        self.problems += [Problem(fault, file) for fault in faults]

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """A fault ends what is inside, and is remembered."""
        try:
            yield
        except FAULTS as fault:
            self.add(fault)


async def rehearse_json(
    gate: Gate, delivery: Delivery, list_faults: Callable[[bytes], Sequence[BadRequestError]]
) -> tuple[Entry, Rehearsal]:
    """What is wrong with the message itself. Raises what `open_json` raises."""
    entry, authentic = await open_json(gate, delivery)
    rehearsal = Rehearsal()
    with rehearsal.going_on():
        authentic.check_fresh(now=delivery.now)
    rehearsal.add(*await beside_if_large(list_faults, entry.text))
    return entry, rehearsal
