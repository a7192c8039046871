"""Files on their way into the store (SECURITY D11, D12): pending, then committed or deleting.

A row is committed before the first byte, under a key that never changes, so whatever a crash
leaves can be found without listing the bucket. A claim to delete names the state it starts from,
so a late commit fails instead of pointing to nothing.
"""

from asyncio import CancelledError
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Text,
    Update,
    Uuid,
    all_,
    any_,
    bindparam,
    delete,
    exists,
    func,
    select,
    update,
)

from app import metrics
from app.adoption.people import DELETION_SQL, IS_STAYING
from app.database import FAILURES, Session, Sessions, Statement
from app.errors import AccountInactiveError, StorageUnavailableError
from app.files.order_pictures import order_pictures
from app.models import IS_OWNERLESS, EvidenceBlock, EvidenceDocument, Upload, User
from app.storage.bucket import Bucket
from app.storage.kept_file import FILE_COLUMNS, KeptFile

SWEEP_BATCH = 100
DELETE_LEASE = timedelta(minutes=5)

_REGISTER = Statement(
    f"""
    insert into spark.uploads (id, user_id, object_key, lease_until)
    select :id::uuid, users.id, :object_key, now() + :lease::interval from users
    where users.id = :user_id and {DELETION_SQL} = 'none'
    for key share -- an erasure waits, or was first
    on conflict (id) do update set lease_until = excluded.lease_until
    where uploads.state = 'pending'
    returning id
    """  # noqa: S608 - ours
)
_IS_HERE = select(User.id).where(User.id == Upload.user_id, IS_STAYING).exists()


async def register_upload(
    sessions: Sessions, upload_id: UUID, *, user_id: UUID, object_key: str, lease: timedelta
) -> None:
    """It may be repeated while it is pending. Raises AccountInactiveError for who is being erased:
    nothing is stored any more.
    """
    upload = {"id": upload_id, "object_key": object_key, "lease": lease, "user_id": user_id}
    async with sessions() as session, session.begin():
        if not await _REGISTER.send(session, upload):
            raise AccountInactiveError


async def renew_uploads(
    sessions: Sessions, upload_ids: Sequence[UUID], *, lease: timedelta
) -> None:
    """Raises AccountInactiveError for who is being erased: the erasure waits for the file to go."""
    async with sessions() as session, session.begin():
        await session.execute(
            update(Upload)
            .where(Upload.id.in_(upload_ids), Upload.state == "pending", _IS_HERE)
            .values(lease_until=func.now() + lease)
        )
        not_here = select(Upload.id).where(Upload.id.in_(upload_ids), ~_IS_HERE).limit(1)
        if (await session.execute(not_here)).first():
            raise AccountInactiveError


_COMMIT = """
UPDATE spark.uploads SET state = 'committed', submission_id = $1, document_id = $2,
  position = $13 + file.place - 1, filename = file.filename, content_type = file.content_type,
  size_bytes = file.size_bytes, sha256 = file.sha256, stored_bytes = file.stored_bytes,
  stored_sha256 = file.stored_sha256, location = file.location, scan = file.scan,
  picture = file.picture
FROM unnest($3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::bytea[], $8::bigint[],
  $9::bytea[], $10::text[], $11::text[], $12::text[]) WITH ORDINALITY
  AS file (id, filename, content_type, size_bytes, sha256, stored_bytes, stored_sha256, location,
    scan, picture, place)
WHERE uploads.id = file.id AND uploads.state = 'pending'
"""
_FACTS = (
    *("id", "filename", "content_type", "size_bytes", "sha256"),
    *("stored_bytes", "stored_sha256", "location", "scan", "picture"),
)


async def commit_uploads(
    session: Session,
    files: Sequence[KeptFile],
    *,
    submission_id: UUID | None = None,
    document_id: UUID | None = None,
    first: int = 0,
) -> None:
    """Make the files part of the submission, or of the document that was edited, in this order from
    the position of the `first` on.

    Raises StorageUnavailableError if one was swept.
    """
    if not files:
        return
    columns = ([getattr(file, name) for file in files] for name in _FACTS)
    committed = await session.exec_driver_sql(
        _COMMIT, (submission_id, document_id, *columns, first)
    )
    if committed.rowcount < len(files):
        raise StorageUnavailableError(hint="The upload took too long. Send it again.")
    await order_pictures(session, files)


async def discard_uploads(
    sessions: Sessions,
    bucket: Bucket,
    upload_ids: Sequence[UUID],
    failure: BaseException | None = None,
) -> None:
    """Remove files that will not be recorded, because of a `failure` if there is one. What cannot
    be removed now is left to the sweep.

    After a call to the store that failed or was cancelled its outcome is unknown: an object may
    still appear, so those files wait for the sweep, which comes after the lease.
    """
    if not isinstance(failure, (StorageUnavailableError, CancelledError)):
        await _try_to_remove(sessions, bucket, upload_ids, state="pending")


_ASKED = Upload.__table__.alias("asked")
_FIND = (
    select(_ASKED.c.object_key.label("asked_key"), *FILE_COLUMNS)
    .join(_ASKED, (_ASKED.c.id == Upload.id) | (_ASKED.c.id == Upload.derived_from))
    .where(
        _ASKED.c.object_key == any_(bindparam("keys", type_=ARRAY(Text))),
        Upload.user_id == bindparam("user_id"),
        Upload.state == "committed",
        Upload.submission_id.is_not(None)
        | (Upload.document_id == bindparam("document_id", type_=Uuid)),
    )
    .order_by(Upload.derived_from.nulls_first())
)


def _released(condition: ColumnElement[bool]) -> Update:
    return update(Upload).where(condition).values(state="deleting", lease_until=func.now())


# A picture whose JPEG is named stays with it.
_NAMED = bindparam("named", type_=ARRAY(Text))
_JPEG = Upload.__table__.alias("jpeg")
_RELEASE = _released(
    (Upload.document_id == bindparam("of_document"))
    & (Upload.state == "committed")
    & (Upload.object_key != all_(_NAMED))
    & ~exists().where(_JPEG.c.derived_from == Upload.id, _JPEG.c.object_key == any_(_NAMED))
).returning(Upload.id)


async def find_files(
    session: Session, object_keys: Collection[str], *, user_id: UUID, document_id: UUID | None
) -> dict[str, KeptFile]:
    """Those files by their keys that this document may name: Spark's of this student, and what was
    added to the document itself. For a picture that became JPEG that is given.
    """
    found = await session.execute(
        _FIND, {"keys": list(object_keys), "user_id": user_id, "document_id": document_id}
    )
    facts = [dict(file) for file in found.mappings()]
    return {file.pop("asked_key"): KeptFile(**file) for file in facts}


async def release_files(
    session: Session, document_id: UUID, *, named: Collection[str]
) -> Sequence[UUID]:
    """Files that were added to the document and that it does not name any more are to be removed:
    at once by `remove_released`, or by the sweep. The uploads.
    """
    released = await session.execute(_RELEASE, {"of_document": document_id, "named": list(named)})
    return released.scalars().all()


async def remove_released(sessions: Sessions, bucket: Bucket, upload_ids: Sequence[UUID]) -> None:
    """Once their release is committed. What cannot be removed now is left to the sweep."""
    await _try_to_remove(sessions, bucket, upload_ids, state="deleting")


async def _try_to_remove(
    sessions: Sessions, bucket: Bucket, upload_ids: Sequence[UUID], *, state: str
) -> None:
    if upload_ids:
        with suppress(*FAILURES):
            await _remove(sessions, bucket, Upload.id.in_(upload_ids) & (Upload.state == state))


_COUNT = select(func.count()).where(Upload.state != "committed")
_IS_SHOWN = (
    select(EvidenceBlock.id)
    .join(EvidenceDocument, EvidenceDocument.id == EvidenceBlock.document_id)
    .where(
        EvidenceDocument.user_id == Upload.user_id,
        func.strpos(EvidenceBlock.content.cast(Text), Upload.object_key) > 0,
    )
    .exists()
)


async def sweep_uploads(sessions: Sessions, bucket: Bucket) -> int:
    """Remove what nobody owns any more: how many files. Several sweepers never share one.

    Also files whose submission or document was deleted in the main app, once no evidence shows
    them.
    """
    async with sessions() as session, session.begin():
        metrics.UPLOADS_PENDING.set((await session.execute(_COUNT)).scalar_one())
    abandoned = (Upload.state != "committed") & (Upload.lease_until < func.now())
    removed = 0
    for condition in (abandoned, IS_OWNERLESS & ~_IS_SHOWN):
        while count := await _remove(sessions, bucket, condition):
            removed += count
    return removed


async def release_all_files(session: Session, user_id: UUID) -> int:
    """All committed files of a user are to be removed: how many."""
    whose = Upload.user_id == user_id
    return (await session.execute(_released(whose & (Upload.state == "committed")))).rowcount


async def remove_files(
    sessions: Sessions, bucket: Bucket, user_id: UUID, *, released: bool = False
) -> None:
    """Every file of a user but those that are just arriving, whose handlers hold a lease; or only
    those that were released.

    What another sweeper may be removing is removed again, which does no harm: its lease would keep
    an erasure waiting for one that was killed. Raises StorageUnavailableError.
    """
    is_over: ColumnElement[bool] = Upload.state == "deleting"
    if not released:
        is_over = (Upload.state != "pending") | (Upload.lease_until < func.now())
    while await _remove(sessions, bucket, (Upload.user_id == user_id) & is_over):
        pass


async def _remove(sessions: Sessions, bucket: Bucket, condition: ColumnElement[bool]) -> int:
    """How many were removed. Stops at the first the store does not let go."""
    async with sessions() as session, session.begin():
        claimable = (
            select(Upload.id).where(condition).limit(SWEEP_BATCH).with_for_update(skip_locked=True)
        )
        claimed = await session.execute(
            update(Upload)
            .where(Upload.id.in_(claimable))
            .values(state="deleting", lease_until=func.now() + DELETE_LEASE)
            .returning(Upload.id, Upload.object_key)
        )
        uploads = claimed.all()
    removed = 0
    for upload_id, object_key in uploads:
        await bucket.delete(object_key)
        async with sessions() as session, session.begin():
            await session.execute(delete(Upload).where(Upload.id == upload_id))
        removed += 1
    return removed
