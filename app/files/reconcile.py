"""Compare the bucket with its rows, in both directions (SECURITY D12).

The sweep removes what has a row. Here is found what has none, as after a PUT that reached the
store when its upload was already swept; and rows whose object is gone, which nothing can mend.

Nothing is locked, and nothing that lives is hit: a row is committed before the first byte, under
a key that is used once. So whoever has no row *after* it was listed never gets one, and a row
that was committed *before* the store was asked has its object there. Memory is that of one page.
What evidence names is not ours to remove, row or not: files of the main app and of who handed in
homework before us. That is asked once for a page, and again just before each removal.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import bindparam, select

from app.database import Sessions
from app.files.find_named import A_UUID, find_named
from app.models import Upload
from app.storage.bucket import Bucket

ROWS_PER_PAGE = 1000
OUR_KEY = re.compile(rf"{A_UUID}/{A_UUID}\.[a-z0-9]+")

Kind = Literal["unfinished", "orphan", "missing"]
Tell = Callable[[Kind, str], None]

_STATES = select(Upload.object_key, Upload.state).where(
    Upload.object_key.in_(bindparam("keys", expanding=True))
)
_COMMITTED = (
    select(Upload.object_key, Upload.id)
    .where(Upload.state == "committed", Upload.object_key > bindparam("after"))
    .order_by(Upload.object_key)
    .limit(ROWS_PER_PAGE)
)

# What was seen and found. `foreign` ones are never touched: keys that are not of our form, and
# objects without a row that evidence names.
Report = Counter[str]


async def reconcile(
    sessions: Sessions, bucket: Bucket, *, before: datetime, delete: bool, tell: Tell
) -> Report:
    """Report all, and with `delete` remove what has no row and is from `before` that moment.

    `tell` hears each finding at once: its kind, and its key or, of a missing file, its upload's
    id. Repeatable; what failed half-way is found again. Raises StorageUnavailableError.
    """
    comparison = _Comparison(sessions, bucket, before=before, delete=delete, tell=tell)
    await comparison.find_unfinished()  # first: removing an orphan ends its uploads as well
    await comparison.find_orphans()
    await comparison.find_missing()
    return comparison.report


@dataclass(frozen=True)
class _Comparison:
    sessions: Sessions
    bucket: Bucket
    before: datetime
    delete: bool
    tell: Tell
    report: Report = field(default_factory=Report)

    async def find_unfinished(self) -> None:
        """Uploads to the store that nobody will end: the sweep ends those whose row remains."""
        async for page in self.bucket.unfinished_uploads():
            ours = [upload for upload in page if OUR_KEY.fullmatch(upload[0])]
            self.report["foreign"] += len(page) - len(ours)
            old = [
                (key, upload_id) for key, upload_id, started_at in ours if started_at < self.before
            ]
            states = await self._states([object_key for object_key, _ in old])
            for object_key, upload_id in old:
                if states.get(object_key) not in {"pending", "deleting"}:
                    self.report["unfinished"] += 1
                    self.tell("unfinished", object_key)
                    if self.delete:
                        await self.bucket.abort_upload(object_key, upload_id)
                        self.report["deleted"] += 1

    async def find_orphans(self) -> None:
        async for page in self.bucket.objects():
            ours = [item for item in page if OUR_KEY.fullmatch(item[0])]
            self.report["objects"] += len(page)
            self.report["foreign"] += len(page) - len(ours)
            old = [object_key for object_key, written_at in ours if written_at < self.before]
            states = await self._states(old)
            rowless = [object_key for object_key in old if object_key not in states]
            named = await find_named(self.sessions, rowless) if rowless else set()
            self.report["foreign"] += len(named)
            for object_key in rowless:
                if object_key not in named and await self._is_orphan(object_key):
                    await self._take_orphan(object_key)

    async def _take_orphan(self, object_key: str) -> None:
        """Removed first and told then, so that whoever reads slowly makes no decision old."""
        if self.delete:
            if await find_named(self.sessions, [object_key]):
                self.report["foreign"] += 1
                return
            await self.bucket.delete(object_key)
            self.report["deleted"] += 1
        self.report["orphans"] += 1
        self.tell("orphan", object_key)

    async def find_missing(self) -> None:
        """The store lists in the order of bytes; of keys that are ours so does every collation.

        Should they differ after all, it costs questions and is no finding.
        """
        after = ""
        while absent := await self._committed(after):
            self.report["rows"] += len(absent)
            last = next(reversed(absent))
            async for page in self.bucket.objects(after=after):
                for object_key, _ in page:
                    absent.pop(object_key, None)
                if any(object_key >= last for object_key, _ in page):
                    break
            for object_key, upload_id in absent.items():
                if await self._is_missing(object_key):
                    self.report["missing"] += 1
                    self.tell("missing", str(upload_id))
            after = last

    async def _is_orphan(self, object_key: str) -> bool:
        """Asked again: an upload may have been discarded since, and both are gone."""
        return await self.bucket.exists(object_key) and not await self._states([object_key])

    async def _is_missing(self, object_key: str) -> bool:
        """Asked again: a file that is being removed loses its state before its object."""
        if await self.bucket.exists(object_key):
            return False
        return await self._states([object_key]) == {object_key: "committed"}

    async def _states(self, object_keys: Sequence[str]) -> dict[str, str]:
        """Of those that have a row."""
        async with self.sessions() as session, session.begin():
            found = await session.execute(_STATES, {"keys": object_keys})
            return {row.object_key: row.state for row in found}

    async def _committed(self, after: str) -> dict[str, UUID]:
        """The next page of committed keys, in order, with their uploads' ids."""
        async with self.sessions() as session, session.begin():
            found = await session.execute(_COMMITTED, {"after": after})
            return {row.object_key: row.id for row in found}
