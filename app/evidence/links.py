"""Files that a block's content names: pointers in the database, signed links for readers
(DESIGN R19).

A pointer may stand in any `url` of the content, however deep. It is signed only if the file is the
student's or of whoever added the block, so that no block opens somebody else's.
"""

import asyncio
from collections.abc import Iterable, Iterator
from copy import deepcopy
from datetime import datetime
from typing import Any
from uuid import UUID

from app.storage.bucket import Bucket
from app.storage.pointers import Place


def json_objects(content: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object in it, itself included, in no order."""
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def named_files(bucket: Bucket, contents: Iterable[Any]) -> set[Place]:
    """All files that these contents name and that are ours to read."""
    pointers = bucket.pointers
    return {
        place
        for content in contents
        for part in json_objects(content)
        for member in pointers.members
        if (place := pointers.find(part.get(member)))
    }


def object_keys(bucket: Bucket, contents: Iterable[Any]) -> set[str]:
    """The keys of those in our own bucket."""
    own = bucket.pointers.place
    return {place.key for place in named_files(bucket, contents) if place == own(place.key)}


class Links:
    """Signed links to the files of one student, each signed once: that takes a while."""

    def __init__(self, bucket: Bucket, user_id: UUID, now: datetime) -> None:
        self._bucket = bucket
        self._student = str(user_id)
        self._now = now
        self._signed: dict[tuple[Place, str, str], str] = {}

    async def show(self, content: dict[str, Any], uploader: UUID | None) -> dict[str, Any]:
        """The content of a block that `uploader` added, with links instead of pointers."""
        pointers = self._bucket.pointers
        shown = deepcopy(content)
        for part in json_objects(shown):
            for member in pointers.members:
                place = pointers.find(part.get(member))
                if place and pointers.is_of(place.key, self._student, str(uploader)):
                    part[member] = await self._sign(
                        place,
                        str(part.get("content_type", "application/octet-stream")),
                        str(part.get("filename", "file")),
                    )
        return shown

    async def _sign(self, place: Place, content_type: str, filename: str) -> str:
        facts = (place, content_type, filename)
        if facts not in self._signed:
            self._signed[facts], _ = self._bucket.links.sign(
                place, self._now, content_type=content_type, filename=filename
            )
            await asyncio.sleep(0)  # nothing in it lets others run
        return self._signed[facts]
