"""Everything that is kept of a student, as a zip that is made while it is sent.

Memory is that of one page of rows or one chunk of a file, whatever the size, and no transaction is
open while bytes leave.
"""

import json
import re
import zipfile
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, TableClause, Text, bindparam, func, select, tuple_

from app.activity.audit import record_audit
from app.database import Sessions
from app.errors import NotAStudentError, NotFoundError
from app.models import Upload, User
from app.privacy.holdings import (
    HOLDINGS,
    LINKED_USER,
    OF_USER,
    OPTIONAL,
    PAGE_ROWS,
    Holding,
    find_optional,
)
from app.privacy.spark_work import Rows
from app.privacy.zip_stream import CHUNK_BYTES, Entry, stream_zip
from app.storage.bucket import Bucket

NAME_CHARACTERS = 100
UNSAFE = re.compile(r"[^\w.\- ]")

README = """\
Everything that the Spark integration service keeps of one student, as it was on {at:%Y-%m-%d}.

files/       every file: of all revisions of homework, and added by the student in Optio
SHA256SUMS   what each file must be: `sha256sum -c SHA256SUMS` checks them
*.jsonl      one JSON object a line, for each row of a table; times are UTC

{tables}

Left out are only the digests of one-time codes and refresh tokens, with which nobody can sign in.
"""


_SUBJECT = LINKED_USER.where(User.id == OF_USER)
_FILES = (
    select(Upload.id, Upload.object_key, Upload.filename, Upload.created_at)
    .add_columns(Upload.stored_bytes, Upload.stored_sha256)
    .where(Upload.user_id == OF_USER, Upload.state == "committed", Upload.id > bindparam("after"))
    .order_by(Upload.id)
    .limit(PAGE_ROWS)
)


async def begin_export(
    sessions: Sessions, bucket: Bucket, user_id: UUID, *, caller: str, now: datetime
) -> AsyncGenerator[bytes, None]:
    """The zip in chunks. It is in the audit log before there is a first one.

    Raises NotFoundError or NotAStudentError at once; the stream raises StorageUnavailableError or
    one of OUTAGES.
    """
    async with sessions() as session, session.begin():
        found = await session.execute(_SUBJECT, {"of_user": user_id})
        links = found.all()
        if not links:
            raise NotFoundError
        if not links[0].is_student:
            raise NotAStudentError
        await record_audit(session, caller, "sensitive_read", user_id=user_id, what="export")
        optional = await find_optional(session)
    whose = {"of_user": user_id, "of_spark_users": [link.lms_user_id for link in links]}
    return stream_zip(Folder(sessions, bucket, whose, now, optional).entries())


@dataclass(frozen=True)
class Folder:
    """The entries of one student, below `path`. `whose` are the parameters of the holdings, and of
    `rows`, if not everything is asked for; then tables without any are left out.
    """

    sessions: Sessions
    bucket: Bucket
    whose: dict[str, Any]
    now: datetime
    optional: Sequence[tuple[str, TableClause]] = ()
    path: str = ""
    rows: Rows | None = None

    async def entries(self) -> AsyncIterator[Entry]:
        if self.rows is None:
            yield self.text("README.txt", self._readme())
        for holding in HOLDINGS:
            if self.rows is None:
                yield self.text(f"{holding.name}.jsonl", self.lines(holding))
            elif holding.table in self.rows:
                of = holding.of & self.rows[holding.table]
                async for entry in self.filled(replace(holding, of=of)):
                    yield entry
        for name, rows_of in self.optional:
            yield self.text(f"{name}.jsonl", self._rows_of(rows_of))
        yield self.text("SHA256SUMS", self._sums())
        async for page in self._files():
            for file in page:
                path = self.path + _path(file)
                info = zipfile.ZipInfo(path, file.created_at.timetuple()[:6])
                info.file_size = file.stored_bytes
                yield info, self.bucket.read(file.object_key, chunk_bytes=CHUNK_BYTES)

    async def filled(self, holding: Holding) -> AsyncIterator[Entry]:
        """The entry of a table, if there is any row."""
        lines = self.lines(holding)
        if first := await anext(lines, None):

            async def content() -> AsyncIterator[bytes]:
                yield first
                async for more in lines:
                    yield more

            yield self.text(f"{holding.name}.jsonl", content())

    def text(self, name: str, content: AsyncIterable[bytes]) -> Entry:
        info = zipfile.ZipInfo(self.path + name, self.now.timetuple()[:6])
        info.compress_type = zipfile.ZIP_DEFLATED
        return info, content

    async def _readme(self) -> AsyncIterator[bytes]:
        kept = [(holding.name, holding.what) for holding in HOLDINGS]
        kept += [(name, OPTIONAL[rows_of.name]) for name, rows_of in self.optional]
        tables = "\n".join(f"{name}.jsonl: {what}" for name, what in kept)
        yield README.format(at=self.now, tables=tables).encode()

    async def lines(self, holding: Holding) -> AsyncIterator[bytes]:
        """Page by page, in the order of the primary key."""
        table: Any = holding.table.__table__
        key = list(table.primary_key.columns)
        page = select(table).where(holding.of).order_by(*key).limit(holding.page_rows)
        rows = await self._rows(page, self.whose)
        while rows:
            yield b"".join(_line(row, holding) for row in rows)
            last = tuple_(*(rows[-1]._mapping[column] for column in key))  # noqa: SLF001
            rows = await self._rows(page.where(tuple_(*key) > last), self.whose)

    async def _rows_of(self, table: TableClause) -> AsyncIterator[bytes]:
        """Few, and whatever columns they have."""
        whole = select(func.to_jsonb(table.table_valued()).cast(Text))
        for (row,) in await self._rows(whole.where(table.c.user_id == OF_USER), self.whose):
            yield f"{row}\n".encode()

    async def _sums(self) -> AsyncIterator[bytes]:
        async for page in self._files():
            yield "".join(f"{file.stored_sha256.hex()}  {_path(file)}\n" for file in page).encode()

    async def _files(self) -> AsyncIterator[list[Row[Any]]]:
        after = UUID(int=0)
        files = _FILES if self.rows is None else _FILES.where(self.rows[Upload])
        while page := await self._rows(files, self.whose | {"after": after}):
            yield page
            after = page[-1].id

    async def _rows(self, statement: Any, parameters: dict[str, object]) -> list[Row[Any]]:
        async with self.sessions() as session, session.begin():
            return list((await session.execute(statement, parameters)).all())


def _path(file: Row[Any]) -> str:
    """The path in the zip: unique by the id, with a name that leads to no other folder."""
    return f"files/{file.id}-{UNSAFE.sub('_', file.filename)[:NAME_CHARACTERS]}"


def _line(row: Row[Any], holding: Holding) -> bytes:
    shown = {
        column.name: row._mapping[column]  # noqa: SLF001 - SQLAlchemy's documented way
        for column in holding.table.__table__.columns
        if column.name not in holding.secrets
    }
    return json.dumps(shown, default=_plain, ensure_ascii=False).encode() + b"\n"


def _plain(value: object) -> str:
    """A value that JSON has no form for; bytes are a text that was signed, or a digest."""
    if isinstance(value, datetime):
        return value.isoformat()
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()
