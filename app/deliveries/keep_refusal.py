"""A refusal in the inbox, in a transaction of its own, because that of its act was undone.

Nothing personal of an erased student gets in again this way.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
from sqlalchemy import (
    BigInteger,
    LargeBinary,
    bindparam,
    case,
    func,
    null,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from app import metrics
from app.database import FAILURES, OUTAGES, Session, Sessions, explain_outage
from app.deliveries.inbox import COLUMNS, ROW, Entry, row_of, upsert
from app.deliveries.payload import Subject, beside_if_large, read_subject
from app.errors import (
    OverloadedError,
    ServiceError,
    StudentErasedError,
    TimestampInFutureError,
    TimestampTooOldError,
)
from app.jobs.try_early import MISSING, share_locks, try_arrived
from app.models import PLATFORM, Erasure, InboxDelivery, LmsIntegration

DATABASE_FAILURES: tuple[type[Exception], ...] = (OverloadedError, *OUTAGES)

DIGEST_DIGITS = 16

# The personal columns of a refusal are blank when its student is erased: of what was done before
# the erasure was finished, and of anything until a click makes a new link. Refusals share the
# student's turn, and an erasure takes it alone, so that it sees every refusal that was written.
_PERSONAL = (
    "webhook_id",
    "message",
    "user_id",
    "spark_user_id",
    "spark_assignment_id",
    "spark_course_id",
)
_LINKED = select(LmsIntegration.user_id).where(
    LmsIntegration.lms_platform == PLATFORM,
    LmsIntegration.lms_user_id == ROW["spark_user_id"],
)
_IS_ERASED = (
    select(Erasure.id)
    .where(
        Erasure.subject_hash == bindparam("subject_hash", type_=LargeBinary),
        or_(
            Erasure.requested_at
            >= func.least(
                bindparam("said_at", type_=InboxDelivery.received_at.type), ROW["received_at"]
            ),
            Erasure.completed_at.is_(None),
            ~_LINKED.exists(),
        ),
    )
    .exists()
)
_GUARD = (
    select(_IS_ERASED.label("forgets"))
    .select_from(func.pg_advisory_xact_lock_shared(bindparam("turn", type_=BigInteger)))
    .cte("guard")
)
_KEEP_REFUSAL = upsert(
    insert(InboxDelivery).from_select(
        COLUMNS,
        select(
            *(
                case((_GUARD.c.forgets, null()), else_=value) if name in _PERSONAL else value
                for name, value in (ROW | {"user_id": _LINKED.scalar_subquery()}).items()
            )
        ),
    )
)


@asynccontextmanager
async def remember_refusal(
    sessions: Sessions, entry: Entry, hash_of: Callable[[Session, str], Awaitable[bytes]]
) -> AsyncIterator[None]:
    """Keep a delivery whose handling fails, with why; not where it may be the database.

    `hash_of` gives the hash under which a student's tombstone would be.
    """
    try:
        yield
    except DATABASE_FAILURES as failure:
        _leave_trace(entry)
        _count_unkept(failure)
        raise
    except Exception as failure:
        _leave_trace(entry)
        subject = await beside_if_large(read_subject, entry.text)
        if isinstance(failure, ServiceError):
            failure.said = _for_event(subject, failure)
        try:
            await _keep_refusal(sessions, entry, subject, hash_of, failure)
        except FAILURES:
            _count_unkept(failure)
        raise


@contextmanager
def not_remembered(entry: Entry) -> Iterator[None]:
    """Where it is the service that has no room, a delivery is counted and not kept."""
    try:
        yield
    except ServiceError as failure:
        _leave_trace(entry)
        _count_unkept(failure)
        raise


def _leave_trace(entry: Entry) -> None:
    """In what is logged of this request from here on."""
    webhook_id, digest = entry.attempt.webhook_id, entry.digest.hex()[:DIGEST_DIGITS]
    structlog.contextvars.bind_contextvars(webhook_id=webhook_id, digest=digest)


def _count_unkept(failure: Exception) -> None:
    outage = explain_outage(failure) if isinstance(failure, OUTAGES) else failure
    code = outage.code if isinstance(outage, ServiceError) else ServiceError.code
    metrics.UNKEPT.labels(code).inc()


def _for_event(subject: Subject, failure: ServiceError) -> dict[str, str]:
    """The members of CONTRACT 9.1 that could be read. Nothing of an erased student's message."""
    said: dict[str, str] = {}
    if subject.spark_assignment_id and not isinstance(failure, StudentErasedError):
        said["spark_assignment_id"] = subject.spark_assignment_id
    if subject.submitted_at and isinstance(failure, TimestampTooOldError | TimestampInFutureError):
        said["submitted_at"] = subject.submitted_at.isoformat()
    return said


async def _keep_refusal(
    sessions: Sessions,
    entry: Entry,
    subject: Subject,
    hash_of: Callable[[Session, str], Awaitable[bytes]],
    failure: Exception,
) -> None:
    kind = type(failure) if isinstance(failure, ServiceError) else ServiceError
    row = row_of(entry, subject) | {"delivery_status": kind.status, "delivery_code": kind.code}
    student = subject.spark_user_id
    is_early = bool(student and entry.is_json and kind.code in MISSING)
    async with sessions() as session, session.begin():
        if is_early:
            await share_locks(session, str(student))
        subject_hash = await hash_of(session, student) if student else None
        erasure = {
            "subject_hash": subject_hash,
            "said_at": subject.submitted_at,
            "turn": turn_of(subject_hash),
        }
        await session.execute(_KEEP_REFUSAL, row | erasure)
        if is_early:
            await try_arrived(session, entry.id)


def turn_of(subject_hash: bytes | None) -> int:
    """The advisory lock of a student: refusals share it, an erasure has it alone."""
    return int.from_bytes(subject_hash[:8], signed=True) if subject_hash else 0
