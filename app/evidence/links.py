"""Files that a block's content names: pointers in the database, signed links for readers
(DESIGN R19).

A pointer may stand in any `url` of the content, however deep. It is signed only if it lies under
the student's own prefix, so that no block opens somebody else's file.
"""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import Any
from uuid import UUID

from app.storage.bucket import Bucket


def objects(content: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object in it, itself included."""
    if isinstance(content, dict):
        yield content
        content = list(content.values())
    if isinstance(content, list):
        for inner in content:
            yield from objects(inner)


def object_keys(bucket: Bucket, contents: Iterable[Any]) -> set[str]:
    """The keys of all files that these contents name."""
    urls = (part.get("url") for content in contents for part in objects(content))
    return {key for url in urls if isinstance(url, str) and (key := bucket.object_key(url))}


async def with_links(bucket: Bucket, content: dict[str, Any], *, user_id: UUID) -> dict[str, Any]:
    """The content with a signed link instead of each pointer to a file of this student."""
    shown = deepcopy(content)
    for part in objects(shown):
        object_key = bucket.object_key(str(part.get("url", "")))
        if object_key and object_key.startswith(f"{user_id}/"):
            part["url"] = await bucket.link(
                object_key,
                content_type=str(part.get("content_type", "application/octet-stream")),
                filename=str(part.get("filename", "file")),
            )
    return shown
