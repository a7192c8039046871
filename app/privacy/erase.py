"""A student is erased: the order, then the files, then every row, then only the tombstone is left.

Each step (`finish_erasure`) is a transaction or may be repeated, so an erasure that was cut off
anywhere goes on where it was, by the next sweep or by being asked for again. The order closes the
account, and waits for what was admitted before it (`submissions.admit`); after it nothing new is
admitted. A file that is just arriving belongs to its handler, which will be refused and takes it
away again: until then, or until the handler's lease is over, the erasure is not finished.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid5

import structlog
from pydantic import BaseModel, Field
from sqlalchemy import bindparam, delete, exists, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from app import metrics
from app.accounts.sessions import end_sign_ins
from app.accounts.tombstones import Tombstones
from app.activity.audit import record_audit
from app.database import Session, Sessions, retried
from app.errors import NotAStudentError, NotFoundError
from app.fields import Id, Moment
from app.files.uploads import release_all_files
from app.models import PLATFORM, Erasure, LmsIntegration, User
from app.privacy.find_references import refuse_if_referenced
from app.privacy.finish_erasure import go_on, stop_writers
from app.privacy.forget_texts import forget_texts
from app.privacy.holdings import HOLDINGS, LINKED_USER, OF_USER
from app.privacy.organisation_members import find_fate
from app.privacy.spark_work import plan_work, release_work
from app.storage.bucket import Bucket

FINISH_SECONDS = 30  # a caller waits so long; then the sweep goes on
FINISH_POLL_SECONDS = 0.2

log = structlog.get_logger()


@dataclass(frozen=True)
class ErasureOrder:
    """An order to erase a student, named by the user id or (text) by the Spark id, which needs no
    account. With `keeps_account` only what came through Spark goes. In the erasure
    `organisation_id` it is decided under the student's lock what goes of one of `spark_org_id`.
    """

    id: UUID
    who: UUID | str
    caller: str
    now: datetime
    keeps_account: bool = False
    organisation_id: UUID | None = None
    spark_org_id: str | None = None


class ErasureAnswer(BaseModel):
    """What is left of a student who was erased."""

    id: Id = Field(description="The erasure.")
    requested_at: Moment = Field(description="When it was ordered first.")
    completed_at: datetime | None = Field(
        description="Null while a file is arriving, or when there are many: it goes on.",
        examples=["2026-11-23T14:30:01Z"],
    )
    counts: dict[str, int] = Field(
        description="What was removed: `files`, and rows by table.",
        examples=[{"files": 12, "public.users": 1}],
    )


_ANSWER = (Erasure.id, Erasure.requested_at, Erasure.completed_at, Erasure.counts)
_READ = select(*_ANSWER).where(Erasure.id == bindparam("erasure_id"))
_UNFINISHED = select(Erasure.id).where(Erasure.completed_at.is_(None)).order_by(Erasure.id)


async def erase_student(
    sessions: Sessions, bucket: Bucket, tombstones: Tombstones, order: ErasureOrder
) -> ErasureAnswer:
    """Repeatable; the answer to a repetition is the tombstone.

    Raises NotFoundError, NotAStudentError or ReferencedElsewhereError; or StorageUnavailableError,
    then the sweep goes on.
    """
    if isinstance(order.who, str):  # who is in no column may still be in a text
        await forget_texts(sessions, order.who)
    tombstone, *others = await begin_erasure(sessions, tombstones, order)
    try:
        async with asyncio.timeout(FINISH_SECONDS) as deadline:
            for each in (tombstone, *others):
                while not await go_on(sessions, bucket, each.id):  # noqa: ASYNC110 - elsewhere
                    await asyncio.sleep(FINISH_POLL_SECONDS)
    except TimeoutError:
        if not deadline.expired():  # the database timed out, not the wait
            raise
    async with sessions() as session, session.begin():
        found = await session.execute(_READ, {"erasure_id": tombstone.id})
        return ErasureAnswer(**found.mappings().one())


async def resume_erasures(sessions: Sessions, bucket: Bucket) -> int:
    """Go on with all that were begun: how many are finished now. One that fails stops no other."""
    async with sessions() as session, session.begin():
        unfinished = (await session.execute(_UNFINISHED)).scalars().all()
    finished = 0
    for erasure_id in unfinished:
        try:
            finished += await go_on(sessions, bucket, erasure_id)
        except Exception as failure:  # noqa: BLE001 - the next sweep tries again
            name = type(failure).__name__
            log.warning("erasure_failed", erasure_id=str(erasure_id), error_class=name)
    metrics.ERASURES_OPEN.set(len(unfinished) - finished)
    return finished


_BY_USER = LINKED_USER.where(User.id == OF_USER)
_NAMED = LmsIntegration.__table__.alias("named")
_BY_SPARK_USER = LINKED_USER.where(
    User.id.in_(
        select(_NAMED.c.user_id).where(
            _NAMED.c.lms_platform == PLATFORM, _NAMED.c.lms_user_id == bindparam("spark_user_id")
        )
    )
)
_CLOSE = update(User).where(User.id == OF_USER).values(deletion_status="pending")
_UNLINK = delete(LmsIntegration).where(
    LmsIntegration.user_id == OF_USER, LmsIntegration.lms_platform == PLATFORM
)
# Who was only leaving Spark, and is to be erased now.
_GOES_TOO = (
    update(Erasure)
    .where(Erasure.user_id == OF_USER, Erasure.keeps_account)
    .values(keeps_account=False, user_hash=bindparam("hash"))
)
_IS_NAMED = select(or_(*(exists().where(holding.of) for holding in HOLDINGS if holding.by_spark)))
_BEGUN = select(*_ANSWER).where(Erasure.user_id == OF_USER)
_NEW = insert(Erasure)
# A backup may have brought an erased student back: the tombstone is used again.
_WRITE = _NEW.on_conflict_do_update(
    index_elements=[Erasure.user_hash],
    set_={
        name: _NEW.excluded[name]
        for name in (
            *("id", "subject_hash", "user_id", "spark_user_id", "requested_at", "counts"),
            *("keeps_account", "organisation_id"),
        )
    }
    | {"completed_at": None},
).returning(*_ANSWER)


@retried
async def begin_erasure(
    sessions: Sessions, tombstones: Tombstones, order: ErasureOrder
) -> list[ErasureAnswer]:
    """The order is written and the account closed, or both are so already. Of a student with
    further Spark ids further orders follow it; none is of who need not leave the organisation.

    Raises what `erase_student` raises.
    """
    async with sessions() as session, session.begin():
        if isinstance(order.who, UUID):
            found = await session.execute(_BY_USER, {"of_user": order.who})
        else:
            found = await session.execute(_BY_SPARK_USER, {"spark_user_id": order.who})
        links = found.all()
        if links:
            students = [link.lms_user_id for link in links if link.lms_user_id]
            return await _begin_with_account(session, tombstones, order, links[0].id, students)
        if isinstance(order.who, str):
            return [await _begin_without_account(session, tombstones, order, order.who)]
        return [await _get_tombstone(session, tombstones, order.who)]


async def _begin_with_account(
    session: Session,
    tombstones: Tombstones,
    order: ErasureOrder,
    user_id: UUID,
    students: Sequence[str],
) -> list[ErasureAnswer]:
    hashes = [await tombstones.of_student(session, student) for student in students]
    is_student = await stop_writers(session, user_id, hashes or [None])
    if is_student is None:  # a twin has just finished
        return [await _get_tombstone(session, tombstones, user_id)]
    if order.spark_org_id:
        fate = await find_fate(session, user_id, order.spark_org_id)
        if fate not in {"erased", "unlinked"}:
            return []
        order = replace(order, keeps_account=fate == "unlinked")
    if not is_student and not order.keeps_account:
        raise NotAStudentError
    user_hash = await tombstones.of_user(session, user_id)
    if not order.keeps_account:
        await session.execute(_GOES_TOO, {"of_user": user_id, "hash": user_hash})
    written = await session.execute(_BEGUN, {"of_user": user_id})
    begun = written.mappings().one_or_none()
    if begun is None and not order.keeps_account:
        await refuse_if_referenced(session, user_id)
    counts = await _close(session, user_id, keeps_account=order.keeps_account)
    if begun is not None:
        return [ErasureAnswer(**begun)]
    subject_hash = next(iter(hashes), None)
    row: dict[str, object] = {
        "user_hash": subject_hash if subject_hash and order.keeps_account else user_hash,
        "subject_hash": subject_hash,
        "user_id": user_id,
        "spark_user_id": next(iter(students), None),
        "counts": counts,
    }
    orders = [await _write(session, order, row)]
    for other, subject_hash in zip(students[1:], hashes[1:], strict=True):
        further = replace(order, id=uuid5(order.id, other))
        orders.append(await _write_without_account(session, further, other, subject_hash))
    return orders


async def _begin_without_account(
    session: Session, tombstones: Tombstones, order: ErasureOrder, spark_user_id: str
) -> ErasureAnswer:
    """Rosters and refused homework may name who never signed in, or has no link any more."""
    subject_hash = await tombstones.of_student(session, spark_user_id)
    await stop_writers(session, None, [subject_hash])
    named = await session.execute(_IS_NAMED, {"of_spark_users": [spark_user_id], "of_user": None})
    if not named.scalar_one():
        return await _get_tombstone(session, tombstones, spark_user_id)
    return await _write_without_account(session, order, spark_user_id, subject_hash)


async def _write_without_account(
    session: Session, order: ErasureOrder, spark_user_id: str, subject_hash: bytes
) -> ErasureAnswer:
    row: dict[str, object] = {
        "user_hash": subject_hash,
        "subject_hash": subject_hash,
        "user_id": None,
        "spark_user_id": spark_user_id,
        "counts": {},
    }
    return await _write(session, order, row)


async def _close(session: Session, user_id: UUID, *, keeps_account: bool) -> dict[str, int]:
    """Close the account, or take its link to Spark away, and give up the files; the counts."""
    await end_sign_ins(session, user_id)
    if keeps_account:
        links = (await session.execute(_UNLINK, {"of_user": user_id})).rowcount
        plan = await plan_work(session, user_id, None)
        return {"files": await release_work(session, plan), "public.lms_integrations": links}
    await session.execute(_CLOSE, {"of_user": user_id})
    return {"files": await release_all_files(session, user_id)}


async def _write(session: Session, order: ErasureOrder, row: dict[str, object]) -> ErasureAnswer:
    await record_audit(
        session, order.caller, "sensitive_delete", user_id=None, erasure_id=str(order.id)
    )
    part_of = {"keeps_account": order.keeps_account, "organisation_id": order.organisation_id}
    moment = {"id": order.id, "requested_at": order.now}
    written = await session.execute(_WRITE, row | moment | part_of)
    return ErasureAnswer(**written.mappings().one())


async def _get_tombstone(
    session: Session, tombstones: Tombstones, who: UUID | str
) -> ErasureAnswer:
    """Raises NotFoundError."""
    if isinstance(who, UUID):
        is_theirs = Erasure.user_hash == await tombstones.of_user(session, who)
    else:
        is_theirs = Erasure.subject_hash == await tombstones.of_student(session, who)
    found = await session.execute(
        select(*_ANSWER).where(is_theirs).order_by(Erasure.requested_at.desc()).limit(1)
    )
    tombstone = found.mappings().one_or_none()
    if tombstone is None:
        raise NotFoundError
    return ErasureAnswer(**tombstone)
