"""What follows the order to erase a student: files, texts of nobody, and then every row."""

import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Row, bindparam, delete, func, select
from sqlalchemy.exc import IntegrityError

from app.activity.hours import forget_hours
from app.activity.record_event import record_event
from app.adoption.people import IS_STUDENT
from app.database import Session, Sessions, Statement, retried, sqlstate_of
from app.deliveries.keep_refusal import turn_of
from app.errors import ReferencedElsewhereError
from app.files.uploads import remove_files
from app.models import ActivityEvent, Erasure, Upload, User
from app.privacy.erasure_notes import ErasureNote, write_note
from app.privacy.forget_texts import forget_texts
from app.privacy.holdings import HOLDINGS, OF_USER, find_optional
from app.privacy.spark_work import OF_SPARK, delete_work, plan_work, release_work
from app.storage.bucket import Bucket

REFERENCED = "23503"  # foreign key violation

_TURN = select(func.pg_advisory_xact_lock(bindparam("turn", type_=BigInteger)))
_LOCK = select(IS_STUDENT).where(User.id == OF_USER).with_for_update()


async def stop_writers(
    session: Session, user_id: UUID | None, subject_hashes: Iterable[bytes | None]
) -> bool | None:
    """Wait for every transaction that writes rows or refusals of this user, and let none begin.

    Whether the user is a student, or None if there is no such user.
    """
    for turn in sorted(map(turn_of, subject_hashes)):
        await session.execute(_TURN, {"turn": turn})
    locked = await session.execute(_LOCK, {"of_user": user_id})
    is_student: bool | None = locked.scalar_one_or_none()
    return is_student


_OPEN = select(Erasure.__table__).where(
    Erasure.id == bindparam("erasure_id"), Erasure.completed_at.is_(None)
)
_TAKE = _OPEN.with_for_update(skip_locked=True)
_HAS_FILES = select(select(Upload.id).where(Upload.user_id == OF_USER).exists())
_TO_NOBODY = Statement(
    """
    update spark.audit_log set user_id = null, detail = '{}',
      caller = case when caller = concat('user:', :of_user::uuid) then 'user:erased' else caller end
    where user_id = :of_user
    """
)
_OUT_OF_LISTS = Statement(
    """
    update spark.audit_log set user_ids = array_remove(user_ids, :of_user::uuid)
    where user_ids @> array[:of_user::uuid]
    """
)
_COMPLETE = Statement(
    """
    update spark.erasures set user_id = null, spark_user_id = null, completed_at = now(),
      counts = counts || :removed::jsonb
    where id = :erasure_id::uuid
    """
)


async def go_on(sessions: Sessions, bucket: Bucket, erasure_id: UUID) -> bool:
    """Whether the erasure is finished now. Raises StorageUnavailableError."""
    async with sessions() as session, session.begin():
        found = await session.execute(_OPEN, {"erasure_id": erasure_id})
        order = found.one_or_none()
    if order is None:
        return True
    await write_note(bucket, _note_of(order))
    if order.user_id is not None:
        await remove_files(sessions, bucket, order.user_id, released=order.keeps_account)
    async with sessions() as session, session.begin():
        if await _has_files(session, order):
            return False
    if order.spark_user_id:
        await forget_texts(sessions, order.spark_user_id)
    return await _finish(sessions, erasure_id)


def _note_of(order: Row[Any]) -> ErasureNote:
    return ErasureNote(
        id=order.id,
        user_hash=order.user_hash.hex(),
        subject_hash=order.subject_hash and order.subject_hash.hex(),
        requested_at=order.requested_at,
        keeps_account=order.keeps_account,
    )


@retried
async def _finish(sessions: Sessions, erasure_id: UUID) -> bool:
    """Delete all rows at once. False while a file is left or another process is at this order."""
    async with sessions() as session, session.begin():
        found = await session.execute(_TAKE, {"erasure_id": erasure_id})
        order = found.one_or_none()
        if order is None:
            return False
        await stop_writers(session, order.user_id, [order.subject_hash])
        if await _has_files(session, order):
            return False
        try:
            if order.keeps_account and order.user_id is not None:
                removed = await _delete_spark_rows(session, order)
            else:
                removed = await _delete_rows(session, order.user_id, order.spark_user_id)
        except IntegrityError as failure:
            raise explain_reference(failure) from failure
        if removed is None:
            return False
        done = {"erasure_id": erasure_id, "removed": json.dumps(removed)}
        await _COMPLETE.send(session, done)
        if not order.keeps_account:
            await record_event(
                session,
                "student_erased",
                user_id=None,
                session_id=erasure_id,
                data={"erasure_id": str(erasure_id)},
                page_url="/internal/v1/students",
            )
        return True


def explain_reference(failure: IntegrityError) -> Exception:
    """Of a row further away than those that were looked for before, or that came since."""
    cause = getattr(failure.orig, "__cause__", None)
    if sqlstate_of(failure) != REFERENCED:
        return failure
    return ReferencedElsewhereError(
        hint=f"The account is closed. Take the student out of {getattr(cause, 'table_name', None)}:"
        " then the erasure goes on by itself."
    )


async def _has_files(session: Session, order: Row[Any]) -> bool:
    """Whether a file is left; one may still be arriving. Files of an account that stays are."""
    if order.keeps_account:
        return False
    return bool((await session.execute(_HAS_FILES, {"of_user": order.user_id})).scalar_one())


async def _delete_spark_rows(session: Session, order: Row[Any]) -> dict[str, int] | None:
    """None if another file came meanwhile, which has to go before."""
    plan = await plan_work(session, order.user_id, None)
    if await release_work(session, plan):
        return None
    return await delete_work(session, plan | {"of_spark_users": [order.spark_user_id]}, OF_SPARK)


async def _delete_rows(
    session: Session, user_id: UUID | None, spark_user_id: str | None
) -> dict[str, int]:
    """The count of deleted rows of each table that had any."""
    whose = {"of_user": user_id, "of_spark_users": [spark_user_id]}
    removed: dict[str, int] = {}
    if user_id is not None:
        await forget_hours(session, ActivityEvent.user_id == OF_USER, whose)
        await _TO_NOBODY.send(session, whose)
        await _OUT_OF_LISTS.send(session, whose)
        for name, table in await find_optional(session):
            deleted = await session.execute(delete(table).where(table.c.user_id == OF_USER), whose)
            removed[name] = deleted.rowcount
    for holding in HOLDINGS:
        if holding.is_deleted:
            deleted = await session.execute(delete(holding.table).where(holding.of), whose)
            removed[holding.name] = deleted.rowcount
    return {name: rows for name, rows in removed.items() if rows}
