"""Lists in pages, the same for every list: `?limit=&cursor=` gives `{items, next_cursor}`.

A page begins after the id where the one before it ended, so that pages stay whole while rows are
added. A cursor is that id with our seal; it belongs to one list.
"""

import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from app.errors import FieldInvalidError
from app.signing import sign

SEAL_DIGITS = 16
CURSOR_EXAMPLE = "0193b5a27a5c7c3e8d1f2f4e6a8b0c1d5f0c3a9e7b21d846"


class PageQuery(BaseModel):
    """What every list is asked. Unknown parameters are refused: misspelt, a filter gives all."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=200, title="Limit", description="Most items.", examples=[50])
    cursor: str | None = Field(
        None,
        pattern=f"^[0-9a-f]{{{32 + SEAL_DIGITS}}}$",
        title="Cursor",
        description="The `next_cursor` of the page before; without it the first page.",
        examples=[CURSOR_EXAMPLE],
    )


class Identified(Protocol):
    @property
    def id(self) -> UUID: ...


Item = TypeVar("Item", bound=Identified)


@dataclass(frozen=True)
class Page(Generic[Item]):
    """`next_cursor` is None on the last page."""

    items: Sequence[Item]
    next_cursor: str | None


async def read_page(
    query: PageQuery,
    fetch: Callable[[UUID | None, int], Awaitable[Sequence[Item]]],
    *,
    name: str,
    key: SecretStr,
) -> Page[Item]:
    """One page of the list `name`; `fetch` gives so many items after an id, in the list's order.

    Raises FieldInvalidError for a cursor that is not of this list.
    """
    after = _open(query.cursor, name, key) if query.cursor else None
    found = await fetch(after, query.limit + 1)
    items = found[: query.limit]
    return Page(items, _seal(items[-1].id, name, key) if len(found) > len(items) else None)


def _seal(last: UUID, name: str, key: SecretStr) -> str:
    return last.hex + sign(key, f"{name}:{last}".encode())[:SEAL_DIGITS]


def _open(cursor: str, name: str, key: SecretStr) -> UUID:
    last = UUID(cursor[:-SEAL_DIGITS])
    if not hmac.compare_digest(cursor, _seal(last, name, key)):
        raise FieldInvalidError(name="cursor", hint="Send a `next_cursor` of this list.")
    return last
