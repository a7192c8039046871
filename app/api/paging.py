"""Lists in pages, the same for every list: `?limit=&cursor=` gives `{items, next_cursor}`.

A page begins after the id where the one before it ended, so that pages stay whole while rows are
added. A cursor is that id, or another number of 128 bits, with our seal; it belongs to one path.
The header `Link` leads to the next page as well (RFC 8288).
"""

import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Protocol, TypeVar
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import ConfigDict, Field, SecretStr

from app.api.dependencies import Opened
from app.errors import FieldInvalidError
from app.fields import ContractModel
from app.signing import sign

PLACE_DIGITS, SEAL_DIGITS = 32, 16
CURSOR_PATTERN = f"^[0-9a-f]{{{PLACE_DIGITS + SEAL_DIGITS}}}$"
CURSOR_EXAMPLE = "0193b5a27a5c7c3e8d1f2f4e6a8b0c1d5f0c3a9e7b21d846"

Item = TypeVar("Item")


class LimitQuery(ContractModel):
    """What every list is asked. Unknown parameters are refused: misspelt, a filter gives all."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=200, description="Most items.", examples=[50])


class PageQuery(LimitQuery):
    """What a list with a last page is asked."""

    cursor: str | None = Field(
        None,
        pattern=CURSOR_PATTERN,
        description="The `next_cursor` of the page before; without it the first page.",
        examples=[CURSOR_EXAMPLE],
    )


NextCursor = Annotated[
    str | None,
    Field(
        description="Send it as `cursor` for the next page; null on the last one.",
        examples=[CURSOR_EXAMPLE],
    ),
]


class ListPage(ContractModel, Generic[Item]):
    """A page of a list."""

    items: list[Item] = Field(description="At most `limit`.")
    next_cursor: NextCursor


LINKED: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "Link": {
                "description": "The next page, `rel=next`; absent on the last one.",
                "schema": {"type": "string"},
                "example": f'</internal/v1/list?cursor={CURSOR_EXAMPLE}>; rel="next"',
            }
        }
    }
}


class ListItem(Protocol):
    @property
    def id(self) -> UUID: ...


def seal_cursor(path: str, place: int, key: SecretStr) -> str:
    digits = f"{place:0{PLACE_DIGITS}x}"
    return digits + sign(key, f"{path}:{digits}".encode())[:SEAL_DIGITS]


@dataclass(frozen=True)
class _Pages:
    """Of the list that is asked for: its cursors are sealed with the first key, opened with any."""

    request: Request
    response: Response
    keys: Sequence[SecretStr]

    def seal(self, place: int) -> str:
        return seal_cursor(self.request.url.path, place, self.keys[0])

    def open(self, cursor: str, *, field: str = "cursor") -> int:
        """The place. Raises FieldInvalidError for a cursor that is not of this list."""
        place = int(cursor[:PLACE_DIGITS], 16)
        sealed = (seal_cursor(self.request.url.path, place, key) for key in self.keys)
        if not any(hmac.compare_digest(cursor, one) for one in sealed):
            raise FieldInvalidError(name=field, hint="Send a `next_cursor` of this list.")
        return place

    def link(self, cursor: str) -> None:
        here = self.request.url.remove_query_params(["after", "from"])
        query = here.include_query_params(cursor=cursor).query
        self.response.headers["Link"] = f'<{here.path}?{query}>; rel="next"'

    async def read(
        self,
        query: PageQuery,
        fetch: Callable[[UUID | None, int], Awaitable[Sequence[ListItem]]],
    ) -> dict[str, Any]:
        """The members of a ListPage. `fetch` gives so many items after an id, in the list's order,
        and one more if there are more.

        Raises FieldInvalidError for a cursor that is not of this list.
        """
        after = UUID(int=self.open(query.cursor)) if query.cursor else None
        found = await fetch(after, query.limit)
        items, next_cursor = found[: query.limit], None
        if len(found) > len(items):
            next_cursor = self.seal(items[-1].id.int)
            self.link(next_cursor)
        return {"items": items, "next_cursor": next_cursor}


async def _pages(request: Request, response: Response, opened: Opened) -> _Pages:
    return _Pages(request, response, opened.cursor_keys)


Pages = Annotated[_Pages, Depends(_pages)]
