"""The job that fetches one file: from its address into the store, then into the evidence."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from app import metrics
from app.activity.record_event import record_event
from app.database import Columns, Statement, retried
from app.deliveries.send_receipt import order_receipt_of_file
from app.errors import BadRequestError, FileDigestMismatchError
from app.evidence.documents import file_block
from app.fetch import FetchFailedError, FetchRefusedError, RemoteFiles
from app.files.store_file import StreamedPart, pass_by, store_file
from app.files.uploads import commit_uploads, discard_uploads
from app.jobs.lease import Lease, LeaseLostError, finish
from app.jobs.settle import Outcome, settle
from app.learning.enrolment import take_turns
from app.storage.kept_file import KeptFile
from app.submissions.order_downloads import forget_links
from app.submissions.work import Intake

# Before each attempt: a link that is signed does not live for days.
WAITS = tuple(timedelta(seconds=seconds) for seconds in (0, 10, 60, 5 * 60, 30 * 60, 2 * 3600))
PAGE_URL = "/spark/webhook/submission"

_READ = Statement(
    """
    select d.*, r.spark_assignment_id from spark.downloads d
    join spark.submission_revisions r on r.id = d.submission_id
    where d.id = :id::uuid and d.state = 'pending'
    """
)
# Shown if its revision is: in the place that was kept for it, or at the end if the student has put
# something there; hidden with the rest. The caller has the student's turn.
_STORE = Statement(
    """
    with download as (
      update spark.downloads set state = 'stored', url = null, code = null, settled_at = now(),
        upload_id = :upload_id::uuid
      where id = :id::uuid and state = 'pending' and user_id = :user_id::uuid
      returning *),
    shown as (
      select r.id, r.user_id, document.id as document_id, download.place,
        download.is_private or coalesce((
          select bool_or(b.is_private) from evidence_document_blocks b
          where b.id = any (r.block_ids)), false) as is_private
      from download
      join spark.submission_revisions r
        on coalesce(r.restored_from, r.id) = download.submission_id and r.replaced_at is null
      join quest_task_completions c on c.id = r.completion_id
      join user_task_evidence_documents document
        on document.user_id = c.user_id and document.task_id = c.task_id),
    block as (
      insert into evidence_document_blocks (document_id, id, block_type, content, order_index,
        is_private, uploaded_by_user_id, uploaded_by_role)
      select document_id, :block_id::uuid, :block_type::text, :content::jsonb, case
          when exists (
            select from evidence_document_blocks b
            where b.document_id = shown.document_id and b.order_index = shown.place)
          then (
            select max(order_index) + 1 from evidence_document_blocks b
            where b.document_id = shown.document_id)
          else place end,
        is_private, user_id, 'student'
      from shown
      returning id),
    document as (
      update user_task_evidence_documents
      set updated_at = greatest(now(), updated_at + interval '1 millisecond')
      from shown where user_task_evidence_documents.id = shown.document_id),
    revision as (
      update spark.submission_revisions
      set written_ids = written_ids || :block_id, block_ids = block_ids || :block_id
      from shown where submission_revisions.id = shown.id)
    select id from download
    """
)
_FAIL = Statement(
    """
    update spark.downloads set code = :code::text, state = :state::text,
      url = case when :state = 'pending' then url end,
      settled_at = case when :state <> 'pending' then now() end
    where id = :id::uuid and state = 'pending'
    returning id
    """
)


async def download_file(
    intake: Intake, remote: RemoteFiles, new_id: Callable[[], UUID], lease: Lease
) -> None:
    """One that is there, or whose submission is gone, is left alone."""
    async with intake.sessions() as session, session.begin():
        found = await _READ.send(session, {"id": UUID(lease.key)})
        if not found:
            await finish(session, lease)
            return
    [download] = found
    upload_id = new_id()
    try:
        file = await _fetch(intake, remote, download, upload_id)
        await _record(intake, lease, download, file, block_id=new_id())
        metrics.UPLOAD_BYTES.inc(file.size_bytes)
        metrics.DOWNLOADS.labels("stored").inc()
    except BaseException as failure:
        discarding = discard_uploads(intake.sessions, intake.bucket, [upload_id], failure)
        await asyncio.shield(discarding)
        outcome = _outcome_of(failure)
        if outcome is None:
            raise
        metrics.DOWNLOADS.labels(outcome.code).inc()
        await _fail(intake, lease, download, outcome)


async def _fetch(
    intake: Intake, remote: RemoteFiles, download: Columns, upload_id: UUID
) -> KeptFile:
    """Raises what fetching and storing raise, or FileDigestMismatchError."""
    destination = intake.destination(download["user_id"])
    async with remote.fetch(download["url"], intake.settings.max_file_bytes) as (_, chunks):
        part = StreamedPart(download["filename"], chunks)
        file = await store_file(part, destination, upload_id=upload_id, watch=pass_by)
    declared = (download["declared_sha256"] or file.sha256, download["declared_bytes"])
    if declared[0] != file.sha256 or declared[1] not in (None, file.size_bytes):
        raise FileDigestMismatchError
    return file


@retried
async def _record(
    intake: Intake, lease: Lease, download: Columns, file: KeptFile, *, block_id: UUID
) -> None:
    """Raises LeaseLostError also where the student has moved to another account meanwhile."""
    block_type, content = file_block(intake.bucket, file)
    async with intake.sessions() as session, session.begin():
        await take_turns(session, [download["user_id"]])
        values = {
            "id": download["id"],
            "user_id": download["user_id"],
            "upload_id": file.id,
            "block_id": block_id,
            "block_type": block_type,
            "content": json.dumps(content),
        }
        if not await _STORE.send(session, values):
            raise LeaseLostError
        submission_id, position = download["submission_id"], download["position"]
        await commit_uploads(session, [file], submission_id=submission_id, first=position)
        await forget_links(session, submission_id)
        await settle(session, lease, Outcome("done", "stored"))
        user_id = download["user_id"]
        await order_receipt_of_file(session, intake.settings, submission_id, user_id=user_id)
        data = _event(download) | {"file_size": file.size_bytes}
        await record_event(
            session,
            "spark_file_download_success",
            user_id=download["user_id"],
            session_id=submission_id,
            data=data,
            page_url=PAGE_URL,
        )


def _outcome_of(failure: BaseException) -> Outcome | None:
    """None for what is no answer about the file."""
    if isinstance(failure, FetchFailedError):
        return Outcome("again", failure.code, timedelta(seconds=failure.retry_after or 0))
    if isinstance(failure, FetchRefusedError | BadRequestError):
        return Outcome("dead", failure.code)
    return None


@retried
async def _fail(intake: Intake, lease: Lease, download: Columns, outcome: Outcome) -> None:
    async with intake.sessions() as session, session.begin():
        await take_turns(session, [download["user_id"]])  # of two that end at once one is the last
        ended = await settle(session, lease, outcome, waits=WAITS)
        state = "dead" if ended == "dead" else "pending"
        values = {"id": download["id"], "code": outcome.code, "state": state}
        if await _FAIL.send(session, values) and ended == "dead":
            submission_id, user_id = download["submission_id"], download["user_id"]
            await forget_links(session, submission_id)
            await order_receipt_of_file(session, intake.settings, submission_id, user_id=user_id)
            await record_event(
                session,
                "spark_file_download_failed",
                user_id=user_id,
                session_id=submission_id,
                data=_event(download) | {"error_type": outcome.code},
                page_url=PAGE_URL,
            )


def _event(download: Columns) -> dict[str, object]:
    return {
        "submission_id": str(download["submission_id"]),
        "spark_assignment_id": download["spark_assignment_id"],
        "position": download["position"],
    }
