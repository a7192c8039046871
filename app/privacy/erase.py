"""A student is erased: the order, then the files, then every row, then only the tombstone is left.

Each step is a transaction or may be repeated, so an erasure that was cut off anywhere goes on where
it was, by the next sweep or by being asked for again. The order closes the account, and waits for
what was admitted before it (`submissions.admit`); after it nothing new is admitted. A file that is
just arriving belongs to its handler, which will be refused and takes it away again: until then, or
until the handler's lease is over, the erasure is not finished.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Uuid,
    any_,
    bindparam,
    case,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from app.accounts.tombstones import Tombstones
from app.activity.audit import record_audit
from app.database import Session, Sessions, retried
from app.deliveries.inbox import turn_of
from app.errors import NotAStudentError, NotFoundError
from app.files.uploads import claim_files, remove_files
from app.models import (
    LMS_EVENTS,
    PLATFORM,
    ActivityEvent,
    ActivityHour,
    AuditEntry,
    Erasure,
    InboxDelivery,
    LmsIntegration,
    LmsSession,
    SparkAuthCode,
    Upload,
    User,
)
from app.privacy.holdings import HOLDINGS, OF_SPARK_USER, OF_USER
from app.storage.bucket import Bucket
from app.text import StrictJsonError, load_json

FINISH_SECONDS = 10  # so long a caller waits for files that others are just removing
FINISH_POLL_SECONDS = 0.2
READ_ROWS = 8  # messages that may be of some mebibytes

log = structlog.get_logger()


@dataclass(frozen=True)
class Order:
    """Somebody wants a student erased, who is named by the user id or (text) by the Spark id."""

    id: UUID
    who: UUID | str
    caller: str
    now: datetime


@dataclass(frozen=True)
class Tombstone:
    """`counts` has the rows of each table and `files`; `completed_at` is None while it goes on."""

    id: UUID
    requested_at: datetime
    completed_at: datetime | None
    counts: Mapping[str, int]


_ANSWER = (Erasure.id, Erasure.requested_at, Erasure.completed_at, Erasure.counts)
_READ = select(*_ANSWER).where(Erasure.id == bindparam("erasure_id"))
_UNFINISHED = select(Erasure.id).where(Erasure.completed_at.is_(None)).order_by(Erasure.id)


async def erase_student(
    sessions: Sessions, bucket: Bucket, tombstones: Tombstones, order: Order
) -> Tombstone:
    """Repeatable; the answer to a repetition is the tombstone.

    Raises NotFoundError, NotAStudentError; or StorageUnavailableError, then the sweep goes on.
    """
    tombstone = await _begin(sessions, tombstones, order)
    give_up_at = asyncio.get_running_loop().time() + FINISH_SECONDS
    while not await _go_on(sessions, bucket, tombstone.id):
        if asyncio.get_running_loop().time() > give_up_at:
            break
        await asyncio.sleep(FINISH_POLL_SECONDS)
    async with sessions() as session, session.begin():
        found = await session.execute(_READ, {"erasure_id": tombstone.id})
        return Tombstone(**found.mappings().one())


async def resume_erasures(sessions: Sessions, bucket: Bucket) -> int:
    """Go on with all that were begun: how many are finished now. One that fails stops no other."""
    async with sessions() as session, session.begin():
        unfinished = (await session.execute(_UNFINISHED)).scalars().all()
    finished = 0
    for erasure_id in unfinished:
        try:
            finished += await _go_on(sessions, bucket, erasure_id)
        except Exception as failure:  # noqa: BLE001 - the next sweep tries again
            name = type(failure).__name__
            log.warning("erasure_failed", erasure_id=str(erasure_id), error_class=name)
    return finished


# ---------------------------------------------------------------------------- the order

_USER = select(User.id, LmsIntegration.lms_user_id).outerjoin(
    LmsIntegration,
    (LmsIntegration.user_id == User.id) & (LmsIntegration.lms_platform == PLATFORM),
)
_BY_USER = _USER.where(User.id == OF_USER)
_BY_SPARK_USER = _USER.where(LmsIntegration.lms_user_id == OF_SPARK_USER)
_TURN = select(func.pg_advisory_xact_lock(bindparam("turn", type_=BigInteger)))
# Waits for every transaction that writes rows of this user.
_LOCK = select(User.role).where(User.id == OF_USER).with_for_update()
_CLOSE = (
    update(SparkAuthCode)  # before sessions: a code that is just redeemed has made one then
    .where(SparkAuthCode.user_id == OF_USER, ~SparkAuthCode.used)
    .values(superseded_at=func.coalesce(SparkAuthCode.superseded_at, func.now())),
    update(LmsSession)
    .where(LmsSession.user_id == OF_USER)
    .values(revoked_at=func.coalesce(LmsSession.revoked_at, func.now())),
    update(User).where(User.id == OF_USER).values(deletion_status="pending"),
)


@retried
async def _begin(sessions: Sessions, tombstones: Tombstones, order: Order) -> Tombstone:
    """The order is written and the account closed, or both are so already."""
    async with sessions() as session, session.begin():
        if isinstance(order.who, UUID):
            found = await session.execute(_BY_USER, {"of_user": order.who})
        else:
            found = await session.execute(_BY_SPARK_USER, {"of_spark_user": order.who})
        user = found.one_or_none()
        if user is not None:
            return await _order(session, tombstones, order, *user)
        return await _get_tombstone(session, tombstones, order.who)


async def _order(
    session: Session,
    tombstones: Tombstones,
    order: Order,
    user_id: UUID,
    spark_user_id: str | None,
) -> Tombstone:
    subject = tombstones.of_student(spark_user_id) if spark_user_id else []
    await session.execute(_TURN, {"turn": turn_of(subject)})
    role = (await session.execute(_LOCK, {"of_user": user_id})).scalar_one_or_none()
    if role is None:  # a twin has just finished
        return await _get_tombstone(session, tombstones, user_id)
    if role != "student":
        raise NotAStudentError
    for statement in _CLOSE:
        await session.execute(statement, {"of_user": user_id})
    files = await claim_files(session, user_id)
    made = await session.execute(
        insert(Erasure)
        .values(
            id=order.id,
            user_hash=tombstones.of_user(user_id)[0],
            subject_hash=subject[0] if subject else None,
            user_id=user_id,
            spark_user_id=spark_user_id,
            requested_at=order.now,
            counts={"files": files},
        )
        .on_conflict_do_nothing()
    )
    if made.rowcount:
        await record_audit(
            session, order.caller, "sensitive_delete", user_id=None, erasure_id=str(order.id)
        )
    found = await session.execute(select(*_ANSWER).where(Erasure.user_id == user_id))
    return Tombstone(**found.mappings().one())


async def _get_tombstone(session: Session, tombstones: Tombstones, who: UUID | str) -> Tombstone:
    """Raises NotFoundError."""
    if isinstance(who, UUID):
        is_theirs = Erasure.user_hash.in_(tombstones.of_user(who))
    else:
        is_theirs = Erasure.subject_hash.in_(tombstones.of_student(who))
    found = await session.execute(
        select(*_ANSWER).where(is_theirs).order_by(Erasure.requested_at.desc()).limit(1)
    )
    tombstone = found.mappings().one_or_none()
    if tombstone is None:
        raise NotFoundError
    return Tombstone(**tombstone)


# ---------------------------------------------------------------------------- what follows

_OPEN = select(Erasure.user_id, Erasure.spark_user_id, Erasure.subject_hash, Erasure.counts).where(
    Erasure.id == bindparam("erasure_id"), Erasure.completed_at.is_(None)
)
_TAKE = _OPEN.with_for_update(skip_locked=True)
_HAS_FILES = select(select(Upload.id).where(Upload.user_id == OF_USER).exists())
# What an hour had was counted with the student's events, if it was over.
_OWN_HOURS = (
    select(
        func.date_trunc("hour", ActivityEvent.created_at, "UTC").label("hour"),
        ActivityEvent.event_type,
        func.count().label("events"),
    )
    .where(ActivityEvent.user_id == OF_USER, LMS_EVENTS)
    .group_by("hour", ActivityEvent.event_type)
    .subquery()
)
_CORRECT_HOURS = (
    update(ActivityHour)
    .where(
        ActivityHour.hour == _OWN_HOURS.c.hour,
        ActivityHour.event_type == _OWN_HOURS.c.event_type,
    )
    .values(events=func.greatest(ActivityHour.events - _OWN_HOURS.c.events, 0))
)
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


async def _go_on(sessions: Sessions, bucket: Bucket, erasure_id: UUID) -> bool:
    """Whether it is finished now. Raises StorageUnavailableError."""
    async with sessions() as session, session.begin():
        found = await session.execute(_OPEN, {"erasure_id": erasure_id})
        order = found.one_or_none()
    if order is None:
        return True
    await remove_files(sessions, bucket, order.user_id)
    await _forget_unread(sessions, order.spark_user_id)
    return await _finish(sessions, erasure_id)


@retried
async def _finish(sessions: Sessions, erasure_id: UUID) -> bool:
    """All rows at once. False while there is a file, or somebody else is just at it."""
    async with sessions() as session, session.begin():
        found = await session.execute(_TAKE, {"erasure_id": erasure_id})
        order = found.one_or_none()
        if order is None:
            return False
        whose = {"of_user": order.user_id}
        await session.execute(_TURN, {"turn": turn_of([order.subject_hash or b""])})
        await session.execute(_LOCK, whose)
        if (await session.execute(_HAS_FILES, whose)).scalar_one():
            return False
        await session.execute(_CORRECT_HOURS, whose)
        await session.execute(_TO_NOBODY, whose)
        removed = order.counts | await _delete_rows(session, order.user_id, order.spark_user_id)
        await session.execute(_COMPLETE, {"erasure_id": erasure_id, "removed": removed})
        return True


async def _delete_rows(
    session: Session, user_id: UUID, spark_user_id: str | None
) -> dict[str, int]:
    """How many of each table that had any."""
    whose = {"of_user": user_id, "of_spark_user": spark_user_id}
    removed: dict[str, int] = {}
    for holding in HOLDINGS:
        if holding.is_deleted:
            deleted = await session.execute(delete(holding.table).where(holding.of), whose)
            removed[holding.name] = deleted.rowcount
    return {name: rows for name, rows in removed.items() if rows}


# A message that could not be read is nobody's, though it may say whose it is.
_UNREAD = (
    select(InboxDelivery.id, InboxDelivery.message)
    .where(
        InboxDelivery.code.is_not(None),
        InboxDelivery.spark_user_id.is_(None),
        InboxDelivery.user_id.is_(None),
        InboxDelivery.id > bindparam("after"),
        func.pg_catalog.position(
            InboxDelivery.message, bindparam("named", type_=InboxDelivery.message.type)
        )
        > 0,
    )
    .order_by(InboxDelivery.id)
    .limit(READ_ROWS)
)
_FORGET = (
    update(InboxDelivery)
    .where(InboxDelivery.id == any_(bindparam("ids", type_=ARRAY(Uuid))))
    .values(message=None)
)


async def _forget_unread(sessions: Sessions, spark_user_id: str | None) -> None:
    after = UUID(int=0)
    while spark_user_id:
        async with sessions() as session, session.begin():
            named = {"after": after, "named": spark_user_id.encode()}
            unread = (await session.execute(_UNREAD, named)).all()
            theirs = [row.id for row in unread if _may_be_of(row.message, spark_user_id)]
            if theirs:
                await session.execute(_FORGET, {"ids": theirs})
        if len(unread) < READ_ROWS:
            return
        after = unread[-1].id


def _may_be_of(message: bytes, spark_user_id: str) -> bool:
    """It has the id somewhere. What is no JSON may be anything."""
    try:
        content = load_json(message)
    except StrictJsonError:
        return True
    return isinstance(content, dict) and str(content.get("spark_user_id")) == spark_user_id
