"""The job that makes a JPEG of a HEIC picture, and shows it wherever the student shows that one.

The JPEG is an upload of its own, `derived_from` the other, which stays: what was handed in is what
Spark, `files` and earlier links give.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import PurePosixPath
from uuid import UUID

from app import metrics
from app.activity.record_event import record_event
from app.database import Columns, Session, Sessions, Statement, retried
from app.evidence.documents import NEXT_VERSION_SQL, file_members
from app.evidence.links import json_objects
from app.files.make_jpeg import CHUNK_BYTES, NoJpegError, make_jpeg
from app.files.store_file import Destination, StreamedPart, pass_by, store_file
from app.files.uploads import discard_uploads
from app.jobs.lease import Lease, LeaseLostError, finish
from app.learning.enrolment import take_turns
from app.portfolio.write import PAGE
from app.settings import FileFamily
from app.storage.bucket import Bucket
from app.storage.kept_file import KeptFile

IMAGES: tuple[FileFamily, ...] = ("images",)

_FIND = Statement(
    """
    select id, user_id, object_key, filename from spark.uploads
    where id = :id::uuid and state = 'committed' and picture = 'waiting'
    """
)
# Of what was sent it says the same as the picture it was made of. That one may have been removed
# meanwhile, or be another account's.
_STORE = Statement(
    """
    with original as (
      update spark.uploads set picture = 'jpeg'
      where id = :id::uuid and user_id = :user_id::uuid and state = 'committed'
        and picture = 'waiting'
      returning *)
    update spark.uploads jpeg set state = 'committed', derived_from = original.id,
      submission_id = original.submission_id, document_id = original.document_id,
      position = original.position, size_bytes = original.size_bytes, sha256 = original.sha256,
      scan = original.scan, filename = :filename, content_type = :content_type,
      stored_bytes = :stored_bytes::bigint, stored_sha256 = :stored_sha256::bytea,
      location = :location
    from original
    where jpeg.id = :upload_id::uuid and jpeg.state = 'pending'
    returning jpeg.id
    """
)
_STAY = Statement("update spark.uploads set picture = :reason where id = :id::uuid")
# The main app takes no turns with us: it waits now.
_NAMING = Statement(
    """
    select b.id, b.content::text from evidence_document_blocks b
    join user_task_evidence_documents d on d.id = b.document_id
    where d.user_id = :user_id::uuid and strpos(b.content::text, :object_key::text) > 0
    order by b.id for update
    """
)
_SHOW = Statement(
    f"""
    with block as (
      update evidence_document_blocks b set content = changed.content
      from jsonb_to_recordset(:blocks::jsonb) as changed (id uuid, content jsonb)
      where b.id = changed.id
      returning b.document_id)
    update user_task_evidence_documents d
    set updated_at = {NEXT_VERSION_SQL.format(now="now()", document="d")}
    where id in (select document_id from block)
    returning id as document_id, task_id, quest_id, status
    """  # noqa: S608 - of our own pieces
)


async def convert_picture(
    destination_of: Callable[[UUID], Destination],
    sessions: Sessions,
    max_pixels: int,
    new_id: Callable[[], UUID],
    lease: Lease,
) -> None:
    """One that is gone, or is JPEG already, is left alone; one that cannot be stays as it is, which
    is no failure.
    """
    async with sessions() as session, session.begin():
        found = await _FIND.send(session, {"id": UUID(lease.key)})
        if not found:
            await finish(session, lease)
            return
    [original] = found
    destination, upload_id = destination_of(original["user_id"]), new_id()
    try:
        jpeg = await _make(destination, original, upload_id, max_pixels=max_pixels)
        await _record(destination, lease, original, jpeg, new_id=new_id)
        metrics.PICTURES.labels("jpeg").inc()
    except BaseException as failure:
        discarding = discard_uploads(sessions, destination.bucket, [upload_id], failure)
        await asyncio.shield(discarding)
        if not isinstance(failure, NoJpegError):
            raise
        await _leave(sessions, lease, original, failure.reason)
        metrics.PICTURES.labels(failure.reason).inc()


async def _make(
    destination: Destination, original: Columns, upload_id: UUID, *, max_pixels: int
) -> KeptFile:
    """As any file that comes in, but that one was scanned. Raises NoJpegError, and what storing
    raises.
    """
    heic = destination.bucket.read(original["object_key"], chunk_bytes=CHUNK_BYTES)
    name = str(PurePosixPath(original["filename"]).with_suffix(".jpg"))
    pictures_only = replace(destination, families=IMAGES, scanner=None)
    async with aclosing(make_jpeg(heic, max_pixels=max_pixels)) as chunks:
        part = StreamedPart(name, chunks)
        return await store_file(part, pictures_only, upload_id=upload_id, watch=pass_by)


@retried
async def _record(
    destination: Destination,
    lease: Lease,
    original: Columns,
    jpeg: KeptFile,
    *,
    new_id: Callable[[], UUID],
) -> None:
    """Raises LeaseLostError also where the picture is gone, or moved to another account."""
    async with destination.sessions() as session, session.begin():
        await take_turns(session, [original["user_id"]])
        values = {**original, **vars(jpeg), "id": original["id"], "upload_id": jpeg.id}
        if not await _STORE.send(session, values):
            raise LeaseLostError
        for document in await _show(session, destination.bucket, original, jpeg):
            await record_event(
                session,
                "spark_evidence_updated",
                user_id=original["user_id"],
                session_id=new_id(),
                data={name: value and str(value) for name, value in document.items()},
                page_url=PAGE,
            )
        await finish(session, lease)


async def _show(
    session: Session, bucket: Bucket, original: Columns, jpeg: KeptFile
) -> Sequence[Columns]:
    """Every block of the student's that names the picture names the JPEG from now on: the documents
    that this has changed. What else a block says stays.
    """
    place, members = bucket.pointers.place(original["object_key"]), file_members(bucket, jpeg)
    blocks = []
    for block in await _NAMING.send(session, original):
        content = json.loads(block["content"])
        for part in json_objects(content):
            naming = [
                it for it in bucket.pointers.members if bucket.pointers.find(part.get(it)) == place
            ]
            part.update(dict.fromkeys(naming, members["url"]))
            part.update(members if "url" in naming else {})
        blocks.append({"id": str(block["id"]), "content": content})
    return await _SHOW.send(session, {"blocks": json.dumps(blocks)}) if blocks else []


@retried
async def _leave(sessions: Sessions, lease: Lease, original: Columns, reason: str) -> None:
    async with sessions() as session, session.begin():
        await _STAY.send(session, {"id": original["id"], "reason": reason})
        await finish(session, lease)
