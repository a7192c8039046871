"""The files of a revision that are fetched: ordered with it, and again when it comes once more."""

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from uuid import UUID

from app.database import Session, Statement
from app.evidence.documents import free_places
from app.jobs.enqueue import job_of_each_sql
from app.submissions.remote_file import RemoteFile
from app.submissions.revisions import Standing
from app.submissions.write import Draft

DOWNLOAD = "download"  # as a kind of job

_JOB_SQL = job_of_each_sql(DOWNLOAD, "download", target="host")
_ORDER = Statement(
    f"""
    with download as (
      insert into spark.downloads (id, submission_id, user_id, position, place, is_private, url,
        host, filename, declared_sha256, declared_bytes)
      select id, :submission_id::uuid, :user_id::uuid, position, place,
        :is_private::boolean, url, host, filename, decode(sha256, 'hex'), size
      from jsonb_to_recordset(:files::jsonb) as file
        (id uuid, position int, place int, url text, host text, filename text, sha256 text,
         size bigint)
      returning id, user_id, host),
    {_JOB_SQL}
    select id from enqueued
    """  # noqa: S608 - of our own pieces
)
ORDER_BY_ID = Statement(
    f"""
    with download as (
      update spark.downloads set url = coalesce(:url::text, url), state = 'pending', code = null,
        settled_at = null
      where id = :id::uuid and state <> 'stored'
      returning id, user_id, host),
    {_JOB_SQL}
    select id from enqueued
    """  # noqa: S608 - of our own pieces
)
# A signed link may be another one each time; what was fetched is not fetched again.
_ORDER_AGAIN = Statement(
    f"""
    with download as (
      update spark.downloads d set url = file.url, state = 'pending', code = null,
        settled_at = null
      from jsonb_to_recordset(:files::jsonb) as file (position int, url text)
      where d.submission_id = :submission_id::uuid and d.position = file.position
        and (d.state = 'dead' or d.state = 'pending' and d.url <> file.url)
      returning d.id, d.user_id, d.host),
    {_JOB_SQL}
    select id from enqueued
    """  # noqa: S608 - of our own pieces
)
# The message is where its links lie, too, also of the time when it was refused.
_FORGET = Statement(
    """
    update spark.deliveries set message = null
    where message is not null
      and digest in (select digest from spark.deliveries where submission_id = :submission_id::uuid)
      and not exists (
        select from spark.downloads where submission_id = :submission_id and state = 'pending')
    """
)


async def order_downloads(
    session: Session,
    files: Sequence[RemoteFile],
    draft: Draft,
    standing: Standing,
    *,
    new_id: Callable[[], UUID],
) -> None:
    """In the transaction that writes the revision. Their blocks go behind its own, in the message's
    order, whichever comes first.
    """
    places = islice(free_places(standing.kept_places), len(draft.blocks), None)
    said = [
        {
            "id": str(new_id()),
            "position": position,
            "place": place,
            "url": file.url,
            "host": file.host,
            "filename": file.name,
            "sha256": file.sha256,
            "size": file.size,
        }
        for (position, file), place in zip(enumerate(files), places, strict=False)
    ]
    values = {
        "submission_id": draft.id,
        "user_id": standing.user_id,
        "is_private": draft.is_private,
        "files": json.dumps(said),
    }
    await _ORDER.send(session, values)


async def order_again(session: Session, submission_id: UUID, files: Iterable[RemoteFile]) -> None:
    """What was not fetched of a submission that comes once more, by the links it brings."""
    said = [{"position": position, "url": file.url} for position, file in enumerate(files)]
    if said:
        values = {"submission_id": submission_id, "files": json.dumps(said)}
        await _ORDER_AGAIN.send(session, values)


async def forget_links(session: Session, submission_id: UUID) -> None:
    """Once its last file is fetched or given up, the texts that named them go: a link opens one."""
    await _FORGET.send(session, {"submission_id": submission_id})
