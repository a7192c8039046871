"""What follows the order to erase a student: files, texts nobody could read, and then every row."""

import json
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    update,
)

from app.activity.hours import forget_hours
from app.database import Session, Sessions, retried
from app.deliveries.inbox import SUBMISSION_ROUTE
from app.deliveries.keep_refusal import turn_of
from app.deliveries.payload import beside_if_large
from app.files.uploads import remove_files
from app.models import (
    AuditEntry,
    Erasure,
    InboxDelivery,
    Upload,
    User,
)
from app.privacy.holdings import HOLDINGS, OF_USER
from app.storage.bucket import Bucket
from app.text import StrictJsonError, load_json

READ_ROWS = 50  # messages, of some mebibytes each, looked through at once

_TURN = select(func.pg_advisory_xact_lock(bindparam("turn", type_=BigInteger)))
_LOCK = select(User.role).where(User.id == OF_USER).with_for_update()


async def stop_writers(
    session: Session, user_id: UUID | None, subject_hashes: Sequence[bytes]
) -> str | None:
    """Wait for every transaction that writes rows or refusals of this user, and let none begin.

    The user's role, or None if there is no such user.
    """
    await session.execute(_TURN, {"turn": turn_of(subject_hashes)})
    role: str | None = (await session.execute(_LOCK, {"of_user": user_id})).scalar_one_or_none()
    return role


_OPEN = select(Erasure.user_id, Erasure.spark_user_id, Erasure.subject_hash, Erasure.counts).where(
    Erasure.id == bindparam("erasure_id"), Erasure.completed_at.is_(None)
)
_TAKE = _OPEN.with_for_update(skip_locked=True)
_HAS_FILES = select(select(Upload.id).where(Upload.user_id == OF_USER).exists())
_TO_NOBODY = (
    update(AuditEntry)
    .where(AuditEntry.user_id == OF_USER)
    .values(
        user_id=None,
        caller=case(
            (AuditEntry.caller == func.concat("user:", OF_USER), "user:erased"),
            else_=AuditEntry.caller,
        ),
        detail={},
    )
)
_COMPLETE = (
    update(Erasure)
    .where(Erasure.id == bindparam("erasure_id"))
    .values(
        user_id=None,
        spark_user_id=None,
        completed_at=func.now(),
        counts=bindparam("removed", type_=Erasure.counts.type),
    )
)


async def go_on(sessions: Sessions, bucket: Bucket, erasure_id: UUID) -> bool:
    """Whether the erasure is finished now. Raises StorageUnavailableError."""
    async with sessions() as session, session.begin():
        found = await session.execute(_OPEN, {"erasure_id": erasure_id})
        order = found.one_or_none()
    if order is None:
        return True
    if order.user_id is not None:
        await remove_files(sessions, bucket, order.user_id)
    async with sessions() as session, session.begin():
        if await _has_files(session, order.user_id):
            return False
    await _forget_unread(sessions, order.spark_user_id)
    return await _finish(sessions, erasure_id)


@retried
async def _finish(sessions: Sessions, erasure_id: UUID) -> bool:
    """Delete all rows at once. False while a file is left or another process is at this order."""
    async with sessions() as session, session.begin():
        found = await session.execute(_TAKE, {"erasure_id": erasure_id})
        order = found.one_or_none()
        if order is None:
            return False
        whose = {"of_user": order.user_id}
        await stop_writers(
            session, order.user_id, [order.subject_hash] if order.subject_hash else []
        )
        if await _has_files(session, order.user_id):
            return False
        if order.user_id is not None:
            await forget_hours(session, order.user_id)
        await session.execute(_TO_NOBODY, whose)
        removed = order.counts | await _delete_rows(session, order.user_id, order.spark_user_id)
        await session.execute(_COMPLETE, {"erasure_id": erasure_id, "removed": removed})
        return True


async def _has_files(session: Session, user_id: UUID | None) -> bool:
    """Whether a file is left; one may still be arriving."""
    return bool((await session.execute(_HAS_FILES, {"of_user": user_id})).scalar_one())


async def _delete_rows(
    session: Session, user_id: UUID | None, spark_user_id: str | None
) -> dict[str, int]:
    """The count of deleted rows of each table that had any."""
    whose = {"of_user": user_id, "of_spark_user": spark_user_id}
    removed: dict[str, int] = {}
    for holding in HOLDINGS:
        if holding.is_deleted:
            deleted = await session.execute(delete(holding.table).where(holding.of), whose)
            removed[holding.name] = deleted.rowcount
    return {name: rows for name, rows in removed.items() if rows}


# An unreadable message has no student in its columns, though its text may name one.
_SPELLINGS = ("plain", "escaped", "escaped_as_php_does")
_NAMES = [
    func.pg_catalog.position(
        InboxDelivery.message, bindparam(spelling, type_=InboxDelivery.message.type)
    )
    for spelling in _SPELLINGS
]
_UNREAD = (
    select(InboxDelivery.id, or_(*(place > 0 for place in _NAMES)).label("names_them"))
    .where(
        InboxDelivery.route == SUBMISSION_ROUTE,
        InboxDelivery.code.is_not(None),
        InboxDelivery.spark_user_id.is_(None),
        InboxDelivery.user_id.is_(None),
        InboxDelivery.id > bindparam("after"),
    )
    .order_by(InboxDelivery.id)
    .limit(READ_ROWS)
)
_MESSAGE = select(InboxDelivery.message).where(InboxDelivery.id == bindparam("unread_id"))
_FORGET = (
    update(InboxDelivery).where(InboxDelivery.id == bindparam("unread_id")).values(message=None)
)


async def _forget_unread(sessions: Sessions, spark_user_id: str | None) -> None:
    if not spark_user_id:
        return
    escaped = json.dumps(spark_user_id)[1:-1]
    spelled = (spark_user_id, escaped, escaped.replace("/", r"\/"))
    named = {name: text.encode() for name, text in zip(_SPELLINGS, spelled, strict=True)}
    after = UUID(int=0)
    while True:
        async with sessions() as session, session.begin():
            unread = (await session.execute(_UNREAD, named | {"after": after})).all()
            for row in unread:
                if row.names_them:
                    await _forget_if_theirs(session, row.id, spark_user_id)
        if len(unread) < READ_ROWS:
            return
        after = unread[-1].id


async def _forget_if_theirs(session: Session, unread_id: UUID, spark_user_id: str) -> None:
    found = await session.execute(_MESSAGE, {"unread_id": unread_id})
    message = found.scalar_one_or_none()
    if not message:
        return
    if await beside_if_large(_may_be_of, message, spark_user_id):
        await session.execute(_FORGET, {"unread_id": unread_id})


def _may_be_of(message: bytes, spark_user_id: str) -> bool:
    """Whether `message`, which has the id somewhere, may be the student's; what is no JSON may."""
    try:
        content = load_json(message)
    except StrictJsonError:
        return True
    return isinstance(content, dict) and str(content.get("spark_user_id")) == spark_user_id
