"""Files that a block's content names: pointers in the database, signed links for readers
(DESIGN R19).

A pointer may stand in any `url` of the content, however deep. It is signed only if it lies under
the student's own prefix, so that no block opens somebody else's file.
"""

import asyncio
from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import Any
from uuid import UUID

from app.storage.bucket import Bucket


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


def object_keys(bucket: Bucket, contents: Iterable[Any]) -> set[str]:
    """The keys of all files that these contents name."""
    urls = (part.get("url") for content in contents for part in json_objects(content))
    return {key for url in urls if isinstance(url, str) and (key := bucket.object_key(url))}


class Links:
    """Signed links to the files of one student, each signed once: that takes a while."""

    def __init__(self, bucket: Bucket, user_id: UUID) -> None:
        self._bucket = bucket
        self._prefix = f"{user_id}/"
        self._signed: dict[tuple[str, ...], str] = {}

    async def show(self, content: dict[str, Any]) -> dict[str, Any]:
        """The content with links instead of pointers."""
        shown = deepcopy(content)
        for part in json_objects(shown):
            object_key = self._bucket.object_key(str(part.get("url", "")))
            if object_key and object_key.startswith(self._prefix):
                part["url"] = await self._sign(
                    object_key,
                    str(part.get("content_type", "application/octet-stream")),
                    str(part.get("filename", "file")),
                )
        return shown

    async def _sign(self, object_key: str, content_type: str, filename: str) -> str:
        facts = (object_key, content_type, filename)
        if facts not in self._signed:
            self._signed[facts] = await self._bucket.link(
                object_key, content_type=content_type, filename=filename
            )
            await asyncio.sleep(0)  # a millisecond each, and nothing in it lets others run
        return self._signed[facts]
