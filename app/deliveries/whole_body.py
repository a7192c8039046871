"""A body that is read once, in pieces; of a small one the pieces are kept, for a diagnosis."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Self

from app.errors import BodyTimeoutError

KEPT_BYTES = 1024 * 1024  # DESIGN R8


class WholeBody:
    """Bodies of more than KEPT_BYTES, or of unknown `length`, pass without being kept."""

    def __init__(self, chunks: AsyncIterator[bytes], length: int | None) -> None:
        self._chunks = chunks
        self._kept = bytearray() if length is not None and length <= KEPT_BYTES else None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        if self._kept is not None:
            self._kept += chunk
        return chunk

    async def read_whole(self) -> bytes | None:
        """Everything, with what is still to come; None if it is not kept."""
        if self._kept is None:
            return None
        with suppress(BodyTimeoutError):
            async for _ in self:
                pass
        return bytes(self._kept)
