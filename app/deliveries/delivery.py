"""One request of Spark to a webhook, as it arrives."""

from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.deliveries.authenticate import SignatureHeaders
from app.deliveries.inbox import JSON


@dataclass(frozen=True)
class Delivery:
    """Its body and headers, and the moment and ids from the edge.

    `elapsed` gives the seconds since it came. `length` is what the sender announced, or None if
    the body is chunked.
    """

    route: str
    body: AsyncIterable[bytes]
    length: int | None
    content_type: str
    signatures: SignatureHeaders
    idempotency_key: str | None
    now: datetime
    elapsed: Callable[[], float]
    new_id: Callable[[], UUID]

    @property
    def media_type(self) -> str:
        """Lower-case, without parameters."""
        return self.content_type.partition(";")[0].strip().lower()

    @property
    def is_json(self) -> bool:
        return self.media_type == JSON
